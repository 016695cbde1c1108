"""`anime generate`: a prompt becomes files."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from anime.cli import generate_options as opt
from anime.cli.event_loop import run_async
from anime.cli.terminal import as_json, print_json, print_lines, print_note
from anime.core.ids import job_id_of
from anime.schemas import Accepted, GenerationRequest, GenerationType, JobSnapshot

if TYPE_CHECKING:
    from anime.core.composition.record import Composition
    from anime.db.session import Database
    from anime.schemas import FileRecord


def generate(
    prompt: opt.Prompt,
    negative: opt.Negative = None,
    kind: opt.Kind = GenerationType.IMAGE,
    project: opt.Project = None,
    character: opt.Character = None,
    shot: opt.Shot = None,
    workflow: opt.Workflow = None,
    model: opt.Model = None,
    lora: opt.Loras = None,
    width: opt.Width = None,
    height: opt.Height = None,
    steps: opt.Steps = None,
    cfg: opt.Cfg = None,
    sampler: opt.Sampler = None,
    scheduler: opt.Scheduler = None,
    seed: opt.Seed = None,
    batch_size: opt.BatchSize = None,
    required_vram_mb: opt.RequiredVramMb = None,
    server: opt.Server = None,
    priority: opt.Priority = None,
    inputs: opt.Inputs = None,
    webhook_url: opt.WebhookUrl = None,
    images: opt.Images = None,
    no_wait: opt.NoWait = False,
    explain: opt.Explain = False,
    json: opt.Json = False,
) -> None:
    """Render a prompt, show how far it is, and print the paths of the files."""
    from anime.cli.composition import show_composition
    from anime.cli.input_picture import check_picture
    from anime.cli.request_parsing import parse_inputs, parse_lora, parse_request

    for image in images or ():
        check_picture(image)
    request = parse_request(
        prompt=prompt,
        negative_prompt=negative,
        type=kind,
        project=project,
        # One goes into the older field, under which batches have known it.
        character=character[0] if character and len(character) == 1 else None,
        characters=character if character and len(character) > 1 else None,
        shot=shot,
        workflow=workflow or _workflow_for(images or (), kind),
        model=model,
        loras=[parse_lora(text) for text in lora or ()],
        width=width,
        height=height,
        steps=steps,
        cfg=cfg,
        sampler=sampler,
        scheduler=scheduler,
        seed=seed,
        batch_size=batch_size,
        required_vram_mb=required_vram_mb,
        server=server,
        priority=priority,
        webhook_url=webhook_url,
        inputs=parse_inputs(inputs or ()),
    )
    if explain:
        show_composition(run_async(_compose(request, images or [])), json=json)
        return
    job, files = _generate(request, images or [], waits=not no_wait)
    if json:
        print_json({"job": job.model_dump(mode="json"), "files": as_json(files)})
    else:
        print_lines([str(job.id)] if no_wait else [file.file_path for file in files])
    raise_for(job)


def _workflow_for(images: Sequence[Path], kind: GenerationType) -> str | None:
    """The workflow for a picture, or for several; None for the default of the type."""
    if not images:
        return None
    if kind is GenerationType.VIDEO:
        return "image_to_video"
    return "img2img" if len(images) == 1 else "edit"


async def _compose(request: GenerationRequest, images: Sequence[Path]) -> "Composition":
    """What would be rendered for the request; the pictures are not copied."""
    from anime.cli.input_picture import name_in_library
    from anime.core.workflow_build import with_pictures
    from anime.jobs.service import connect_job_service
    from anime.settings import load_settings

    async with connect_job_service(load_settings()) as jobs:
        names = [await name_in_library(image) for image in images]
        request = with_pictures(request, names, await jobs.admission.template_of(request))
        return await jobs.admission.compose(request)


def _generate(
    request: GenerationRequest, images: Sequence[Path], *, waits: bool
) -> "tuple[JobSnapshot, list[FileRecord]]":
    """The job, and its files if `waits`."""
    key = str(uuid4())  # of the job, whoever submits it
    if not waits and not images and (job := _submitted_by_api(request, key)):
        return job, []
    return run_async(_render(request, images, job_id=job_id_of(key), waits=waits))


def _submitted_by_api(request: GenerationRequest, key: str) -> JobSnapshot | None:
    """The job whose run the API of the running stack has dispatched; None if it has not."""
    from anime.net.running_api import RunningApi
    from anime.settings import load_settings

    api = RunningApi.of_stack(load_settings())
    answer = api.post("/generate?dispatched=true", request, key=key) if api else None
    if api is None or answer is None:
        return None
    for warning in Accepted.model_validate_json(answer).warnings:
        print_note(warning)
    job = api.get(f"/jobs/{job_id_of(key)}")
    return JobSnapshot.model_validate_json(job) if job else None


async def _render(
    request: GenerationRequest, images: Sequence[Path], *, job_id: UUID, waits: bool
) -> "tuple[JobSnapshot, list[FileRecord]]":
    """The job, and its files if `waits`."""
    from anime.cli.input_picture import name_in_library, store_input_picture
    from anime.cli.outages import retry_while_busy
    from anime.core.workflow_build import with_pictures
    from anime.jobs.service import connect_job_service
    from anime.settings import load_settings
    from anime.settings.addresses import redis_address

    settings = load_settings()
    async with connect_job_service(settings) as jobs:
        names = [await name_in_library(image) for image in images]
        request = with_pictures(request, names, await jobs.admission.template_of(request))
        composition = await jobs.check(request, job_id=job_id)
        for warning in composition.warnings if composition else ():
            print_note(warning)
        for image, name in zip(images, names, strict=True):
            await store_input_picture(image, name, settings)
        submit = partial(jobs.submit_and_dispatch, request, job_id=job_id)
        job = await retry_while_busy(submit)
        return await watch(job, jobs.database, redis_address(settings)) if waits else (job, [])


async def watch(
    job: "JobSnapshot", database: "Database", redis_url: str | None
) -> "tuple[JobSnapshot, list[FileRecord]]":
    """The job as it ended, and its files; shows how far it is until then."""
    import asyncio

    from anime.cli.display import open_job_displays
    from anime.cli.outages import Outages
    from anime.cli.watch_job import watch_job
    from anime.db.repositories import FileRepository

    outages = Outages("The generation goes on")

    async def files() -> "list[FileRecord]":
        async with database.session_scope() as session:
            return await FileRepository(session).of_job(job.id)

    try:
        with open_job_displays([""]) as [display]:
            job = await watch_job(job.id, database, redis_url, display, outages)
        return job, await outages.wait_for("PostgreSQL", files)
    except asyncio.CancelledError:
        print_note(f"The generation goes on. See it with: anime jobs {job.id}")
        raise


def raise_for(job: "JobSnapshot") -> None:
    """Raise for a job that failed or was cancelled."""
    from anime.core.job_status import JobStatus
    from anime.errors import AnimeError, JobCancelled

    if job.status is JobStatus.FAILED:
        raise AnimeError(f"Generation {job.id} failed ({job.error_kind}): {job.error}")
    if job.status is JobStatus.CANCELLED:
        raise JobCancelled(f"Generation {job.id} was cancelled.", "Submit it again.")
