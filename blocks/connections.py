"""All connections a flow needs, from saved blocks or from the environment."""

import asyncio
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar, cast

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client

from anime.settings import Settings, get_settings
from blocks.comfyui import ComfyUIServer
from blocks.database import StudioDatabase
from blocks.library import AssetLibrary
from blocks.redis_server import ProgressRedis

BLOCK_NAME = "studio"


@dataclass(frozen=True)
class StudioBlocks:
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


async def open_studio(settings: Settings | None = None) -> StudioBlocks:
    """The studio's connections: blocks saved under the name `studio`, else the environment.

    A block made in the Prefect UI under that name takes the place of the settings.
    """
    settings = settings or get_settings()
    saved = await _saved_types()
    comfyui, database, redis, library = await asyncio.gather(
        _saved_or_set(ComfyUIServer, settings, saved),
        _saved_or_set(StudioDatabase, settings, saved),
        _saved_or_set(ProgressRedis, settings, saved),
        _saved_or_set(AssetLibrary, settings, saved),
    )
    return StudioBlocks(comfyui=comfyui, database=database, redis=redis, library=library)


async def _saved_types() -> set[str]:
    """The slugs of the types of which our block is saved: one question, where mostly none is."""
    async with get_client() as client:
        answer = await client.request(
            "POST",
            "/block_documents/filter",
            json={"block_documents": {"name": {"any_": [BLOCK_NAME]}}},
        )
    return {document["block_type"]["slug"] for document in answer.json()}


async def _saved_or_set(block: type[B], settings: Settings, saved: set[str]) -> B:
    kind = cast("type[Block]", block)
    if kind.get_block_type_slug() not in saved:
        return block.from_settings(settings)
    return cast("B", await kind.aload(BLOCK_NAME))
