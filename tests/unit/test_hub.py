"""Those who watch all jobs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from anime.core.job_status import JobStatus
from anime.progress.hub import Hub, Watcher
from anime.progress.websocket_messages import Update
from anime.schemas import ProgressEvent

JOB = UUID(int=7)
BEGAN = datetime(2026, 4, 12, tzinfo=UTC)


@dataclass(eq=False)
class Listener:
    """Somebody who watches all jobs."""

    wants_previews: bool = False
    heard: list[JobStatus] = field(default_factory=list)

    def follows(self, job_id: UUID) -> bool:
        return False

    def put(self, update: Update) -> None:
        self.heard.append(update.event.status)


def told(status: JobStatus, seq: int, *, second: int, fence: int = 1) -> ProgressEvent:
    moment = BEGAN + timedelta(seconds=second)
    return ProgressEvent(
        job_id=JOB, status=status, seq=seq, progress=0, message="", timestamp=moment, fence=fence
    )


def test_whoever_watches_all_jobs_hears_of_one_that_was_requeued() -> None:
    hub, listener = Hub(), Listener()
    hub.add_watcher(cast("Watcher", listener))
    hub.deliver(told(JobStatus.QUEUED, 1, second=0, fence=0))
    hub.deliver(told(JobStatus.FAILED, 2, second=1))
    hub.deliver(told(JobStatus.QUEUED, 1, second=0, fence=0))  # late, not new
    hub.deliver(told(JobStatus.PROCESSING, 3, second=2))
    hub.deliver(told(JobStatus.QUEUED, 3, second=3, fence=2))
    hub.deliver(told(JobStatus.FAILED, 2, second=1))  # late again
    hub.deliver(told(JobStatus.COMPLETED, 4, second=4, fence=3))
    assert listener.heard == ["queued", "failed", "queued", "completed"]


def test_whoever_watches_hears_of_it_even_if_redis_was_away_when_it_was_requeued() -> None:
    hub, listener = Hub(), Listener()
    hub.add_watcher(cast("Watcher", listener))
    hub.deliver(told(JobStatus.FAILED, 2, second=1))
    hub.deliver(told(JobStatus.PROCESSING, 3, second=2, fence=3))
    assert listener.heard == ["failed", "processing"]
