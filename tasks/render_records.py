"""What a run writes to PostgreSQL about its attempts and the servers that made them."""

import logging
from uuid import UUID

from anime.core.render_kind import RenderKind
from anime.core.server_health import ServerHealth
from anime.core.timeline import TimelineKind
from anime.db.repositories import (
    JobRepository,
    Lease,
    RenderCostRepository,
    SentPromptRepository,
    ServerRepository,
    TimelineRepository,
)
from anime.db.session import Database
from anime.errors import DatabaseUnavailable
from anime.retry_policies import RECORD

_log = logging.getLogger(__name__)


async def note_render(
    database: Database,
    prompt_id: UUID,
    *,
    server: str,
    kind: RenderKind | None,
    seconds: float | None,
    had_model: bool,
    peak_vram_mb: int | None,
) -> None:
    """Record that the prompt has ended at its server, and what it has cost there.

    It fails no run: what is not settled is looked for at the server, and costs are estimates.
    `kind` and `seconds` are None where nothing can be learned.
    """
    try:
        async with database.session_scope() as session:
            await SentPromptRepository(session).settle(prompt_id)
            if kind is not None and seconds is not None:
                await RenderCostRepository(session).learn(
                    kind, server, seconds=seconds, had_model=had_model, peak_vram_mb=peak_vram_mb
                )
    except DatabaseUnavailable as fault:
        _log.warning("What prompt %s has cost is not recorded: %s", prompt_id, fault)


async def leave_server(
    database: Database,
    lease: Lease,
    server: str,
    *,
    why: str,
    avoids: bool,
    was_killed: bool,
    ended_prompt: UUID | None,
) -> None:
    """Record that an attempt at the job has failed at that server, and what follows.

    `avoids`: it is left out for this job from now on. `ended_prompt`: known to be there no longer.

    Raises:
        JobCancelled, LeaseLost: the run is not to go on with the job.
    """

    async def leave() -> None:
        async with database.session_scope() as session:
            timeline = TimelineRepository(session)
            if await timeline.add(lease.job_id, TimelineKind.DECISION, why):  # else: once more
                if ended_prompt is not None:
                    await SentPromptRepository(session).settle(ended_prompt)
                await JobRepository(session).left_server(
                    lease, server, avoids=avoids, was_killed=was_killed
                )

    await RECORD.call(leave)


async def note_decision(database: Database, job_id: UUID, why: str) -> None:
    """Write into the job's timeline what was decided by itself. It fails no run."""
    try:
        async with database.session_scope() as session:
            await TimelineRepository(session).add(job_id, TimelineKind.DECISION, why)
    except DatabaseUnavailable as fault:
        _log.warning("The timeline of job %s lacks %r: %s", job_id, why, fault)


async def latch_server(database: Database, server: str, why: str) -> None:
    """Give the server no more prompts until ComfyUI was started again there."""

    async def latch() -> None:
        async with database.session_scope() as session:
            await ServerRepository(session).set_health(server, ServerHealth.LATCHED, why)

    await RECORD.call(latch)
