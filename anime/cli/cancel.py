"""`anime cancel`: cancel jobs, and nothing else."""

import asyncio
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from anime.cli.jobs import parse_job_id
from anime.cli.terminal import as_json, print_json, print_lines

if TYPE_CHECKING:
    from anime.schemas import Cancellation


def cancel(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of the jobs.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Cancel jobs that wait or run; a job that has ended is left as it is."""
    ended = asyncio.run(_cancel([parse_job_id(text) for text in job_ids]))
    if json:
        print_json(as_json(ended))
    else:
        print_lines([f"{each.job_id}  {each.detail}" for each in ended])


async def _cancel(job_ids: list[UUID]) -> "list[Cancellation]":
    from anime.jobs.service import connect_job_service
    from anime.settings import load_settings

    async with connect_job_service(load_settings()) as jobs:
        return [await jobs.cancel(job_id) for job_id in job_ids]
