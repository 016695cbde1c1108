"""One generation, from its job's row to its files, in a flow run of its own or within a batch."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from prefect import runtime

from anime.core.shots import ShotChange
from anime.jobs.shot_events import publish_shots
from anime.runs.execution import execute_job
from anime.runs.preflight import run_preflight
from anime.runs.render import render_files
from anime.schemas import FileRecord, GenerationRequest
from anime.settings import get_settings
from tasks.files import make_thumbnails
from tasks.records import files_of, record


@dataclass(frozen=True, slots=True)
class Generation:
    """What was made for a job, now or by an earlier run; `unkept` names what is in no file."""

    job_id: UUID
    files: list[FileRecord]
    unkept: tuple[str, ...]
    browser_url: str  # under which the files can be seen

    @property
    def paths(self) -> list[str]:
        """Where the files are."""
        return [file.file_path for file in self.files]


def id_of_run() -> UUID:
    """The id of the current flow run; a new one where there is none."""
    return UUID(str(runtime.flow_run.id)) if runtime.flow_run.id else uuid4()


async def run_generation(
    request: GenerationRequest, *, job_id: UUID, run_id: UUID, owner: UUID | None = None
) -> Generation:
    """The files of the job, rendered unless they exist.

    `run_id`: the flow run that the job's row shows; `owner`: who leases the job, if not that run.
    """
    async with execute_job(request, job_id=job_id, run_id=run_id, owner=owner or run_id) as job:
        browser_url = job.blocks.library.browser_url
        if job.has_ended:
            return Generation(job.job_id, await files_of(job.database, job.job_id), (), browser_url)
        preflight = await run_preflight(job)
        result, outputs = await render_files(job, preflight)
        thumbnails = await make_thumbnails(job.library, outputs.placed)
        files = await record(
            job.database, job.lease, result, outputs, thumbnails=thumbnails, reporter=job.reporter
        )
        await job.reporter.completed([file.file_path for file in files], outputs.unkept)
        if request.shot and request.project:
            publisher = job.connections.publisher
            await publish_shots(
                *(job.database, publisher, request.project, [request.shot], ShotChange.TAKE),
                settings=get_settings(),
                job_id=job.job_id,
            )
    return Generation(job.job_id, files, tuple(outputs.unkept), browser_url)
