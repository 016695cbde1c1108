"""Every Redis key, channel and lifetime that this project uses.

The names are those of the services that this system replaces: other programs read them.
"""

from uuid import UUID

UPDATES_CHANNEL = "anime:job:updates"  # publish: one JSON snapshot for each event of any job
PREVIEWS_CHANNEL = "anime:job:previews"  # publish: pictures of renders that somebody watches
SHOTS_CHANNEL = "anime:shot:updates"  # publish: one JSON snapshot for each change of any shot
QUEUE = "anime:job:queue"  # list: ids that other programs enqueue, taken from the right
PROCESSING = "anime:job:processing"  # list: ids taken and not yet in PostgreSQL
DEAD_LETTERS = "anime:job:dead"  # list, newest first: JSON {id, reason, at} of what is no job
MAX_DEAD_LETTERS = 10_000  # entries of that list; older ones are dropped

JOB_TTL_SECONDS = 7 * 24 * 3600  # hash and stream of a job, counted from its last event
PREVIEWS_TTL_SECONDS = 10  # of a request for previews; whoever watches renews it
STREAM_MAX_EVENTS = 2_000  # per job; older ones are dropped, each event being a full snapshot


def job_hash(job_id: UUID) -> str:
    """Hash: the job's latest snapshot."""
    return f"anime:job:{job_id}"


def job_stream(job_id: UUID) -> str:
    """Stream: every event of the job, for replay; the field `event` is the published JSON."""
    return f"anime:job:{job_id}:events"


def preview_request_key(job_id: UUID | None) -> str:
    """Key: exists while somebody wants the job's previews; None means those of all jobs."""
    return f"anime:job:{job_id or '*'}:previews"


def worker_channel(work_pool: str) -> str:
    """Channel: the queue of each run that is dispatched to that Prefect work pool."""
    return f"anime:doorbell:{work_pool}"
