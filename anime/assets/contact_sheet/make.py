"""A contact sheet of files as they come: a page is drawn when its pictures are there."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from anime.assets.contact_sheet.fonts import CAPTION_PX, CaptionFonts
from anime.assets.contact_sheet.page import UNREADABLE, SheetEntry, draw_page
from anime.assets.contact_sheet.writer import SheetWriter
from anime.core.paths import FileKind, media_type_of, thumbnail_path
from anime.core.sheet_pages import caption_of, pictures_per_page
from anime.schemas import FileRecord


@dataclass(frozen=True, slots=True)
class SheetStyle:
    """How the pages look. `columns` None: as it looks best; `font`: for other writings.

    `replaces`: an earlier sheet of the same order gives way.
    """

    columns: int | None = None
    font: Path | None = None
    replaces: bool = False


async def make_sheet(
    files: AsyncIterator[FileRecord], target: Path, *, library: Path, style: SheetStyle
) -> list[Path]:
    """The paths of the pages, in order; none where there are no files. Raises as `draw_sheet`."""
    entries = (entry_of(file, caption_of(file), library) async for file in files)
    return await draw_sheet(entries, target, style)


async def draw_sheet(
    entries: AsyncIterator[SheetEntry], target: Path, style: SheetStyle
) -> list[Path]:
    """The paths of the pages, in order; none where there are no entries.

    Raises:
        InvalidRequest: the target is no PNG or PDF, or exists.
        StorageError: the folder cannot take it.
    """
    lettering = await asyncio.to_thread(CaptionFonts, CAPTION_PX, style.font)
    with SheetWriter(target, replaces=style.replaces) as book:
        async for page, is_only in _pages(entries, pictures_per_page(style.columns)):
            drawn = await asyncio.to_thread(
                draw_page, page, lettering, columns=style.columns, is_only=is_only
            )
            await asyncio.to_thread(book.add, drawn)
        return await asyncio.to_thread(book.bind)


async def _pages(
    entries: AsyncIterator[SheetEntry], most: int
) -> AsyncIterator[tuple[list[SheetEntry], bool]]:
    """The entries of each page, and whether there is no other page."""
    page: list[SheetEntry] = []
    is_only = True
    async for entry in entries:
        if len(page) == most:
            is_only = False
            yield page, is_only
            page = []
        page.append(entry)
    if page:
        yield page, is_only


def entry_of(file: FileRecord, caption: str, library: Path) -> SheetEntry:
    """What stands for a file: its thumbnail, else its own first frame, else a word."""
    if file.file_type == FileKind.AUDIO.file_type:
        return SheetEntry((), caption, "sound")
    sources = [library / thumbnail_path(file.sha256)] if file.sha256 else []
    own = (library / file.file_path).resolve()
    if own.is_relative_to(library.resolve()):  # a row may name any file of this machine
        sources.append(own)
    is_film = media_type_of(file.filename).startswith("video/")
    return SheetEntry(tuple(sources), caption, "film" if is_film else UNREADABLE)
