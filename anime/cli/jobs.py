"""`anime jobs`: what was asked for, and how far it is."""

import asyncio
from datetime import tzinfo
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from anime.cli.database import database_session
from anime.cli.terminal import as_json, print_json, print_table
from anime.core.job_status import JobStatus
from anime.core.labels import shorten
from anime.errors import InvalidRequest

if TYPE_CHECKING:
    from anime.schemas import JobSnapshot
    from anime.settings import Settings


def jobs(
    job_id: Annotated[str | None, typer.Argument(help="Show this one only, in full.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    status: Annotated[JobStatus | None, typer.Option(help="Only those in this state.")] = None,
    project: Annotated[str | None, typer.Option(help="Only those of this project.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the newest jobs, or show one."""
    from anime.settings import load_settings

    settings = load_settings()
    if job_id is not None:
        job = asyncio.run(_one(settings, read_job_id(job_id)))
        print_json(job.model_dump(mode="json")) if json else _give_one(job)
        return
    found = asyncio.run(_newest(settings, limit, status, project))
    if json:
        print_json(as_json(found))
    else:
        print_table(
            ("job", "status", "%", "project", "workflow", "created", "prompt"),
            [_row(job, settings.zone) for job in found],
        )


def read_job_id(text: str) -> UUID:
    """The id in a command's argument.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(
            f"{shorten(text)!r} is no job id.", "`anime jobs` lists the ids of the newest."
        ) from None


async def _newest(
    settings: "Settings", limit: int, status: JobStatus | None, project: str | None
) -> "list[JobSnapshot]":
    from anime.db.repositories import JobRepository

    async with database_session(settings) as session:
        return await JobRepository(session).newest(limit, status=status, project=project)


async def _one(settings: "Settings", job_id: UUID) -> "JobSnapshot":
    from anime.db.repositories import JobRepository

    async with database_session(settings) as session:
        return await JobRepository(session).get(job_id)


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


def _give_one(job: "JobSnapshot") -> None:
    facts = job.model_dump(mode="json", exclude_none=True)
    print_table(("", ""), [(name.replace("_", " "), str(value)) for name, value in facts.items()])
