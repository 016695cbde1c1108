"""Tells who watches how far a shot is, after its takes or their reviews have changed."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from anime.assets.composer import Composer
from anime.core.shots import ShotChange, ShotEvent
from anime.db.repositories import ProjectRepository, ShotQuery, ShotRepository
from anime.db.session import Database
from anime.errors import AnimeError
from anime.progress.publisher import ProgressPublisher
from anime.settings import Settings

_log = logging.getLogger(__name__)


async def publish_shots(
    database: Database,
    publisher: ProgressPublisher,
    project: str,
    codes: Collection[str],
    change: ShotChange,
    *,
    settings: Settings,
    job_id: UUID | None = None,
    take: int | None = None,
) -> None:
    """Publish how far these shots of a project are. Never raises: it only shows."""
    try:
        async with database.session_scope() as session:
            found = await ProjectRepository(session).get(project)
            shots, _ = await ShotRepository(session, Composer(settings)).page(
                found.id, ShotQuery(), codes=codes, limit=None
            )
    except AnimeError as fault:
        _log.debug("Nobody is told of shots of %s: %s", project, fault)
        return
    now = datetime.now(UTC)
    await publisher.publish_shots(
        [ShotEvent.of(shot, found.slug, change, now, job_id=job_id, take=take) for shot in shots]
    )


async def publish_shots_of(
    database: Database,
    publisher: ProgressPublisher,
    job_ids: Collection[UUID],
    *,
    settings: Settings,
) -> None:
    """Publish how far the shots of these jobs are, once each. Never raises: it only shows."""
    events: list[ShotEvent] = []
    try:
        async with database.session_scope() as session:
            shots = ShotRepository(session, Composer(settings))
            for project, jobs in (await shots.of_jobs(job_ids)).items():
                found, _ = await shots.page(project.id, ShotQuery(), codes=jobs, limit=None)
                now, slug, change = datetime.now(UTC), project.slug, ShotChange.JOB
                events += [
                    ShotEvent.of(each, slug, change, now, job_id=jobs.get(each.code))
                    for each in found
                ]
    except AnimeError as fault:
        _log.debug("Nobody is told of the shots of %d jobs: %s", len(job_ids), fault)
        return
    await publisher.publish_shots(events)
