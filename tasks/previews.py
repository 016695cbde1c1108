"""Pictures of a render in progress, for as long as somebody looks."""

import base64
import time
from uuid import UUID

from anime.comfyui.models import PreviewFrame
from anime.progress.publisher import ProgressPublisher
from anime.schemas import Preview

ASK_SECONDS = 1.0  # how often it is asked whether somebody looks
PAUSE_SECONDS = 0.5  # between two pictures of a job
MAX_BYTES = 256 * 1024  # ComfyUI's are 512 px and some 50 KB


class PreviewRelay:
    """Passes on what ComfyUI's sampler shows of one job, and costs next to nothing otherwise."""

    def __init__(self, publisher: ProgressPublisher, job_id: UUID) -> None:
        self._publisher = publisher
        self._job_id = job_id
        self._ask_at = 0.0
        self._show_at = 0.0
        self._is_wanted = False

    async def pass_on(self, frame: PreviewFrame) -> None:
        """Publish the picture if somebody looks and the last one is not too fresh."""
        if time.monotonic() >= self._ask_at:
            self._is_wanted = await self._publisher.are_previews_wanted(self._job_id)
            self._ask_at = time.monotonic() + ASK_SECONDS
        is_early = time.monotonic() < self._show_at
        if not self._is_wanted or is_early or len(frame.image) > MAX_BYTES:
            return
        self._show_at = time.monotonic() + PAUSE_SECONDS
        image = base64.b64encode(frame.image).decode()
        await self._publisher.show(
            Preview(job_id=self._job_id, media_type=frame.media_type, image=image)
        )
