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
from blocks.studio_blocks import StudioBlocks, load_blocks
from tasks.preflight import PreparedTemplate

_CHECKED_SECONDS = 30.0  # for how long a check of library and server counts


@dataclass
class Connections:
    """The open connections of a run. `is_shared`: it renders many jobs with them."""

    blocks: StudioBlocks
    database: Database
    publisher: ProgressPublisher
    comfy: ComfyUIClient
    library: AssetStore
    is_shared: bool
    comfyui_version: str = ""
    prepared_templates: dict[str, PreparedTemplate] = field(default_factory=dict)
    preparation_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    check_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    checked_at: float | None = None  # by time.monotonic()

    @property
    def is_checked(self) -> bool:
        """Whether library and server have passed their checks just now."""
        at = self.checked_at
        return at is not None and time.monotonic() - at < _CHECKED_SECONDS


_connections: ContextVar[Connections | None] = ContextVar("connections", default=None)


@asynccontextmanager
async def open_connections(*, is_shared: bool = False) -> AsyncIterator[Connections]:
    """The connections of the run around this one, else new ones for as long as the block lasts."""
    around = _connections.get()
    if around is not None:
        yield around
        return
    blocks = await load_blocks()
    async with (
        blocks.database.client() as database,
        blocks.redis.client() as publisher,
        blocks.comfyui.client() as comfy,
    ):
        connections = Connections(
            blocks=blocks,
            database=database,
            publisher=publisher,
            comfy=comfy,
            library=blocks.library.client(),
            is_shared=is_shared,
        )
        token = _connections.set(connections)
        try:
            yield connections
        finally:
            _connections.reset(token)
