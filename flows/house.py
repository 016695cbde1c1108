"""The open connections of a run, shared by all the runs within it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from anime.comfyui.client import ComfyUIClient
from anime.db.session import Database
from anime.library import Library
from anime.progress import ProgressPublisher
from blocks.connections import Studio, open_studio
from tasks.fitting import Fitting

_LOOKED_AT_SECONDS = 30.0  # for how long a look at library and server counts


@dataclass
class House:
    """What runs work with. `is_shared`: a run renders many jobs with it."""

    studio: Studio
    database: Database
    publisher: ProgressPublisher
    comfy: ComfyUIClient
    library: Library
    is_shared: bool
    comfyui_version: str = ""
    fittings: dict[str, Fitting] = field(default_factory=dict)
    fitting: asyncio.Lock = field(default_factory=asyncio.Lock)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    looked_at: float | None = None  # by time.monotonic()

    @property
    def is_looked_at(self) -> bool:
        """Whether library and server were found fit for work just now."""
        at = self.looked_at
        return at is not None and time.monotonic() - at < _LOOKED_AT_SECONDS


_house: ContextVar[House | None] = ContextVar("house", default=None)


@asynccontextmanager
async def open_house(*, is_shared: bool = False) -> AsyncIterator[House]:
    """The house of the run around this one, or a new one for as long as the block lasts.

    A shared one is for many jobs at a time.
    """
    around = _house.get()
    if around is not None:
        yield around
        return
    studio = await open_studio()
    async with (
        studio.database.client() as database,
        studio.redis.client() as publisher,
        studio.comfyui.client() as comfy,
    ):
        house = House(
            studio=studio,
            database=database,
            publisher=publisher,
            comfy=comfy,
            library=studio.library.client(),
            is_shared=is_shared,
        )
        token = _house.set(house)
        try:
            yield house
        finally:
            _house.reset(token)
