"""What becomes of a job that nobody works on, over every combination of what can be seen."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from anime.core.job_status import FailureKind, JobStatus
from anime.core.recovery import (
    DISPATCH_SECONDS,
    MAX_RUNS_LOST,
    MAX_SERVERS_KILLED,
    MAX_STARTS_LOST,
    START_SECONDS,
    Adopt,
    CancelJob,
    Decision,
    Fail,
    FilesView,
    Follow,
    LeaseView,
    NextAttempt,
    PromptView,
    QuarantineJob,
    RecoverableJob,
    Requeue,
    Resume,
    RunView,
    Wait,
    decide,
)
from anime.jobs.monitor import AnswerTimes

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
    (WAITING, ANY, RunView.ENDED, ANY, Requeue),
    (BEGUN, ANY, RunView.ENDED, ANY, Resume),
]


def expected(*seen: object) -> type[Decision]:
    """What the table says."""
    return next(
        row[-1]
        for row in TABLE
        if all(wanted in (ANY, has) for wanted, has in zip(row[:-1], seen, strict=True))
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
@pytest.mark.parametrize("run", [RunView.ENDED, RunView.UNDER_WAY])
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


def test_a_run_that_showed_life_after_its_begin_and_then_none_is_dead_at_once() -> None:
    seen = RecoverableJob(BEGUN, idle_seconds=20, run_seconds=21)
    assert isinstance(decide(seen, LeaseView.LAPSED, RunView.UNDER_WAY), Resume)


def test_a_job_is_left_to_whoever_is_dispatching_it() -> None:
    seen = RecoverableJob(WAITING, idle_seconds=DISPATCH_SECONDS)
    assert isinstance(decide(seen, LeaseView.NONE, RunView.NONE), Requeue)


LAST = RecoverableJob(BEGUN, attempt=3, last_attempt=3)
FIRST = replace(LAST, attempt=1)
# What a run decides that holds the job: job, prompt, files.
OF_PROMPT: list[tuple[RecoverableJob, PromptView, FilesView, type[Decision]]] = [
    *((job, PromptView.UNASKED, files, Wait) for job in (FIRST, LAST) for files in FilesView),
    *((job, PromptView.KNOWN, files, Follow) for job in (FIRST, LAST) for files in FilesView),
    *((job, PromptView.FAILED, files, NextAttempt) for job in (FIRST, LAST) for files in FilesView),
    *(
        (job, prompt, FilesView.WHOLE, Adopt)
        for job in (FIRST, LAST)
        for prompt in (PromptView.ABSENT, PromptView.KILLED)
    ),
    *(
        (job, prompt, files, then)
        for job, then in ((FIRST, NextAttempt), (LAST, Fail))
        for prompt in (PromptView.ABSENT, PromptView.KILLED)
        for files in (FilesView.NONE, FilesView.UNASKED)
    ),
]


@pytest.mark.parametrize(("job", "prompt", "files", "then"), OF_PROMPT)
def test_what_a_run_decides_about_its_prompt(
    job: RecoverableJob, prompt: PromptView, files: FilesView, then: type[Decision]
) -> None:
    decision = decide(job, LeaseView.LIVE, RunView.UNDER_WAY, prompt, files)
    assert type(decision) is then
    assert decision.why.endswith(".")


def test_the_table_of_prompts_has_every_combination() -> None:
    every = set(product((FIRST, LAST), PromptView, FilesView))
    assert {row[:3] for row in OF_PROMPT} == every


def test_a_prompt_that_the_server_lost_to_the_end_is_lost() -> None:
    decision = decide(LAST, LeaseView.LIVE, RunView.UNDER_WAY, PromptView.ABSENT, FilesView.NONE)
    assert isinstance(decision, Fail)
    assert decision.kind is FailureKind.LOST


@pytest.mark.parametrize("files", FilesView)
def test_f06_a_prompt_that_kills_servers_is_set_aside(files: FilesView) -> None:
    poison = replace(FIRST, servers_killed=MAX_SERVERS_KILLED)
    decision = decide(poison, LeaseView.LIVE, RunView.UNDER_WAY, PromptView.KILLED, files)
    assert isinstance(decision, QuarantineJob)


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
