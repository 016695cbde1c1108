"""What the routes work with, made once when the application starts."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from anime.api.access import Access
from anime.api.job_lookup import JobLookup
from anime.api.metrics import Metrics
from anime.api.thumbnails import Thumbnails
from anime.db.session import Database
from anime.orders.desk import Desk
from anime.progress import ProgressPublisher
from anime.settings import Settings


@dataclass(frozen=True)
class Studio:
    """The settings and the open connections of this process."""

    settings: Settings
    database: Database
    jobs: JobLookup
    publisher: ProgressPublisher
    access: Access
    desk: Desk
    thumbnails: Thumbnails
    metrics: Metrics


# Async, as FastAPI takes a thread for each call of one that is not.
async def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


StudioDependency = Annotated[Studio, Depends(_studio)]
