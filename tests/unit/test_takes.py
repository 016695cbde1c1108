"""How far a shot is, and what renders its takes."""

import pytest
from pydantic import ValidationError

from anime.comfyui.workflow_templates import load_template
from anime.core.composition.compose import compose
from anime.core.composition.sources import NO_SOURCES
from anime.core.ids import MAX_SEED
from anime.core.shots import ShotFields, ShotState
from anime.core.takes import (
    NewReview,
    ReviewAction,
    TakeState,
    Verdict,
    is_current,
    requests_of,
    state_of,
)
from anime.schemas import GenerationRequest
from anime.settings import SHIPPED_WORKFLOWS

SHOT = ShotFields(code="sc1", prompt="a roof", width=512)
MADE = GenerationRequest(prompt="a roof", width=512, shot="sc1", project="neon", seed=7)


@pytest.mark.parametrize(
    ("picked", "usable", "under_way", "state"),
    [
        (None, 0, 0, ShotState.MISSING),
        (None, 0, 1, ShotState.RENDERING),
        (None, 2, 1, ShotState.RENDERING),
        (None, 1, 0, ShotState.TO_REVIEW),
        (MADE, 1, 0, ShotState.APPROVED),
        (MADE, 1, 3, ShotState.APPROVED),
        (MADE.model_copy(update={"prompt": "a door"}), 1, 0, ShotState.STALE),
    ],
)
def test_how_far_a_shot_is(
    picked: GenerationRequest | None, usable: int, under_way: int, state: ShotState
) -> None:
    assert state_of(SHOT, picked, usable=usable, under_way=under_way) is state


@pytest.mark.parametrize("change", [{"prompt": "a door"}, {"width": 640}, {"workflow": "other"}])
def test_a_take_of_another_picture_is_stale(change: dict[str, object]) -> None:
    assert not is_current(SHOT.model_copy(update=change), MADE)


@pytest.mark.parametrize(
    "change", [{"notes": "x"}, {"seed": 9}, {"description": "x"}, {"prompt": None}]
)
def test_a_take_stays_what_the_shot_says_when_other_things_change(
    change: dict[str, object],
) -> None:
    assert is_current(SHOT.model_copy(update=change), MADE)


def test_a_take_is_stale_by_what_it_was_made_from_if_that_was_kept() -> None:
    template = load_template("txt2img", SHIPPED_WORKFLOWS)
    now = compose(MADE, NO_SOURCES, template)
    assert is_current(SHOT, MADE, digest=now.digest, composition=now)
    assert not is_current(SHOT, MADE, digest="of another workflow", composition=now)
    assert is_current(SHOT, MADE, composition=now)
    styled = now.model_copy(update={"request": MADE.model_copy(update={"steps": 9})})
    assert not is_current(SHOT, MADE, composition=styled)


def test_takes_of_a_shot_with_a_seed_are_different_pictures() -> None:
    shot = SHOT.model_copy(update={"seed": MAX_SEED})
    assert [each.seed for each in requests_of(shot, "neon", 3)] == [MAX_SEED, 0, 1]
    assert [each.seed for each in requests_of(SHOT, "neon", 2)] == [None, None]
    assert requests_of(SHOT.model_copy(update={"prompt": None}), "neon", 2) == []


def said(action: ReviewAction, **more: object) -> NewReview:
    return NewReview.model_validate(
        {"project": "neon", "shot": "sc1", "take": 1, "action": action, **more}
    )


def test_what_a_review_leaves_a_take_as() -> None:
    rejected = TakeState().after(said(ReviewAction.REJECT, reason="hands", note="left one"))
    assert rejected == TakeState(verdict=Verdict.REJECTED, reason="hands", note="left one")
    picked = rejected.after(said(ReviewAction.PICK))
    assert picked == TakeState(verdict=Verdict.APPROVED, is_picked=True, note="left one")
    assert picked.after(said(ReviewAction.APPROVE)) == picked
    assert picked.after(said(ReviewAction.NOTE, note="")) == picked.model_copy(update={"note": ""})
    assert not picked.after(said(ReviewAction.REJECT)).is_picked


@pytest.mark.parametrize("more", [{"action": "pick", "reason": "x"}, {"action": "note"}])
def test_a_review_that_says_nothing_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NewReview.model_validate({"project": "neon", "shot": "sc1", "take": 1, **more})
