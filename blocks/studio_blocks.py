"""The connection settings that a flow needs, from saved blocks or from the environment."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar, cast

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client

from anime.errors import AnimeError
from anime.net.saved_blocks import BLOCK_NAME, read_saved_types, told_saved_types
from anime.net.vault.references_check import texts_of_block
from anime.settings import Settings, get_settings, resolve_reference
from anime.settings.secret_references import has_references
from blocks.comfyui import ComfyUIServer
from blocks.database import StudioDatabase
from blocks.library import AssetLibrary
from blocks.redis_server import ProgressRedis
from blocks.vault import StudioVault

RESOLVED_LATER = frozenset({"url", "base_url", "more_urls"})


@dataclass(frozen=True)
class StudioBlocks:
    """The connection settings of the four systems that a generation uses."""

    comfyui: ComfyUIServer
    database: StudioDatabase
    redis: ProgressRedis
    library: AssetLibrary


class FromSettings(Protocol):
    """A block that can be made from the settings."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The block, with the values of the settings."""
        ...


B = TypeVar("B", bound=FromSettings)


async def load_blocks() -> StudioBlocks:
    """The blocks that are saved under the name `studio`; the rest from the settings.

    A block made in Prefect's UI under that name replaces the settings. That of Vault counts for
    all references of this process.
    """
    settings = get_settings()
    saved = await _saved_types()
    if StudioVault.get_block_type_slug() in saved:
        (await _saved_or_set(StudioVault, settings, saved)).client()
    comfyui, database, redis, library = await asyncio.gather(
        _saved_or_set(ComfyUIServer, settings, saved),
        _saved_or_set(StudioDatabase, settings, saved),
        _saved_or_set(ProgressRedis, settings, saved),
        _saved_or_set(AssetLibrary, settings, saved),
    )
    return StudioBlocks(comfyui=comfyui, database=database, redis=redis, library=library)


async def _saved_types() -> frozenset[str]:
    if (told := told_saved_types()) is not None:
        return told
    async with get_client() as client:
        return await read_saved_types(client)


async def _saved_or_set(block: type[B], settings: Settings, saved: frozenset[str]) -> B:
    kind = cast("type[Block]", block)
    if kind.get_block_type_slug() not in saved:
        return block.from_settings(settings)
    block = await kind.aload(BLOCK_NAME)
    return cast("B", await asyncio.to_thread(_resolved, block))


def _resolved(block: Block) -> Block:
    """The block with what its references stand for, but for those that count for each connection.

    Those are asked for here, too, so that no event loop waits for Vault when it connects.

    Raises:
        ConfigurationError, VaultUnavailable: a reference has no value.
    """
    values = {
        name: type(value)(resolve_reference(str(value)))
        for name, value in block
        if isinstance(value, str | Path)
        and name not in RESOLVED_LATER
        and has_references(str(value))
    }
    for name in RESOLVED_LATER.intersection(type(block).model_fields):
        for _, text in texts_of_block(name, {name: getattr(block, name)}):
            with suppress(AnimeError):  # who connects says so
                resolve_reference(text)
    return block.model_copy(update=values)
