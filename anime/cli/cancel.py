"""`anime cancel`: cancel jobs, and nothing else."""

import asyncio
from typing import TYPE_CHECKING, Annotated, cast
from uuid import UUID

import typer

from anime.cli.jobs import parse_job_id
from anime.cli.terminal import as_json, print_json, print_lines

if TYPE_CHECKING:
    from anime.schemas import Cancellation

AT_ONCE = 4  # as many as connections allow beside others


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

    free = asyncio.Semaphore(AT_ONCE)
    async with connect_job_service(load_settings()) as jobs:

        async def cancel_one(job_id: UUID) -> "Cancellation":
            async with free:
                return await jobs.cancel(job_id)

        done = await asyncio.gather(*map(cancel_one, job_ids), return_exceptions=True)
    for fault in done:  # whatever becomes of one, the others are cancelled
        if isinstance(fault, BaseException):
            raise fault
    return cast("list[Cancellation]", done)
