"""The work queues of our pool: who goes first, and who never waits for whom."""

from enum import StrEnum

MAINTENANCE_LIMIT = 3  # a sweep of hours, the cleanup beside it, and the monitor


class WorkQueue(StrEnum):
    """A queue of the pool. A worker has a limit of its own for each."""

    INTERACTIVE = "interactive"  # somebody waits for it
    MAINTENANCE = "maintenance"  # sweeps, cleanup, retention: short, and on time
    BATCH = "batch"  # hundreds of renders, hours long


# A lower number goes first. A person who waits goes before a batch of hundreds.
PRIORITIES = {WorkQueue.INTERACTIVE: 1, WorkQueue.MAINTENANCE: 5, WorkQueue.BATCH: 10}


def limits_of_worker(limit: int) -> dict[WorkQueue, int]:
    """How many runs of each queue a worker has at a time, whatever runs in the others.

    >>> limits_of_worker(1)[WorkQueue.INTERACTIVE]
    1
    """
    return {
        WorkQueue.INTERACTIVE: limit,
        WorkQueue.MAINTENANCE: MAINTENANCE_LIMIT,
        WorkQueue.BATCH: limit,
    }


def queue_named(name: str | None) -> WorkQueue:
    """The queue of that name; one we do not know shares the limit of batches.

    >>> queue_named("interactive").value, queue_named("default").value
    ('interactive', 'batch')
    """
    return WorkQueue(name) if name in set(WorkQueue) else WorkQueue.BATCH
