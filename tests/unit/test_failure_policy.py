"""What becomes of a job whose render failed, for every trouble and what there is to choose from."""

import pytest

from anime.core.failure_policy import (
    MAX_MOVES,
    Remedy,
    RenderFailure,
    SilentServerPolicy,
    Trouble,
    remedy_for,
)


def remedy(
    trouble: Trouble, *, silent_server: SilentServerPolicy = "fail", **fields: int
) -> Remedy:
    failure = RenderFailure(trouble, **fields)  # type: ignore[arg-type]  # flags are numbers, too
    return remedy_for(failure, max_attempts=3, silent_server=silent_server)


@pytest.mark.parametrize("trouble", [Trouble.LOST, Trouble.INTERRUPTED])
def test_a_lost_prompt_is_sent_again_until_the_attempts_are_used_up(trouble: Trouble) -> None:
    assert remedy(trouble, lost=2) is Remedy.AGAIN
    assert remedy(trouble, lost=3) is Remedy.GIVE_UP
    assert remedy(trouble, lost=2, moves=MAX_MOVES) is Remedy.AGAIN


def test_out_of_memory_frees_then_takes_a_larger_server_then_gives_up() -> None:
    assert remedy(Trouble.OUT_OF_MEMORY, others=True) is Remedy.FREED
    assert remedy(Trouble.OUT_OF_MEMORY, was_freed=True, others=True, larger=True) is Remedy.LARGER
    assert remedy(Trouble.OUT_OF_MEMORY, was_freed=True, others=True) is Remedy.GIVE_UP


@pytest.mark.parametrize("trouble", [Trouble.DEAD, Trouble.GPU_FAULT, Trouble.IDLE, Trouble.FULL])
def test_what_another_server_can_mend_goes_to_one(trouble: Trouble) -> None:
    assert remedy(trouble, others=True) is Remedy.ELSEWHERE
    assert remedy(trouble) is Remedy.GIVE_UP
    assert remedy(trouble, others=True, moves=MAX_MOVES) is Remedy.GIVE_UP


def test_a_silent_server_is_left_only_where_the_setting_says_so() -> None:
    assert remedy(Trouble.SILENT, others=True) is Remedy.GIVE_UP
    assert remedy(Trouble.SILENT, others=True, silent_server="move") is Remedy.ELSEWHERE
    assert remedy(Trouble.SILENT, silent_server="move") is Remedy.GIVE_UP
