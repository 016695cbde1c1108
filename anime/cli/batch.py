"""`anime batch`: many generations from a file."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

import typer
from pydantic import BaseModel

from anime.cli.event_loop import run_async
from anime.cli.terminal import print_lines, print_note, print_result
from anime.core.labels import shorten
from anime.schemas import AcceptedBatch, FileRecord, JobSnapshot

if TYPE_CHECKING:
    from anime.cli.outages import Outages
    from anime.core.batches import BatchRequest
    from anime.jobs.service import JobService
    from anime.settings import Settings

_MAX_REASONS = 5  # on the terminal; `anime jobs` has all


class BatchResult(BaseModel):
    """A batch as it is: its run, and its jobs in order with all their files."""

    name: str
    flow_run_id: UUID
    generations: int  # requested; a run that ended early has not inserted all of them
    jobs: list[JobSnapshot]
    files: list[FileRecord]


def batch(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="What to render.")],
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Print the id of the run and exit.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print jobs and files as JSON.")] = False,
) -> None:
    """Render many generations in one run; those that are done are not rendered again."""
    from anime.cli.batch_file import load_batch
    from anime.settings import load_settings

    request, settings, key = load_batch(file), load_settings(), str(uuid4())
    accepted = _submitted_by_api(request, settings, key)
    if no_wait and not json:
        accepted = accepted or run_async(_submit(request, settings, key))
        print_result(str(accepted.flow_run_id))
        return
    result = run_async(render_batch(request, settings, accepted, key=key, waits=not no_wait))
    if json:
        print_result(result.model_dump_json(indent=2))
    else:
        print_lines(file.file_path for file in result.files)
    if not no_wait:
        _raise_for(result)


def _submitted_by_api(
    request: "BatchRequest", settings: "Settings", key: str
) -> AcceptedBatch | None:
    """What the API of the running stack has made of it; None if it has not."""
    from anime.net.running_api import RunningApi

    api = RunningApi.of_stack(settings)
    answer = api.post("/batches", request, key=key) if api else None
    return AcceptedBatch.model_validate_json(answer) if answer else None


async def _submit(request: "BatchRequest", settings: "Settings", key: str) -> AcceptedBatch:
    from anime.jobs.service import connect_job_service

    async with connect_job_service(settings) as service:
        return await _submit_to(service, request, key)


async def _submit_to(service: "JobService", request: "BatchRequest", key: str) -> AcceptedBatch:
    from anime.cli.outages import retry_while_busy

    return await retry_while_busy(partial(service.submit_batch, request, key=key))


async def render_batch(
    request: "BatchRequest",
    settings: "Settings",
    accepted: AcceptedBatch | None = None,
    *,
    key: str,
    waits: bool,
) -> BatchResult:
    """The batch as it is once it has ended, or once its run is there unless it `waits`.

    It is submitted here unless it was `accepted` before.
    """
    from anime.cli.outages import Outages
    from anime.core.batches import expand
    from anime.db.repositories import FileRepository, JobRepository
    from anime.jobs.service import connect_job_service

    async with connect_job_service(settings) as service:
        accepted = accepted or await _submit_to(service, request, key)
        children = zip(accepted.job_ids, expand(request), strict=True)
        prompts = {job_id: child.request.prompt for job_id, child in children}
        outages = Outages("The batch goes on")

        async def results() -> "tuple[dict[UUID, JobSnapshot], dict[UUID, list[FileRecord]]]":
            async with service.database.session_scope() as session:
                jobs = await JobRepository(session).among(prompts)
                return jobs, await FileRepository(session).of_jobs(prompts)

        if waits:
            await _watch(accepted.flow_run_id, request.name, prompts, service, outages)
        jobs, files = await (outages.wait_for("PostgreSQL", results) if waits else results())
    return BatchResult(
        name=request.name,
        flow_run_id=accepted.flow_run_id,
        generations=len(prompts),
        jobs=[jobs[job_id] for job_id in prompts if job_id in jobs],
        files=[file for job_id in prompts for file in files.get(job_id, ())],
    )


async def _watch(
    run_id: UUID,
    name: str,
    prompts: dict[UUID, str],
    service: "JobService",
    outages: "Outages",
) -> None:
    """Show how far the run is until it has ended."""
    import asyncio

    from anime.cli.batch_display import open_batch_display
    from anime.cli.watch_batch import watch_batch
    from anime.settings.addresses import redis_address

    try:
        with open_batch_display(name, prompts) as display:
            state = await watch_batch(
                run_id,
                prompts,
                database=service.database,
                redis_url=redis_address(service.settings),
                prefect=service.dispatcher.api,
                display=display,
                outages=outages,
            )
    except asyncio.CancelledError:
        print_note(f"The batch goes on, as run {run_id} in Prefect.")
        raise
    if state and state.type in {"CRASHED", "CANCELLED"}:
        print_note(f"The run is {state.type.lower()}: {state.message}")


def _raise_for(result: BatchResult) -> None:
    """Raise BatchIncomplete for a batch with jobs that have no files."""
    from anime.core.batches import summary_of
    from anime.core.job_status import JobStatus
    from anime.errors import BatchIncomplete

    unmade = [job for job in result.jobs if job.status is not JobStatus.COMPLETED]
    unbegun = result.generations - len(result.jobs)
    if unmade or unbegun:
        counted = summary_of([job.status for job in result.jobs]) or "none completed"
        reasons = "".join(
            f"\n  {shorten(job.prompt)}: {job.error or job.status}" for job in unmade[:_MAX_REASONS]
        )
        counted += f", {unbegun} not begun" * bool(unbegun)
        raise BatchIncomplete(
            f"Of {result.generations}: {counted}.{reasons}",
            "Give the same command again to render only what is missing.",
        )
