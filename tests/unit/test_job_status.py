"""The states of a job and their order."""

import pytest

from anime.core.job_status import NEXT, JobStatus, may_follow, may_precede

FINAL = {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}


def test_every_state_says_what_may_follow_it() -> None:
    assert set(NEXT) == set(JobStatus)


def test_exactly_three_states_are_final() -> None:
    assert {status for status in JobStatus if status.is_final} == FINAL


@pytest.mark.parametrize("final", sorted(FINAL - {JobStatus.FAILED}))
def test_nothing_follows_a_final_state(final: JobStatus) -> None:
    assert not any(may_follow(final, then) for then in JobStatus)


def test_only_a_failed_job_can_be_requeued() -> None:
    assert may_precede(JobStatus.QUEUED) == {JobStatus.FAILED}
    assert NEXT[JobStatus.FAILED] == {JobStatus.QUEUED}


def test_a_render_that_ends_before_its_cancellation_is_completed() -> None:
    assert may_follow(JobStatus.CANCELLING, JobStatus.COMPLETED)


def test_a_job_that_is_being_cancelled_does_not_go_on() -> None:
    assert not may_follow(JobStatus.CANCELLING, JobStatus.PROCESSING)


def test_a_job_cannot_be_completed_before_a_run_has_taken_it() -> None:
    assert not may_follow(JobStatus.QUEUED, JobStatus.COMPLETED)


def test_what_may_precede_a_state_is_what_it_may_follow() -> None:
    for then in JobStatus:
        assert may_precede(then) == {now for now in JobStatus if may_follow(now, then)}


def test_every_state_but_the_first_can_be_reached() -> None:
    reached, edge = {JobStatus.QUEUED}, {JobStatus.QUEUED}
    while edge:
        edge = {then for now in edge for then in NEXT[now]} - reached
        reached |= edge
    assert reached == set(JobStatus)
