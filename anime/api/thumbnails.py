"""Small pictures, drawn when they are first asked for."""

import asyncio
import logging
from functools import partial
from pathlib import Path

from anime.assets.folder_reader import ANSWER_SECONDS, READ_SECONDS, FolderReader, find_within
from anime.assets.store import sha256_of
from anime.assets.thumbnails import PROXY_PX, THUMBNAIL_PX, colours_of_thumbnails, draw_thumbnail
from anime.core.paths import media_type_of, proxy_path, thumbnail_path
from anime.db.repositories.tiles import TileRepository
from anime.db.session import Database
from anime.errors import AnimeError
from anime.net.bounded_threads import BoundedThreads

DRAWN_AT_ONCE = 2  # each takes a core and the picture's pixels of memory
WAIT_SECONDS = 20.0
DRAW_SECONDS = 600.0  # with those before it
# Colours of old files are looked up a few at a time: it shall hold up no picture.
COLOURS_AT_ONCE = 40
COLOURS_WAITING = 2000
COLOURS_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Thumbnails:
    """The thumbnails of a library, for one event loop."""

    def __init__(self, library: FolderReader, database: Database) -> None:
        self._library = library
        self._database = database
        self._colour_thread = BoundedThreads("colours", 1)
        self._drawing = asyncio.Semaphore(DRAWN_AT_ONCE)
        self._under_way: dict[Path, asyncio.Task[bool]] = {}
        self._without_colours: dict[int, Path] = {}
        self._adding: asyncio.Task[None] | None = None

    async def kept(self, source: Path, sha256: str, *, is_large: bool) -> bytes | None:
        """The thumbnail, if it was drawn before and the file still lies in the library.

        One look at the disk, in one thread: a page asks for hundreds a second.
        """
        target = self._target(sha256, is_large=is_large)
        look = partial(_read_kept, self._library.root, source, target)
        return await self._library.run(look, seconds=ANSWER_SECONDS)

    def _target(self, sha256: str, *, is_large: bool) -> Path:
        return self._library.root / (proxy_path if is_large else thumbnail_path)(sha256)

    async def find(
        self, source: Path, sha256: str | None, *, is_large: bool = False
    ) -> Path | None:
        """The thumbnail of a file with that content, drawn if missing; None if it cannot be.

        However many ask for it at a time, it is drawn once. `is_large`: its proxy.
        """
        if sha256 is None and not _can_be_drawn(source):
            return None
        if sha256 is None:  # a row of an older program
            hash_it = partial(sha256_of, source)
            sha256 = await self._library.run(hash_it, seconds=READ_SECONDS)
        target = self._target(sha256, is_large=is_large)
        if await self._library.run(target.is_file, seconds=ANSWER_SECONDS):
            return target
        if not _can_be_drawn(source):
            return None
        return target if await self._draw_once(source, target) else None

    def add_colours(self, file_id: int, sha256: str) -> None:
        """Let the file's row have the colours of its thumbnail, some time soon."""
        if len(self._without_colours) < COLOURS_WAITING:
            self._without_colours[file_id] = self._target(sha256, is_large=False)
        if self._adding is None or self._adding.done():
            self._adding = asyncio.create_task(self._add_colours())

    async def _add_colours(self) -> None:
        while self._without_colours:
            await asyncio.sleep(COLOURS_PAUSE_SECONDS)
            ids = list(self._without_colours)[:COLOURS_AT_ONCE]
            some = {each: self._without_colours.pop(each) for each in ids}
            try:
                found = await self._colour_thread.run(
                    partial(colours_of_thumbnails, list(some.values())),
                    timeout_seconds=DRAW_SECONDS,
                )
                if colours := {id_: each for id_, each in zip(some, found, strict=True) if each}:
                    async with self._database.session_scope() as session:
                        await TileRepository(session).add_colours(colours)
            except (AnimeError, TimeoutError) as fault:  # it is asked for again
                _log.info("The colours of %d files are not kept: %s", len(some), fault)

    async def _draw_once(self, source: Path, target: Path) -> bool:
        drawing = self._under_way.get(target)
        if drawing is None:
            drawing = asyncio.create_task(self._draw(source, target))
            self._under_way[target] = drawing
            drawing.add_done_callback(lambda _: self._under_way.pop(target, None))
        # A caller that gives up does not cancel it: others may wait.
        done, _ = await asyncio.wait([drawing], timeout=WAIT_SECONDS)
        return bool(done) and drawing.result()

    async def _draw(self, source: Path, target: Path) -> bool:
        is_large = target.stem.endswith("-proxy")
        try:
            async with asyncio.timeout(DRAW_SECONDS), self._drawing:
                await draw_thumbnail(source, target, PROXY_PX if is_large else THUMBNAIL_PX)
        except (AnimeError, OSError) as fault:  # a time-out is one, too
            _log.info("No thumbnail of %s: %s", source.name, fault)
            return False
        return True


def _read_kept(library: Path, source: Path, target: Path) -> bytes | None:
    small = find_within(library, target)
    if small is None or find_within(library, source) is None:
        return None
    return small.path.read_bytes()


def _can_be_drawn(path: Path) -> bool:
    return media_type_of(path.name).startswith(("image/", "video/"))
