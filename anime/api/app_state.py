"""What the routes work with. It is made once, when the application starts."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from anime.api.access import Access
from anime.api.metrics import Metrics
from anime.api.thumbnails import Thumbnails
from anime.assets.folder_reader import FolderReader
from anime.assets.store import AssetStore
from anime.comfyui.object_info import RecentClasses
from anime.core.callers import Caller
from anime.db.session import Database
from anime.jobs.activity import ActivityReader
from anime.jobs.service import JobService
from anime.progress.publisher import ProgressPublisher
from anime.settings import Settings


@dataclass(frozen=True)
class AppState:
    """The settings and the open connections of this process."""

    settings: Settings
    database: Database
    jobs: JobService
    publisher: ProgressPublisher
    access: Access
    library: FolderReader
    store: AssetStore
    thumbnails: Thumbnails
    metrics: Metrics
    activity: ActivityReader
    server_classes: RecentClasses | None = None  # None if no ComfyUI is known


# Async: FastAPI calls a function that is not in a thread.
async def _app_state(request: Request) -> AppState:
    state: AppState = request.app.state.anime
    return state


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller  # as `TokenCheck` has found
    return caller


StateDependency = Annotated[AppState, Depends(_app_state)]
CallerDependency = Annotated[Caller, Depends(_caller)]
