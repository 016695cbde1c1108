"""What is looked at before anything is written down."""

from anime.comfyui.client import ComfyUIClient
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.jobs.submission import check_request
from anime.schemas import GenerationRequest
from anime.settings import Settings
from anime.settings.addresses import job_server

TIMEOUT_SECONDS = 5.0


async def check_services(
    request: GenerationRequest, database: Database, settings: Settings
) -> None:
    """Make sure that the workflow can take the order, and that database and ComfyUI answer.

    Raises:
        AnimeError: the first of them that does not, and what to do.
    """
    await check_request(request, settings)
    async with database.session_scope() as session:
        await JobRepository(session).newest(1)  # reads a table: answers, and is migrated
    async with ComfyUIClient(job_server(settings), timeout_seconds=TIMEOUT_SECONDS) as comfyui:
        await comfyui.system_stats()
