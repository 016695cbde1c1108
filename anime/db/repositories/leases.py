"""Who may write to a job: the run that holds its lease, told by a fencing number.

Each lease of a job has a higher number than the one before. Every write of a run names its
number, so that a run which lost the job without noticing (a long pause, a lost network)
changes nothing any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Interval, Uuid, and_, bindparam, func, or_

from anime.core.job_status import JobStatus, may_precede
from anime.db.models import JOBS, ProductionJob
from anime.errors import AnimeError, JobCancelled, LeaseLost

# The clock that counts is PostgreSQL's, and its time of day, not that of the transaction's
# start: a statement may have waited for another run's to end.
NOW = func.clock_timestamp()
_STOPPED = (JobStatus.CANCELLING, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Lease:
    """A job, as the run that may write to it knows it.

    `prompt_id` and `comfyui_url` say what the current attempt was sent as, and where; both
    are None while nothing was sent. Attempts up to `attempts_before` do not count any more;
    `avoided_servers` have failed it, in this order; so many times one has died while it
    rendered it. `composition`: what its request has become, in JSON, if it was composed.
    """

    job_id: UUID
    owner: UUID
    fence: int
    attempt: int
    prompt_id: UUID | None = None
    comfyui_url: str | None = None
    attempts_before: int = 0
    avoided_servers: tuple[str, ...] = ()
    servers_killed: int = 0
    composition: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)


def lease_of(job: Any, owner: UUID) -> Lease:  # a row of JOBS
    """The lease that the row describes."""
    return Lease(
        job_id=job.id,
        owner=owner,
        fence=job.fence,
        attempt=job.attempt,
        prompt_id=job.prompt_id,
        comfyui_url=job.comfyui_url,
        attempts_before=job.attempts_before,
        avoided_servers=tuple(job.avoided_servers),
        servers_killed=job.servers_killed,
        composition=job.composition,
    )


# Guards of statements that are put together once: `values_of` gives what they name.
IS_JOB = JOBS.c.id == bindparam("of_job", type_=Uuid)
IS_HELD = and_(  # that lease is the job's latest and was not given back
    IS_JOB,
    JOBS.c.fence == bindparam("of_fence", type_=BigInteger),
    JOBS.c.lease_owner == bindparam("of_owner", type_=Uuid),
)
FOR_SECONDS = NOW + bindparam("for_seconds", type_=Interval)


def values_of(lease: Lease) -> dict[str, object]:
    """The values of IS_JOB and IS_HELD."""
    return {"of_job": lease.job_id, "of_fence": lease.fence, "of_owner": lease.owner}


def may_become(then: JobStatus) -> ColumnElement[bool]:
    """Guard: the job is in a state from which it may go to `then`."""
    return or_(*(JOBS.c.status == status for status in sorted(may_precede(then))))


def is_free(owner: ColumnElement[UUID] | None = None) -> ColumnElement[bool]:
    """Guard: no other run than `owner` holds the job."""
    is_own = [] if owner is None else [JOBS.c.lease_owner == owner]
    return or_(JOBS.c.lease_owner.is_(None), *is_own, JOBS.c.lease_expires_at <= NOW)


def until(seconds: float) -> ColumnElement[datetime]:
    """The moment so many seconds from now."""
    return NOW + timedelta(seconds=seconds)


def refusal(job: ProductionJob) -> AnimeError:
    """Why a run may not write to that job."""
    if job.status in _STOPPED:
        return JobCancelled(
            f"Job {job.id} was cancelled.", "Generate it anew if it is wanted after all."
        )
    if job.status.is_final:
        return LeaseLost(
            f"Job {job.id} has ended: it is {job.status}.", "Its run has nothing left to do."
        )
    if job.lease_owner is None or job.lease_expires_at is None:
        return LeaseLost(f"Nobody holds job {job.id} any more.", "Start its run again.")
    expiry = job.lease_expires_at.astimezone(UTC)
    return LeaseLost(
        f"Job {job.id} belongs to run {job.lease_owner} until {expiry:%Y-%m-%d %H:%M:%S} UTC.",
        "That run goes on with it; start another only after that time.",
    )
