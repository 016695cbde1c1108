"""`anime requeue`: failed and quarantined jobs wait for a run again."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from anime.cli.jobs import parse_job_id
from anime.cli.request_parsing import parse_options
from anime.cli.terminal import print_lines
from anime.core.job_status import FailureKind, JobStatus
from anime.core.labels import shorten
from anime.errors import InvalidRequest

if TYPE_CHECKING:
    from anime.db.repositories import JobQuery
    from anime.jobs.service import JobService

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PAGE = 500


def requeue(
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of the jobs.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that have failed, as narrowed down below.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="With --failed: at most so long ago, as 30m, 1h or 2d.")
    ] = None,
    kind: Annotated[
        FailureKind | None, typer.Option(help="With --failed: for that reason.")
    ] = None,
) -> None:
    """Let failed jobs wait for a run again, under the ids that they have."""
    from anime.db.repositories import JobQuery

    if bool(job_ids) == failed or ((since or kind) and not failed):
        raise InvalidRequest(
            "Which jobs are meant is unclear.",
            "Name them, or say --failed, with --since or --kind.",
        )
    named = [parse_job_id(text) for text in job_ids or ()]
    ended_after = None if since is None else datetime.now(UTC) - duration_in(since)
    query = parse_options(
        JobQuery, "requeue", status=JobStatus.FAILED, error_kind=kind, ended_after=ended_after
    )
    print_lines(asyncio.run(_requeue(named, query if failed else None)))


def duration_in(text: str) -> timedelta:
    """The duration that a number and a unit name.

    Raises:
        InvalidRequest: the text is no duration.

    >>> duration_in("90m")
    datetime.timedelta(seconds=5400)
    """
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isdecimal() and len(number) <= 6:
        return timedelta(seconds=int(number) * _UNITS[unit])
    raise InvalidRequest(
        f"{shorten(text)!r} is no duration.", "Write a number and s, m, h or d, such as 1h."
    )


async def _requeue(named: list[UUID], query: "JobQuery | None") -> list[str]:
    from anime.jobs.service import connect_job_service
    from anime.settings import load_settings

    async with connect_job_service(load_settings()) as service:
        wanted = named if query is None else await _matching(service, query)
        lines = []
        for job_id in wanted:
            job = await service.requeue(job_id)
            outcome = (
                "It waits for a run again." if job else "It has not failed; it stays as it is."
            )
            lines.append(f"{job_id}  {outcome}")
        return lines or ["No job has failed so."]


async def _matching(service: "JobService", query: "JobQuery") -> list[UUID]:
    """All jobs that fit, the oldest first. All pages are read before anything is changed."""
    found: list[UUID] = []
    cursor: str | None = None
    while True:
        jobs, cursor = await service.lookup.page(query, limit=_PAGE, cursor=cursor)
        found += [job.id for job in jobs]
        if cursor is None:
            return found[::-1]
