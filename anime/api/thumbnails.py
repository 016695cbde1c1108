"""Small pictures, drawn when they are first asked for."""

import asyncio
import logging
from functools import partial
from pathlib import Path

from anime.api.library_reader import ANSWER_SECONDS, READ_SECONDS, LibraryReader
from anime.assets.store import sha256_of
from anime.assets.thumbnails import draw_thumbnail
from anime.core.paths import media_type_of, thumbnail_path
from anime.net.bounded_threads import BoundedThreads

DRAWN_AT_ONCE = 2  # each takes a core and the picture's pixels of memory
WAIT_SECONDS = 20.0
DRAW_SECONDS = 600.0  # with those before it

_log = logging.getLogger(__name__)


class Thumbnails:
    """The thumbnails of a library, for one event loop."""

    def __init__(self, library: LibraryReader) -> None:
        self._library = library
        self._threads = BoundedThreads("thumbnails", DRAWN_AT_ONCE)
        self._under_way: dict[Path, asyncio.Task[bool]] = {}

    async def find(self, source: Path, sha256: str | None) -> Path | None:
        """The thumbnail of a file with that content, drawn if missing; None if it cannot be.

        However many ask for it at a time, it is drawn once.
        """
        if sha256 is None and not _is_picture(source):
            return None
        if sha256 is None:  # a row of an older program
            hash_it = partial(sha256_of, source)
            sha256 = await self._library.run(hash_it, seconds=READ_SECONDS)
        target = self._library.library / thumbnail_path(sha256)
        if await self._library.run(target.is_file, seconds=ANSWER_SECONDS):
            return target
        if not _is_picture(source):
            return None
        return target if await self._draw_once(source, target) else None

    async def _draw_once(self, source: Path, target: Path) -> bool:
        drawing = self._under_way.get(target)
        if drawing is None:
            drawing = asyncio.create_task(self._draw(source, target))
            self._under_way[target] = drawing
            drawing.add_done_callback(lambda _: self._under_way.pop(target, None))
        # A caller that gives up does not cancel it: others wait, and threads cannot be stopped.
        done, _ = await asyncio.wait([drawing], timeout=WAIT_SECONDS)
        return bool(done) and drawing.result()

    async def _draw(self, source: Path, target: Path) -> bool:
        draw = partial(draw_thumbnail, source, target)
        try:
            await self._threads.run(draw, timeout_seconds=DRAW_SECONDS)
        except Exception as fault:  # noqa: BLE001  whatever one of Pillow's many decoders raises
            _log.info("No thumbnail of %s: %s", source.name, fault)
            return False
        return True


def _is_picture(path: Path) -> bool:
    return media_type_of(path.name).startswith("image/")
