"""The open connections of a run, shared by all the runs within it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from anime.assets.folder_reader import FolderReader
from anime.assets.store import AssetStore
from anime.core.assignment import LearnedCost
from anime.core.render_kind import RenderKind
from anime.db.session import Database
from anime.errors import StorageTimedOut
from anime.net.prefect_api import is_outage
from anime.net.shared_connections import shared_connection
from anime.progress.publisher import ProgressPublisher
from anime.retry_policies import RECORD
from anime.runs.server_pool import ServerPool
from blocks.studio_blocks import StudioBlocks, load_blocks

_CHECKED_SECONDS = 30.0  # for how long a check of the library counts


@dataclass
class Connections:
    """The open connections of a run. `is_shared`: it renders many jobs with them."""

    blocks: StudioBlocks
    database: Database
    publisher: ProgressPublisher
    servers: ServerPool
    library: AssetStore
    output_folder: FolderReader | None  # with threads of its own, if its mount does not answer
    is_shared: bool
    check_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    checked_at: float | None = None  # by time.monotonic()
    silence: StorageTimedOut | None = None  # with which that check has ended
    # What renders of each kind have cost, by server, and when that was read.
    costs: dict[RenderKind, tuple[float, Mapping[str, LearnedCost]]] = field(default_factory=dict)

    @property
    def is_checked(self) -> bool:
        """Whether the library was checked just now."""
        at = self.checked_at
        return at is not None and time.monotonic() - at < _CHECKED_SECONDS


_connections: ContextVar[Connections | None] = ContextVar("connections", default=None)


@asynccontextmanager
async def open_connections(*, is_shared: bool = False) -> AsyncIterator[Connections]:
    """The connections of the run around this one, else new ones for as long as the block lasts.

    Prefect is waited for, as it knows the blocks: a batch that failed here would have no jobs yet
    with which it could go on.
    """
    around = _connections.get()
    if around is not None:
        yield around
        return
    blocks = await RECORD.call(load_blocks, retry_on=is_outage)  # twice is harmless: it reads
    async with AsyncExitStack() as own:
        # What SQLAlchemy has put together for one run serves the next; connections are closed.
        key = ("database", blocks.database.url.get_secret_value(), blocks.database.pool_size)
        database = await shared_connection(key, blocks.database.client, own)
        own.push_async_callback(database.dispose)
        publisher = await own.enter_async_context(blocks.redis.client())
        servers = await own.enter_async_context(ServerPool(blocks.comfyui, database))
        output_dir = blocks.comfyui.output_dir
        connections = Connections(
            blocks=blocks,
            database=database,
            publisher=publisher,
            servers=servers,
            library=blocks.library.client(),
            output_folder=FolderReader(output_dir, called="output folder") if output_dir else None,
            is_shared=is_shared,
        )
        token = _connections.set(connections)
        try:
            yield connections
        finally:
            _connections.reset(token)
