"""What becomes of a job whose render failed, as the documentation says it in words."""

import pytest

from anime.core.job_status import JobStatus
from anime.core.recovery import (
    MAX_MOVES,
    Decision,
    Fail,
    FailurePolicy,
    FilesView,
    LeaseView,
    Move,
    NextAttempt,
    NextServer,
    PromptView,
    RecoverableJob,
    RunView,
    ServersView,
    SilentServerPolicy,
    decide,
)


def decided(
    prompt: PromptView,
    *,
    silent_server: SilentServerPolicy = "fail",
    attempt: int = 1,
    moves: int = 0,
    **servers: bool,
) -> Decision:
    return decide(
        RecoverableJob(JobStatus.PROCESSING, attempt=attempt, moves=moves),
        LeaseView.LIVE,
        RunView.UNDER_WAY,
        prompt,
        FilesView.NONE,
        ServersView(**servers),
        FailurePolicy(max_attempts=3, silent_server=silent_server),
    )


def goes_to(decision: Decision) -> NextServer | None:
    """Where the next attempt goes; None if there is none."""
    assert isinstance(decision, NextAttempt | Fail)
    return decision.server if isinstance(decision, NextAttempt) else None


@pytest.mark.parametrize("prompt", [PromptView.ABSENT, PromptView.INTERRUPTED])
def test_a_lost_prompt_is_sent_again_until_the_attempts_are_used_up(prompt: PromptView) -> None:
    assert goes_to(decided(prompt, attempt=2)) is NextServer.ANY
    assert goes_to(decided(prompt, attempt=3)) is None
    assert goes_to(decided(prompt, attempt=2, moves=MAX_MOVES)) is NextServer.ANY


def test_f20_out_of_memory_frees_then_takes_a_larger_server_then_gives_up() -> None:
    full = PromptView.OUT_OF_MEMORY
    assert goes_to(decided(full, others=True)) is NextServer.SAME
    larger = decided(full, was_freed=True, others=True, larger=True)
    assert isinstance(larger, Move)
    assert goes_to(larger) is NextServer.LARGER
    assert goes_to(decided(full, was_freed=True, others=True)) is None


@pytest.mark.parametrize(
    "prompt", [PromptView.DEAD, PromptView.GPU_FAULT, PromptView.IDLE, PromptView.FULL]
)
def test_what_another_server_can_mend_goes_to_one(prompt: PromptView) -> None:
    assert goes_to(decided(prompt, others=True)) is NextServer.OTHER
    assert goes_to(decided(prompt)) is None
    assert goes_to(decided(prompt, others=True, moves=MAX_MOVES)) is None


def test_a_silent_server_is_left_only_where_the_setting_says_so() -> None:
    silent = PromptView.SILENT
    assert goes_to(decided(silent, others=True)) is None
    assert goes_to(decided(silent, others=True, silent_server="move")) is NextServer.OTHER
    assert goes_to(decided(silent, silent_server="move")) is None
