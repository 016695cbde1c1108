"""`anime files`: what is in the library."""

import asyncio
from datetime import tzinfo
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from anime.cli.jobs import read_job_id
from anime.cli.reading import database_session
from anime.cli.terminal import as_json, give_json, give_table

if TYPE_CHECKING:
    from anime.schemas import FileRecord
    from anime.settings import Settings


def files(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    project: Annotated[str | None, typer.Option(help="Only those of this project.")] = None,
    job: Annotated[str | None, typer.Option(help="Only those of the job with this id.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with all metadata.")] = False,
) -> None:
    """List the newest files of the library."""
    from anime.settings import load_settings

    settings = load_settings()
    job_id = read_job_id(job) if job else None
    found = asyncio.run(_newest(settings, limit, project, job_id))
    if json:
        give_json(as_json(found))
    else:
        give_table(
            ("file", "kind", "size", "bytes", "made", "path"),
            [_row(file, settings.zone) for file in found],
        )


async def _newest(
    settings: "Settings", limit: int, project: str | None, job_id: UUID | None
) -> "list[FileRecord]":
    from anime.db.repositories import FileRepository

    async with database_session(settings) as session:
        return await FileRepository(session).newest(limit, project=project, job_id=job_id)


def _row(file: "FileRecord", zone: tzinfo) -> tuple[str, ...]:
    return (
        str(file.id),
        file.file_type,
        f"{file.width}×{file.height}" if file.width and file.height else "",
        f"{file.file_size:,}",
        f"{file.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        file.file_path,
    )
