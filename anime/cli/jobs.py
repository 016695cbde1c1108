"""`anime jobs`: the newest jobs, and how far each is."""

from datetime import tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from anime.cli.event_loop import run_async
from anime.cli.request_parsing import parse_options
from anime.cli.terminal import as_json, line_of, print_json, print_table
from anime.core.job_status import FailureKind, JobStatus
from anime.core.labels import shorten
from anime.errors import InvalidRequest

if TYPE_CHECKING:
    from anime.core.job_query import JobQuery
    from anime.schemas import JobSnapshot, TimelineEntry
    from anime.settings import Settings


class ListedStatus(StrEnum):
    """The states of jobs, and one that is a kind of failure."""

    QUEUED = "queued"
    PROCESSING = "processing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


def jobs(
    job_id: Annotated[str | None, typer.Argument(help="Show only this job, in full.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Jobs at most.")] = 20,
    status: Annotated[
        ListedStatus | None,
        typer.Option(help="Only those in this state; quarantined ones are failed, too."),
    ] = None,
    project: Annotated[str | None, typer.Option(help="Only those of this project.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the newest jobs, or show one."""
    from anime.core.job_query import JobQuery
    from anime.settings import load_settings

    settings = load_settings()
    if job_id is not None:
        job, timeline = _get(settings, parse_job_id(job_id))
        if json:
            print_json(job.model_dump(mode="json") | {"timeline": as_json(timeline)})
        else:
            _print_job(job)
            _print_timeline(timeline, settings.zone)
        return
    is_quarantine = status is ListedStatus.QUARANTINED
    query = parse_options(
        JobQuery,
        "jobs",
        status=JobStatus.FAILED if is_quarantine else status,
        error_kind=FailureKind.QUARANTINED if is_quarantine else None,
        project=project,
    )
    found = _page(settings, query, limit)
    if query.project and not found:
        from anime.cli.projects import note_unknown

        note_unknown(query.project)
    if json:
        print_json(as_json(found))
    else:
        print_table(
            ("job", "status", "%", "project", "workflow", "created", "prompt"),
            [_row(job, settings.zone) for job in found],
        )


def parse_job_id(text: str) -> UUID:
    """The id in a command's argument.

    Raises:
        InvalidRequest: the text is no id.
    """
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(
            f"{shorten(text)!r} is no job id.", "`anime jobs` lists the newest with their ids."
        ) from None


def _page(settings: "Settings", query: "JobQuery", limit: int) -> "list[JobSnapshot]":
    from anime.api.paging import MAX_ITEMS, Page
    from anime.net.running_api import RunningApi
    from anime.schemas import JobSnapshot

    api = RunningApi.of_stack(settings) if limit <= MAX_ITEMS else None
    if api and (answer := api.get("/jobs", query, limit=limit)):
        return Page[JobSnapshot].model_validate_json(answer).items
    return run_async(_read_page(settings, query, limit))


def _get(settings: "Settings", job_id: UUID) -> "tuple[JobSnapshot, list[TimelineEntry]]":
    from anime.net.running_api import RunningApi
    from anime.schemas import JobSnapshot, Timeline

    api, path = RunningApi.of_stack(settings), f"/jobs/{job_id}"
    if api and (job := api.get(path)) and (timeline := api.get(f"{path}/timeline")):
        entries = Timeline.model_validate_json(timeline).entries
        return JobSnapshot.model_validate_json(job), entries
    return run_async(_read(settings, job_id))


async def _read_page(settings: "Settings", query: "JobQuery", limit: int) -> "list[JobSnapshot]":
    from anime.jobs.lookup import connect_job_lookup

    async with connect_job_lookup(settings) as lookup:
        found, _ = await lookup.page(query, limit=limit)
        return found


async def _read(settings: "Settings", job_id: UUID) -> "tuple[JobSnapshot, list[TimelineEntry]]":
    from anime.jobs.lookup import connect_job_lookup

    async with connect_job_lookup(settings) as lookup:
        return await lookup.get(job_id), await lookup.timeline(job_id)


def _row(job: "JobSnapshot", zone: tzinfo) -> tuple[str, ...]:
    return (
        str(job.id),
        f"{job.status} ({job.error_kind})" if job.error_kind else str(job.status),
        str(job.progress),
        job.project or "",
        job.workflow,
        f"{job.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        shorten(job.prompt),
    )


def _print_job(job: "JobSnapshot") -> None:
    facts = job.model_dump(mode="json", exclude_none=True)
    print_table(
        ("", ""), [(name.replace("_", " "), line_of(value)) for name, value in facts.items()]
    )


def _print_timeline(timeline: "list[TimelineEntry]", zone: tzinfo) -> None:
    rows = [
        (f"{entry.at.astimezone(zone):%Y-%m-%d %H:%M:%S}", str(entry.kind), entry.message)
        for entry in timeline
    ]
    print_table(("when", "what", "why"), rows)
