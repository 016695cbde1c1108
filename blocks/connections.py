"""All connections a flow needs, from saved blocks or from the environment."""

import asyncio
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar, cast

from prefect.blocks.core import Block

from anime.settings import Settings, get_settings
from blocks.comfyui import ComfyUIServer
from blocks.database import StudioDatabase
from blocks.library import AssetLibrary
from blocks.redis_server import ProgressRedis

BLOCK_NAME = "studio"


@dataclass(frozen=True)
class Studio:
    """The four systems a generation touches."""

    comfyui: ComfyUIServer
    database: StudioDatabase
    redis: ProgressRedis
    library: AssetLibrary


class FromSettings(Protocol):
    """A block that knows how to read the settings."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The block as the environment describes it."""
        ...


B = TypeVar("B", bound=FromSettings)


async def open_studio(settings: Settings | None = None) -> Studio:
    """The studio's connections: blocks saved under the name `studio`, else the environment.

    A block made in the Prefect UI under that name takes the place of the settings.
    """
    settings = settings or get_settings()
    comfyui, database, redis, library = await asyncio.gather(
        _saved_or_set(ComfyUIServer, settings),
        _saved_or_set(StudioDatabase, settings),
        _saved_or_set(ProgressRedis, settings),
        _saved_or_set(AssetLibrary, settings),
    )
    return Studio(comfyui=comfyui, database=database, redis=redis, library=library)


async def _saved_or_set(block: type[B], settings: Settings) -> B:
    try:
        return cast("B", await cast("type[Block]", block).aload(BLOCK_NAME))
    except ValueError:  # Prefect's way to say that no such document is saved
        return block.from_settings(settings)
