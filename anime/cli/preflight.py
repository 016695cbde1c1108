"""What is looked at before anything is written down."""

from anime.comfyui.client import ComfyUIClient
from anime.db.repositories import JobRepository
from anime.jobs.service import JobService
from anime.schemas import GenerationRequest
from anime.settings.addresses import job_server

TIMEOUT_SECONDS = 5.0


async def check_services(request: GenerationRequest, jobs: JobService) -> None:
    """Make sure that the workflow can take the request, and that database and ComfyUI answer.

    Raises:
        AnimeError: the first of them that does not, and what to do.
    """
    await jobs.admission.check(request)
    async with jobs.database.session_scope() as session:
        await JobRepository(session).newest(1)  # reads a table: answers, and is migrated
    async with ComfyUIClient(job_server(jobs.settings), timeout_seconds=TIMEOUT_SECONDS) as comfyui:
        await comfyui.system_stats()
