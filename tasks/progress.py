"""Reporting a job's progress to everybody who watches."""

import base64
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from anime.comfyui.models import PreviewFrame
from anime.core.job_status import JobStatus, Stage, later_stage
from anime.core.labels import said_of_unkept
from anime.core.progress_meter import ProgressMeter
from anime.errors import AnimeError
from anime.progress.publisher import ProgressPublisher
from anime.schemas import JobSnapshot, Preview, ProgressEvent

ASK_SECONDS = 1.0  # between two checks whether somebody watches
PAUSE_SECONDS = 0.5  # between two pictures of a job
MAX_BYTES = 256 * 1024  # ComfyUI's are 512 px and some 50 KB


class PreviewRelay:
    """Passes on the sampler's previews of one job, if somebody watches."""

    def __init__(self, publisher: ProgressPublisher, job_id: UUID) -> None:
        self._publisher = publisher
        self._job_id = job_id
        self._ask_at = 0.0
        self._show_at = 0.0
        self._is_wanted = False

    async def is_wanted(self) -> bool:
        """Whether somebody watches; Redis is asked once a second."""
        if time.monotonic() >= self._ask_at:
            self._is_wanted = await self._publisher.is_preview_requested(self._job_id)
            self._ask_at = time.monotonic() + ASK_SECONDS
        return self._is_wanted

    async def pass_on(self, frame: PreviewFrame) -> None:
        """Publish the picture if somebody watches and the last one is not too recent."""
        is_wanted = await self.is_wanted()
        is_early = time.monotonic() < self._show_at
        if not is_wanted or is_early or len(frame.image) > MAX_BYTES:
            return
        self._show_at = time.monotonic() + PAUSE_SECONDS
        image = base64.b64encode(frame.image).decode()
        await self._publisher.publish_preview(
            Preview(job_id=self._job_id, media_type=frame.media_type, image=image)
        )


class Reporter:
    """Publishes everything that a run reports of its job.

    Every event is a full snapshot. Publishing never fails a generation; the run's heartbeat
    writes `reported_stage` and `percent` to the row in PostgreSQL. Neither goes back within an
    attempt, which an earlier run may have brought as far as `found` says; `stage` is where this
    run is. `fence`: of the run's lease; without one, of the latest that the job had.
    """

    def __init__(
        self,
        publisher: ProgressPublisher,
        job_id: UUID,
        found: JobSnapshot | None = None,
        *,
        fence: int = 0,
    ) -> None:
        self._publisher = publisher
        self._job_id = job_id
        self.attempt = found.attempt if found else 1
        self._fence = fence or (found.fence if found else 0)
        self.stage = Stage.CHECKING_VRAM
        self.reported_stage = later_stage(self.stage, found.stage if found else None)
        self.percent = found.progress if found else 0
        self._previews = PreviewRelay(publisher, job_id)
        self._rendered: tuple[int, str] | None = None

    def begin(self, attempt: int) -> None:
        """Start progress from 0 if it is a new attempt, which renders everything again."""
        if attempt != self.attempt:
            self.attempt, self.percent, self.reported_stage = attempt, 0, None
            self._rendered = None

    async def enter(self, stage: Stage, message: str) -> None:
        """Report that the job has reached a stage, or what it waits for there."""
        self.stage = stage
        self.reported_stage = later_stage(stage, self.reported_stage)
        await self._publish(JobStatus.PROCESSING, message)

    async def rendering(self, meter: ProgressMeter) -> None:
        """Report how many sampler steps are done, if that was not reported yet."""
        self.percent = max(self.percent, meter.percent)
        sentence = self.percent, meter.describe()
        if sentence != self._rendered:  # ComfyUI sends each step twice
            self._rendered = sentence
            await self.enter(Stage.RENDERING, meter.describe())

    async def wants_previews(self) -> bool:
        """Whether somebody watches, so that previews are worth their time on the GPU."""
        return await self._previews.is_wanted()

    async def previewing(self, frame: PreviewFrame) -> None:
        """Show the picture so far to those who watch."""
        await self._previews.pass_on(frame)

    async def completed(self, paths: list[str], unkept: Sequence[str] = ()) -> None:
        """Report that the files are in the library and in the database, and what is not kept."""
        self.percent = 100
        message = f"{len(paths)} file(s) made{said_of_unkept(unkept)}"
        await self._publish(JobStatus.COMPLETED, message, result=paths)

    async def failed(self, error: AnimeError) -> None:
        """Report why the job has failed and what to do."""
        await self._publish(JobStatus.FAILED, error.what, error=error)

    async def cancelled(self) -> None:
        """Report that the job was cancelled on request."""
        await self._publish(JobStatus.CANCELLED, "Cancelled")

    async def _publish(
        self,
        status: JobStatus,
        message: str,
        *,
        error: AnimeError | None = None,
        result: list[str] | None = None,
    ) -> None:
        await self._publisher.publish(
            ProgressEvent(
                job_id=self._job_id,
                status=status,
                stage=self.reported_stage if status is JobStatus.PROCESSING else None,
                progress=self.percent,
                message=message,
                timestamp=datetime.now(UTC),
                attempt=self.attempt,
                fence=self._fence,
                error_kind=error.kind if error else None,
                error=str(error) if error else None,
                result=result,
            )
        )
