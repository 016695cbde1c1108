"""Shots written for others: a shot list, a timeline with the picked takes, a contact sheet."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from anime.assets.contact_sheet.make import SheetStyle, draw_sheet, entry_of
from anime.assets.contact_sheet.page import SheetEntry
from anime.assets.shot_lists.timeline import write_timeline
from anime.core.labels import shorten
from anime.core.shots import ShotRecord
from anime.db.repositories import ProjectRepository, StyleRepository, TakeRepository
from anime.db.session import Database
from anime.schemas import FileRecord

_FRAMES_PER_SECOND = 24.0  # where no style says it


async def timeline_of(
    database: Database, project: str, shots: Sequence[ShotRecord], *, rate: float | None
) -> str:
    """The shots as a timeline of OTIO, with the files of their picked takes.

    `rate` is frames of a second; unset, that of the project's style.
    """
    files = await _files_of(database, shots)
    rate = rate or await _rate_of(database, project)
    picked = {
        shot.code: Path(files[shot.code][0].file_path)
        for shot in shots
        if shot.code in files and files[shot.code][1]
    }
    return await asyncio.to_thread(write_timeline, project, shots, picked, rate=rate)


async def sheet_of_shots(
    database: Database,
    shots: Sequence[ShotRecord],
    target: Path,
    *,
    library: Path,
    style: SheetStyle,
) -> list[Path]:
    """The pages of a contact sheet with a cell for each shot. Raises as `draw_sheet`.

    It shows the picked take; else the newest that is not rejected.
    """
    files = await _files_of(database, shots)

    async def entries() -> AsyncIterator[SheetEntry]:
        for shot in shots:
            file, _ = files.get(shot.code, (None, False))
            words = shorten(shot.description or shot.prompt or "")
            caption = f"{shot.code}\n{words}\n{shot.state}"
            yield entry_of(file, caption, library) if file else SheetEntry((), caption, "no take")

    return await draw_sheet(entries(), target, style)


async def _rate_of(database: Database, project: str) -> float:
    async with database.session_scope() as session:
        found = await ProjectRepository(session).get(project)
        newest = await StyleRepository(session).newest(found.id)
    return (newest.style.frame_rate if newest else None) or _FRAMES_PER_SECOND


async def _files_of(
    database: Database, shots: Sequence[ShotRecord]
) -> dict[str, tuple[FileRecord, bool]]:
    """The file that stands for each shot, by code, and whether its take is picked."""
    async with database.session_scope() as session:
        takes = TakeRepository(session)
        if shots:
            await takes.number(shots[0].project_id, [shot.code for shot in shots])
        found = await takes.best_files([shot.id for shot in shots])
    return {shot.code: found[shot.id] for shot in shots if shot.id in found}
