"""What becomes of a job that nobody works on, over every combination of what can be seen."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, cast

import pytest

from anime.core.job_status import FailureKind, JobStatus
from anime.core.recovery import (
    CLAIM_SECONDS,
    DISPATCH_SECONDS,
    MAX_MOVES,
    MAX_RUNS_LOST,
    MAX_STARTS_LOST,
    START_SECONDS,
    Adopt,
    CancelJob,
    Decision,
    Fail,
    FailurePolicy,
    FilesView,
    Follow,
    LeaseView,
    Move,
    NextAttempt,
    NextServer,
    PromptView,
    QuarantineJob,
    RecoverableJob,
    Requeue,
    Resume,
    RunView,
    ServersView,
    Wait,
    decide,
)
from anime.errors import ComfyUIError
from anime.jobs.monitor import EVERY_SECONDS, AnswerTimes
from anime.runs.render import _VIEWS

OPEN = (JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.CANCELLING)
ANY = "any"
YOUNG, OLD = 0.0, START_SECONDS + 1
GONE = (LeaseView.NONE, LeaseView.LAPSED)
BEGUN, WAITING, STOPPING = JobStatus.PROCESSING, JobStatus.QUEUED, JobStatus.CANCELLING

# status, lease, run, idle: what is decided. The first row that fits counts.
TABLE: list[tuple[object, object, object, object, type[Decision]]] = [
    (ANY, LeaseView.LIVE, ANY, ANY, Wait),
    (STOPPING, ANY, ANY, ANY, CancelJob),
    (ANY, LeaseView.UNSURE, ANY, ANY, Wait),
    (ANY, ANY, RunView.UNKNOWN, ANY, Wait),
    (ANY, ANY, RunView.WAITING, ANY, Wait),
    (ANY, ANY, RunView.ALIVE, ANY, Wait),
    (ANY, ANY, RunView.CANCELLED, ANY, CancelJob),
    (ANY, ANY, RunView.NONE, YOUNG, Wait),
    (WAITING, ANY, RunView.NONE, OLD, Requeue),
    (BEGUN, ANY, RunView.NONE, OLD, Resume),
    (WAITING, ANY, RunView.MISSING, ANY, Requeue),
    (BEGUN, ANY, RunView.MISSING, ANY, Resume),
    (ANY, LeaseView.NONE, RunView.UNDER_WAY, YOUNG, Wait),
    (WAITING, ANY, RunView.UNDER_WAY, ANY, Requeue),
    (BEGUN, ANY, RunView.UNDER_WAY, ANY, Resume),
    (WAITING, ANY, RunView.CLAIMED, ANY, Requeue),
    (BEGUN, ANY, RunView.CLAIMED, ANY, Resume),
    (WAITING, ANY, RunView.ENDED, ANY, Requeue),
    (BEGUN, ANY, RunView.ENDED, ANY, Resume),
]


def expected(*seen: object) -> type[Decision]:
    """What the table says."""
    return TABLE[first_of(TABLE, seen)][-1]


def expected_of(table: Sequence[tuple[object, ...]], seen: Sequence[object]) -> object:
    """What a table says whose rows end with a decision and what it tells besides."""
    return table[first_of(table, seen)][-2:]


def first_of(table: Sequence[tuple[object, ...]], seen: Sequence[object]) -> int:
    """The number of the first row that fits."""
    return next(
        number
        for number, row in enumerate(table)
        if all(wanted in (ANY, has) for wanted, has in zip(row, seen, strict=False))
    )


def combinations() -> Iterator[tuple[JobStatus, LeaseView, RunView, float]]:
    yield from product(OPEN, LeaseView, RunView, (YOUNG, OLD))


@pytest.mark.parametrize(("status", "lease", "run", "idle"), list(combinations()))
def test_what_the_monitor_decides(
    status: JobStatus, lease: LeaseView, run: RunView, idle: float
) -> None:
    decision = decide(RecoverableJob(status, idle_seconds=idle), lease, run)
    assert type(decision) is expected(status, lease, run, idle)
    assert decision.why.endswith(".")


@pytest.mark.parametrize("status", [each for each in JobStatus if each.is_final])
@pytest.mark.parametrize("run", RunView)
def test_nothing_is_done_about_a_job_that_has_ended(status: JobStatus, run: RunView) -> None:
    assert isinstance(decide(RecoverableJob(status), LeaseView.NONE, run), Wait)


@pytest.mark.parametrize(("status", "most"), [(WAITING, MAX_STARTS_LOST), (BEGUN, MAX_RUNS_LOST)])
@pytest.mark.parametrize("run", [RunView.ENDED, RunView.UNDER_WAY, RunView.CLAIMED])
def test_a_job_whose_runs_die_again_and_again_is_given_up(
    status: JobStatus, most: int, run: RunView
) -> None:
    seen = RecoverableJob(status, idle_seconds=OLD)
    decisions = [decide(replace(seen, lost_runs=lost), GONE[1], run) for lost in range(most)]
    assert [type(each) for each in decisions[:-1]] == [type(decisions[0])] * (most - 1)
    assert isinstance(decisions[-1], Fail)
    assert decisions[-1].kind is FailureKind.INTERNAL


@pytest.mark.parametrize("status", [WAITING, BEGUN])
@pytest.mark.parametrize("run", [RunView.MISSING, RunView.NONE])
def test_a_run_that_somebody_deleted_counts_against_nobody(status: JobStatus, run: RunView) -> None:
    seen = RecoverableJob(status, idle_seconds=OLD, lost_runs=MAX_RUNS_LOST)
    decision = decide(seen, LeaseView.NONE, run)
    assert isinstance(decision, Requeue | Resume)
    assert not decision.is_run_lost


@pytest.mark.parametrize("lease", GONE)
@pytest.mark.parametrize("status", [WAITING, BEGUN])
def test_a_run_that_has_just_begun_is_left_to_take_its_job(
    status: JobStatus, lease: LeaseView
) -> None:
    seen = RecoverableJob(status, idle_seconds=3600, run_seconds=START_SECONDS - 1)
    assert isinstance(decide(seen, lease, RunView.UNDER_WAY), Wait)
    older = replace(seen, run_seconds=START_SECONDS)
    assert isinstance(decide(older, lease, RunView.UNDER_WAY), Requeue | Resume)


@pytest.mark.parametrize("status", [WAITING, BEGUN])
def test_f60_a_run_that_a_dead_worker_has_claimed_is_found_within_a_minute(
    status: JobStatus,
) -> None:
    seen = RecoverableJob(status, idle_seconds=3600, run_seconds=60 - EVERY_SECONDS)
    assert isinstance(decide(seen, LeaseView.NONE, RunView.CLAIMED), Requeue | Resume)
    just_now = replace(seen, run_seconds=CLAIM_SECONDS - 1)
    assert isinstance(decide(just_now, LeaseView.NONE, RunView.CLAIMED), Wait)


def test_a_worker_that_is_slow_to_begin_gets_longer_with_each_run() -> None:
    slow = RecoverableJob(WAITING, idle_seconds=3600, run_seconds=2 * CLAIM_SECONDS - 1)
    assert isinstance(decide(slow, LeaseView.NONE, RunView.CLAIMED), Requeue)
    assert isinstance(decide(replace(slow, lost_runs=1), LeaseView.NONE, RunView.CLAIMED), Wait)


def test_a_run_that_showed_life_after_its_begin_and_then_none_is_dead_at_once() -> None:
    seen = RecoverableJob(BEGUN, idle_seconds=20, run_seconds=21)
    assert isinstance(decide(seen, LeaseView.LAPSED, RunView.UNDER_WAY), Resume)


def test_a_job_is_left_to_whoever_is_dispatching_it() -> None:
    seen = RecoverableJob(WAITING, idle_seconds=DISPATCH_SECONDS)
    assert isinstance(decide(seen, LeaseView.NONE, RunView.NONE), Requeue)


LAST = RecoverableJob(BEGUN, attempt=3)
FIRST = replace(LAST, attempt=1)
NO_SERVERS, USUAL = ServersView(), FailurePolicy()


def about_prompt(
    prompt: PromptView,
    files: FilesView = FilesView.UNASKED,
    job: RecoverableJob = FIRST,
    servers: ServersView = NO_SERVERS,
    policy: FailurePolicy = USUAL,
) -> Decision:
    """What a run decides that holds the job."""
    return decide(job, LeaseView.LIVE, RunView.UNDER_WAY, prompt, files, servers, policy)


# What a run decides about its prompt. `larger` comes with `others`: such a server is another one.
# prompt, files, attempt, moves, others, larger, freed, deaths, silent: what, where, or which kind.
WHOLE, FEW, MANY = FilesView.WHOLE, MAX_MOVES - 1, MAX_MOVES
SAME, OTHER, LARGER = NextServer.SAME, NextServer.OTHER, NextServer.LARGER
ONCE, ALIKE, OFTEN = (1, 1), (2, 2), (3, 1)  # deaths, and those at one point
LOST, STOPPED = PromptView.ABSENT, PromptView.INTERRUPTED
FULL_CARD, CARD_USED = PromptView.OUT_OF_MEMORY, PromptView.FULL
DEAD, SILENT = PromptView.DEAD, PromptView.SILENT
OF_PROMPT: list[tuple[object, ...]] = [
    (PromptView.UNASKED, *[ANY] * 8, Wait, None),
    (PromptView.KNOWN, *[ANY] * 8, Follow, None),
    (PromptView.FAILED, *[ANY] * 8, NextAttempt, NextServer.ANY),
    (LOST, WHOLE, *[ANY] * 7, Adopt, None),
    *((each, *[ANY] * 6, deaths, ANY, QuarantineJob, None)
      for each in (LOST, DEAD) for deaths in (ALIKE, OFTEN)),
    (LOST, ANY, 1, *[ANY] * 6, NextAttempt, NextServer.ANY),
    (LOST, ANY, 3, *[ANY] * 6, Fail, FailureKind.LOST),
    (STOPPED, ANY, 1, *[ANY] * 6, NextAttempt, NextServer.ANY),
    (STOPPED, ANY, 3, *[ANY] * 6, Fail, FailureKind.INTERRUPTED),
    (FULL_CARD, *[ANY] * 5, False, *[ANY] * 2, NextAttempt, SAME),
    (FULL_CARD, *[ANY] * 2, FEW, ANY, True, True, *[ANY] * 2, Move, LARGER),
    (FULL_CARD, *[ANY] * 8, Fail, FailureKind.OUT_OF_MEMORY),
    (SILENT, *[ANY] * 7, "fail", Fail, FailureKind.COMFYUI_UNREACHABLE),
    *((each, *[ANY] * 2, FEW, True, *[ANY] * 4, Move, OTHER)
      for each in (CARD_USED, PromptView.GPU_FAULT, DEAD, SILENT, PromptView.IDLE)),
    (CARD_USED, *[ANY] * 8, Fail, FailureKind.INSUFFICIENT_VRAM),
    (PromptView.GPU_FAULT, *[ANY] * 8, Fail, FailureKind.NODE_ERROR),
    (PromptView.IDLE, *[ANY] * 8, Fail, FailureKind.TIMEOUT),
    *((each, *[ANY] * 8, Fail, FailureKind.COMFYUI_UNREACHABLE) for each in (DEAD, SILENT)),
]  # fmt: skip


def every_prompt() -> Iterator[tuple[object, ...]]:
    yield from (
        seen
        for seen in product(
            *(PromptView, FilesView, (1, 3), (FEW, MANY), (False, True), (False, True)),
            *((False, True), (ONCE, ALIKE, OFTEN), ("fail", "move")),
        )
        if seen[4] or not seen[5]
    )


@pytest.mark.parametrize("prompt", PromptView)
def test_what_a_run_decides_about_its_prompt(prompt: PromptView) -> None:
    for seen in every_prompt():
        if seen[0] is not prompt:
            continue
        _, files, attempt, moves, others, larger, was_freed, deaths, silent = cast("Any", seen)
        decision = about_prompt(
            prompt,
            files,
            RecoverableJob(BEGUN, attempt=attempt, moves=moves),
            ServersView(others, larger, was_freed, *deaths),
            FailurePolicy(silent_server=silent),
        )
        assert (type(decision), told_of(decision)) == expected_of(OF_PROMPT, seen), seen
        assert decision.why.endswith(".")


def told_of(decision: Decision) -> object:
    """Where it goes next, or the kind of its failure."""
    match decision:
        case NextAttempt():
            return decision.server
        case Fail():
            return decision.kind
    return None


def test_every_row_of_the_table_of_prompts_counts() -> None:
    used = {first_of(OF_PROMPT, seen) for seen in every_prompt()}
    assert used == set(range(len(OF_PROMPT)))


@pytest.mark.parametrize("error", _VIEWS)
def test_a_job_fails_with_the_kind_that_its_error_has(error: type[ComfyUIError]) -> None:
    decision = about_prompt(_VIEWS[error], job=LAST, servers=ServersView(was_freed=True))
    assert isinstance(decision, Fail)
    assert decision.kind is error.kind


@pytest.mark.parametrize("files", FilesView)
def test_f06_a_prompt_that_kills_servers_is_set_aside(files: FilesView) -> None:
    for deaths in (ALIKE, OFTEN):
        decision = about_prompt(DEAD, files, servers=ServersView(True, True, True, *deaths))
        assert isinstance(decision, QuarantineJob)


def test_a_prompt_under_which_servers_were_killed_at_other_points_is_rendered_again() -> None:
    twice = ServersView(others=True, deaths=2, alike_deaths=1)
    assert isinstance(about_prompt(LOST, servers=twice), NextAttempt)
    assert isinstance(about_prompt(DEAD, servers=twice), Move)
    patient = FailurePolicy(max_server_deaths=5)
    four_times = replace(twice, deaths=4)
    assert isinstance(about_prompt(DEAD, servers=four_times, policy=patient), Move)


def test_a_gap_in_prefects_answers_begins_their_time_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("anime.jobs.monitor.time.monotonic", lambda: clock[-1])
    answers = AnswerTimes()
    assert answers.seconds < 0
    seconds = []
    for now, is_answered in ((1000, True), (1060, True), (1075, False), (1090, True), (1400, True)):
        clock.append(now)
        answers.note() if is_answered else answers.forget()
        seconds.append(answers.seconds)
    assert [seconds[each] for each in (0, 1, 3, 4)] == [0, 60, 0, 0]
