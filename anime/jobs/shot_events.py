"""Tells who watches how far a shot is, after its takes or their reviews have changed."""

import logging
from datetime import UTC, datetime
from uuid import UUID

from anime.assets.composer import Composer
from anime.core.shots import ShotChange, ShotEvent
from anime.db.repositories import ProjectRepository, ShotQuery, ShotRepository
from anime.db.session import Database
from anime.errors import AnimeError
from anime.progress.publisher import ProgressPublisher

_log = logging.getLogger(__name__)


async def publish_shot(
    database: Database,
    publisher: ProgressPublisher,
    project: str,
    code: str,
    change: ShotChange,
    *,
    composer: Composer,
    job_id: UUID | None = None,
    take: int | None = None,
) -> None:
    """Publish how far the shot is, if there is one. Never raises: it only shows."""
    try:
        async with database.session_scope() as session:
            found = await ProjectRepository(session).get(project)
            shots, _ = await ShotRepository(session, composer).page(
                found.id, ShotQuery(), codes=[code], limit=1
            )
    except AnimeError as fault:
        _log.debug("Nobody is told of shot %s: %s", code, fault)
        return
    for shot in shots:
        now = datetime.now(UTC)
        event = ShotEvent.of(shot, found.slug, change, now, job_id=job_id, take=take)
        await publisher.publish_shot(event)
