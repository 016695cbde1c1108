"""Who may write to a job: the run that holds its lease, told by a fencing number.

Each lease of a job has a higher number than the one before. Every write of a run names its
number, so that a run which lost the job without noticing (a long pause, a lost network)
changes nothing any more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_

from anime.core.job_status import JobStatus, may_precede
from anime.db.models import ProductionJob
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
    rendered it.
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


def lease_of(job: ProductionJob, owner: UUID) -> Lease:
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
    )


def may_become(then: JobStatus) -> ColumnElement[bool]:
    """Guard: the job is in a state from which it may go to `then`."""
    return ProductionJob.status.in_(sorted(may_precede(then)))


def is_free(owner: UUID | None = None) -> ColumnElement[bool]:
    """Guard: no other run than `owner` holds the job."""
    return or_(
        ProductionJob.lease_owner.is_(None),
        ProductionJob.lease_owner == owner,
        ProductionJob.lease_expires_at <= NOW,
    )


def is_held_by(lease: Lease) -> ColumnElement[bool]:
    """Guard: that lease is the job's latest and was not given back."""
    return and_(
        ProductionJob.id == lease.job_id,
        ProductionJob.fence == lease.fence,
        ProductionJob.lease_owner == lease.owner,
    )


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
