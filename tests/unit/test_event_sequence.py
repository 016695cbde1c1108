"""Which events a listener is told, whatever order they come in."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from anime.core.event_sequence import EventSequence
from anime.core.job_status import JobStatus, Stage
from anime.schemas import ProgressEvent

JOB = UUID(int=7)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(
    seq: int,
    progress: int = 0,
    *,
    attempt: int = 1,
    status: JobStatus = JobStatus.PROCESSING,
    stage: Stage | None = None,
    second: int | None = None,
    fence: int = 0,
) -> ProgressEvent:
    at = NOON + timedelta(seconds=seq if second is None else second)
    return ProgressEvent(
        job_id=JOB,
        status=status,
        stage=stage,
        progress=progress,
        message="",
        timestamp=at,
        attempt=attempt,
        fence=fence,
        seq=seq,
    )


def told(*events: ProgressEvent) -> list[ProgressEvent]:
    """What a listener hears of these, in this order."""
    trail, heard = EventSequence(), []
    for each in events:
        if trail.follows(each):
            heard.append(trail.in_order(each))
            trail = trail.after(heard[-1])
    return heard


def test_an_event_that_was_told_is_not_told_again() -> None:
    assert [each.seq for each in told(event(1), event(2), event(2), event(1))] == [1, 2]


def test_a_late_event_is_not_told() -> None:
    assert [each.seq for each in told(event(1), event(3), event(2))] == [1, 3]


def test_nothing_follows_the_end() -> None:
    end = event(2, 100, status=JobStatus.COMPLETED)
    assert told(event(1), end, event(3), event(4, status=JobStatus.CANCELLED))[-1] == end


def test_progress_stands_rather_than_goes_back() -> None:
    assert [each.progress for each in told(event(1, 40), event(2, 30), event(3, 50))] == [
        *(40, 40, 50)
    ]


def test_the_stage_stands_rather_than_goes_back() -> None:
    stages = (Stage.SUBMITTING, Stage.CHECKING_VRAM, None, Stage.RENDERING)
    heard = told(*(event(seq, stage=stage) for seq, stage in enumerate(stages, 1)))
    assert [each.stage for each in heard] == [
        *(Stage.SUBMITTING, Stage.SUBMITTING, Stage.SUBMITTING, Stage.RENDERING)
    ]


def test_a_new_attempt_begins_at_an_early_stage() -> None:
    heard = told(event(1, stage=Stage.RENDERING), event(2, stage=Stage.SUBMITTING, attempt=2))
    assert heard[-1].stage is Stage.SUBMITTING


def test_a_new_attempt_begins_anew_and_the_old_one_is_over() -> None:
    heard = told(event(1, 60), event(2, 5, attempt=2), event(3, 70, attempt=1))
    assert [(each.attempt, each.progress) for each in heard] == [(1, 60), (2, 5)]


def test_what_a_run_says_that_has_lost_the_job_is_not_told_unless_it_ends_the_job() -> None:
    late = event(3, 70, fence=1), event(4, 0, status=JobStatus.FAILED, fence=1)
    heard = told(event(1, 60, fence=1), event(2, 60, fence=2), *late)
    assert [each.seq for each in heard] == [1, 2]
    assert told(*heard, event(5, 100, status=JobStatus.COMPLETED, fence=1))[-1].seq == 5


def test_a_job_that_waits_again_begins_anew_within_its_attempt() -> None:
    again = event(3, status=JobStatus.QUEUED, fence=2), event(4, 5, stage=Stage.SUBMITTING, fence=3)
    heard = told(event(2, 40, stage=Stage.RENDERING, fence=1), *again)
    assert [(each.progress, each.stage) for each in heard[1:]] == [(0, None), (5, Stage.SUBMITTING)]


def test_a_count_that_begins_anew_is_followed() -> None:
    heard = told(event(30, 30), event(1, 40, second=31), event(2, 50, second=32))
    assert [each.seq for each in heard] == [30, 1, 2]


def test_an_event_without_a_number_leaves_the_count_as_it_is() -> None:
    heard = told(event(5, 10), event(0, 20, second=6), event(5, 10), event(6, 30, second=7))
    assert [each.seq for each in heard] == [5, 0, 6]


def test_the_end_is_told_even_without_a_number_and_by_a_slow_clock() -> None:
    heard = told(event(5, 10), event(0, 100, status=JobStatus.COMPLETED, second=1))
    assert heard[-1].status is JobStatus.COMPLETED


def test_the_end_is_told_even_if_its_number_was_told_before_redis_lost_its_memory() -> None:
    heard = told(event(1), event(1, 100, status=JobStatus.COMPLETED, second=0))
    assert heard[-1].status is JobStatus.COMPLETED


events = st.builds(
    event,
    st.integers(0, 20),
    st.integers(0, 100),
    attempt=st.integers(1, 3),
    status=st.sampled_from(JobStatus),
    second=st.integers(0, 20),
)


@given(st.lists(events, max_size=30))
def test_whatever_comes_attempts_and_progress_only_grow_and_the_end_is_last(
    some: list[ProgressEvent],
) -> None:
    heard = told(*some)
    going_on = [(each.attempt, each.progress) for each in heard if not each.status.is_final]
    assert going_on == sorted(going_on)
    assert [each.status.is_final for each in heard[:-1]] == [False] * (
        len(heard) - 1 if heard else 0
    )
    assert any(each.status.is_final for each in heard) == any(each.status.is_final for each in some)


stages = st.builds(
    event,
    st.integers(1, 20),
    attempt=st.integers(1, 2),
    stage=st.none() | st.sampled_from(Stage),
)


@given(st.lists(stages, max_size=20))
def test_whatever_comes_the_stage_only_grows_within_an_attempt(some: list[ProgressEvent]) -> None:
    order = [None, *Stage]
    heard = [(each.attempt, order.index(each.stage)) for each in told(*some)]
    assert heard == sorted(heard)
