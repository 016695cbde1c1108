"""Takes of a shot, what people say of them, and the state of the shot that follows."""

from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from anime.core.catalogue import Description
from anime.core.composition.record import UNSEEN_FIELDS, Composition
from anime.core.ids import MAX_SEED
from anime.core.shots import ShotCode, ShotFields, ShotState
from anime.schemas import GenerationRequest, GivenName, Name


class Verdict(StrEnum):
    """What the last review of a take has said."""

    APPROVED = "approved"
    REJECTED = "rejected"


class ReviewAction(StrEnum):
    """What a review does to a take."""

    APPROVE = "approve"
    REJECT = "reject"
    PICK = "pick"  # approves it, too; another take of the shot is no longer picked
    NOTE = "note"
    UNDO = "undo"  # of the last review of the take that is not undone


class TakeState(BaseModel):
    """What reviews have left a take as."""

    verdict: Verdict | None = None
    is_picked: bool = False
    reason: str = Field(default="", description="Why it is rejected.")
    note: str = ""

    def after(self, review: "NewReview") -> Self:
        """The take after a review that is no undo."""
        changes: dict[str, Any] = {}
        match review.action:
            case ReviewAction.APPROVE:
                changes = {"verdict": Verdict.APPROVED, "reason": ""}
            case ReviewAction.PICK:
                changes = {"verdict": Verdict.APPROVED, "is_picked": True, "reason": ""}
            case ReviewAction.REJECT:
                changes = {
                    "verdict": Verdict.REJECTED,
                    "is_picked": False,
                    "reason": review.reason or "",
                }
        if review.note is not None:
            changes["note"] = review.note
        return self.model_copy(update=changes)


class TakeRecord(TakeState):
    """A take of a shot: a file, with a number that no other take of the shot is ever given."""

    shot: str = Field(description="The shot's code.")
    number: int = Field(description="From 1, in the order in which the files were made.")
    file_id: int
    job_id: UUID
    path: str | None
    seed: int | None
    style_version: int | None = Field(description="Of the project's style that it was made with.")
    reviewed_by: str | None
    reviewed_at: AwareDatetime | None


class TakeList(BaseModel):
    """The takes of a shot."""

    items: list[TakeRecord]


class NewReview(BaseModel):
    """What somebody says of a take."""

    model_config = ConfigDict(extra="forbid")

    project: GivenName = Field(description="Id, slug or name of the project.")
    shot: ShotCode = Field(description="The shot's code.")
    take: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(description="The take's number.")
    action: ReviewAction = Field(description="approve, reject, pick, note or undo.")
    reason: GivenName | None = Field(default=None, description="Why it is rejected.")
    note: Description | None = None
    by: Name = Field(default="api", description="Who says it.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.reason is not None and self.action is not ReviewAction.REJECT:
            raise ValueError("has a reason, which only a rejection has; say it in the note")
        if self.action is ReviewAction.NOTE and self.note is None:
            raise ValueError("has no note")
        return self


def state_of(
    shot: ShotFields,
    picked: GenerationRequest | None,
    *,
    usable: int,
    under_way: int,
    digest: str | None = None,
    composition: Composition | None = None,
) -> ShotState:
    """How far a shot is.

    Args:
        shot: What it says now.
        picked: What its picked take was asked for with; None if none is picked.
        usable: Takes that are not rejected.
        under_way: Jobs for it that wait or render.
        digest: What its picked take was made from, if that was kept.
        composition: What a take of it would be made from now, if that is known.
    """
    if picked is not None:
        current = is_current(shot, picked, digest=digest, composition=composition)
        return ShotState.APPROVED if current else ShotState.STALE
    if under_way:
        return ShotState.RENDERING
    return ShotState.TO_REVIEW if usable else ShotState.MISSING


def is_current(
    shot: ShotFields,
    asked: GenerationRequest,
    *,
    digest: str | None = None,
    composition: Composition | None = None,
) -> bool:
    """Whether a take that was asked for like that was made from what the shot says now.

    A shot that has no prompt now cannot be rendered again: its takes stay as they are. Of an older
    take nobody knows which version of its workflow it was made with: the requests are compared.
    """
    now = shot.request(asked.project or "")
    if now is None:
        return True
    if composition is not None:
        if digest is not None:
            return composition.digest == digest
        now = composition.request
    return now.model_dump(exclude=UNSEEN_FIELDS) == asked.model_dump(exclude=UNSEEN_FIELDS)


def requests_of(shot: ShotFields, project: str, takes: int) -> list[GenerationRequest]:
    """What renders so many takes of the shot; none without a prompt.

    The first one has the shot's seed, each further one the next; without one, any has its own.
    """
    request = shot.request(project)
    if request is None:
        return []
    if request.seed is None:
        return [request] * takes
    first = request.seed
    return [request.model_copy(update={"seed": (first + n) % (MAX_SEED + 1)}) for n in range(takes)]
