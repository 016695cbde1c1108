"""The open connections of a run, shared by all the runs within it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from anime.assets.store import AssetStore
from anime.comfyui.client import ComfyUIClient
from anime.db.session import Database
from anime.progress.publisher import ProgressPublisher
from blocks.connections import StudioBlocks, open_studio
from tasks.preflight import PreparedTemplate

_CHECKED_SECONDS = 30.0  # for how long a look at library and server counts


@dataclass
class Connections:
    """What runs work with. `is_shared`: a run renders many jobs with it."""

    studio: StudioBlocks
    database: Database
    publisher: ProgressPublisher
    comfy: ComfyUIClient
    library: AssetStore
    is_shared: bool
    comfyui_version: str = ""
    prepared_templates: dict[str, PreparedTemplate] = field(default_factory=dict)
    fitting: asyncio.Lock = field(default_factory=asyncio.Lock)
    check_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    checked_at: float | None = None  # by time.monotonic()

    @property
    def is_checked(self) -> bool:
        """Whether library and server were found fit for work just now."""
        at = self.checked_at
        return at is not None and time.monotonic() - at < _CHECKED_SECONDS


_connections: ContextVar[Connections | None] = ContextVar("connections", default=None)


@asynccontextmanager
async def open_connections(*, is_shared: bool = False) -> AsyncIterator[Connections]:
    """The connections of the run around this one, or a new one for as long as the block lasts.

    A shared one is for many jobs at a time.
    """
    around = _connections.get()
    if around is not None:
        yield around
        return
    studio = await open_studio()
    async with (
        studio.database.client() as database,
        studio.redis.client() as publisher,
        studio.comfyui.client() as comfy,
    ):
        connections = Connections(
            studio=studio,
            database=database,
            publisher=publisher,
            comfy=comfy,
            library=studio.library.client(),
            is_shared=is_shared,
        )
        token = _connections.set(connections)
        try:
            yield connections
        finally:
            _connections.reset(token)
