"""The drill: whether the last backup can be restored, shown by restoring it.

Into a scratch database beside the live one, which is only asked for a lock. What a drill that was
killed has left is removed by the next one. Its results stand in a file beside the backups.
"""

import asyncio
import os
import random
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import URL

from anime.assets.backup.drill_results import write_down
from anime.assets.backup.folder import BackupFolder, check_parts, read_manifest
from anime.assets.backup.guards import disk_faults, only_one
from anime.assets.backup.listing import ListedFile, read_listing
from anime.assets.provenance import ORIGINS_FOLDER
from anime.assets.rebuild import rebuild
from anime.assets.store import hash_of, link_or_copy
from anime.core.backups import (
    DUMP,
    LISTING,
    DrillReport,
    Manifest,
    differing_tables,
    is_scratch_name,
    scratch_name,
)
from anime.db.address import name_of
from anime.db.bounded import BoundedConnection
from anime.db.dump import connected, restore_dump, rows_of_tables
from anime.db.migrate import check, upgrade
from anime.db.models import SCHEMA
from anime.db.session import Database
from anime.errors import AnimeError, BackupFailed
from anime.settings import Settings

HASHED_FILES = 200
REBUILT_FILES = 500  # of a day that has more, the first so many
_MAX_LISTED = 20  # problems of one kind
_REHEARSED = ".drill"  # the library of the rebuilt day
# What a rebuild must say as the row does, where the row says anything. Owners only of rows that we
# have made, as older services told theirs to nobody else; and readers of prompts get better.
_FACTS = ("filename", "file_size", "file_type", "sha256", "width", "height", "frames")
_OWNERS = ("job_id", "project")
_READ = ("prompt", "seed")
_COMPARED = """
    SELECT file.filename, file.file_path, file.file_size, file.file_type, file.sha256,
        file.job_id, file.width, file.height, file.frames, project.slug AS project,
        file.metadata ->> 'prompt' AS prompt, file.metadata ->> 'seed' AS seed,
        file.source_path IS NOT NULL AS is_ours
    FROM {files} AS file LEFT JOIN {projects} AS project ON project.id = file.project_id
    WHERE file.file_path = ANY(%s)
"""
_SAMPLE = """
    SELECT file_path, sha256 FROM {files}
    WHERE starts_with(file_path, %s) AND sha256 IS NOT NULL AND state = 'present'
    ORDER BY random() LIMIT %s
"""
Row = Mapping[str, Any]  # values of columns, by name


async def drill(
    settings: Settings, live: Database, folder: BackupFolder, *, day: str | None = None
) -> DrillReport:
    """What was found; it is written down beside the backups as well.

    Args:
        settings: those of the studio.
        live: the studio's database: the scratch database lies on its server.
        folder: the backups, of which the last one is looked at.
        day: the day (YYYYMMDD) that is rebuilt; one by chance if left out.

    Raises:
        NotFound: there is no backup.
        StorageTimedOut: their folder does not answer as it begins.
        BackupFailed: another drill or a backup is at work, or the results cannot be written.
        DatabaseUnavailable: PostgreSQL does not answer; what it refuses later is a problem found.
    """
    async with only_one(live.address):
        backup: Path = await folder.disk.in_thread(folder.newest)
        report = DrillReport(at=datetime.now(UTC), backup=backup.name)
        with disk_faults(folder.root):
            try:
                async with scratch_database(live.address) as scratch:
                    await _Drill(settings, folder, backup, scratch, report, day).run()
            except AnimeError as error:
                report.problems.append(str(error))
            finally:
                shutil.rmtree(folder.root / _REHEARSED, ignore_errors=True)
            await asyncio.to_thread(write_down, folder, report)
    return report


@asynccontextmanager
async def scratch_database(live: URL) -> AsyncIterator[URL]:
    """An empty database on the live one's server, dropped with the block; leftovers go first.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or lets this user make none.
    """
    name = scratch_name(str(live.database), secrets.token_hex(4))
    if name == live.database or not is_scratch_name(name, str(live.database)):
        raise BackupFailed(f"{name} is no name for a scratch database.", "Report this.")
    async with connected(live) as connection:
        for leftover in await _scratch_databases(connection, live):
            await _drop(connection, leftover)
        made = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
        try:
            await connection.execute(made)
            yield live.set(database=name)
        finally:
            await _drop(connection, name)


async def scratch_databases(live: URL) -> list[str]:
    """The databases of drills: of one at work, and of those that were killed.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    async with connected(live) as connection:
        return await _scratch_databases(connection, live)


async def _scratch_databases(connection: BoundedConnection, live: URL) -> list[str]:
    rows = await connection.execute("SELECT datname FROM pg_database ORDER BY 1")
    names = [str(name) for (name,) in await rows.fetchall()]
    return [name for name in names if is_scratch_name(name, str(live.database))]


async def _drop(connection: BoundedConnection, name: str) -> None:
    """Drop a scratch database, with what a killed drill may still have open there."""
    await connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )


@dataclass
class _Drill:
    """One drill: each step finds problems, or says nothing."""

    settings: Settings
    folder: BackupFolder
    backup: Path
    scratch: URL
    report: DrillReport
    day: str | None

    async def run(self) -> None:
        """All steps, each timed; one that cannot be done ends the drill."""
        with self._timed("read"):
            await asyncio.to_thread(check_parts, self.backup)
            manifest = await asyncio.to_thread(read_manifest, self.backup)
        with self._timed("restore"):
            await restore_dump(self.scratch, self.backup / DUMP, all_or_nothing=False)
        with self._timed("count"):
            await self._count(manifest)
        with self._timed("migrate"):
            await self._migrate()
        with self._timed("hash"):
            await self._hash(manifest)
        with self._timed("rebuild"):
            await self._rebuild(manifest)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.report.seconds[step] = round(time.monotonic() - began, 2)

    def _tell(self, problems: Sequence[str]) -> None:
        self.report.problems += problems[:_MAX_LISTED]
        if len(problems) > _MAX_LISTED:
            self.report.problems.append(f"… and {len(problems) - _MAX_LISTED} more like these.")

    async def _count(self, manifest: Manifest) -> None:
        """Whether each table has its rows."""
        async with connected(self.scratch) as connection:
            found = await rows_of_tables(connection)
        self.report.rows = sum(found.values())
        self._tell(differing_tables(manifest.tables, found))

    async def _migrate(self) -> None:
        """Whether the tables come to the newest revision, and are as this program needs them."""
        url = self.scratch.render_as_string(hide_password=False)
        await upgrade(url)
        self._tell(await check(url))

    async def _hash(self, manifest: Manifest) -> None:
        """Whether contents of files, by chance, are what their rows say."""
        prefix = f"{manifest.roots['library']}/"
        query = sql.SQL(_SAMPLE).format(files=sql.Identifier(SCHEMA, "anime_files"))
        async with connected(self.scratch) as connection:
            cursor = await connection.execute(query, (prefix, HASHED_FILES))
            rows = await cursor.fetchall()
        self._tell(await asyncio.to_thread(lambda: list(self._wrong_contents(rows))))
        self.report.files_hashed = len(rows)

    def _wrong_contents(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
        for path, sha256 in rows:
            content = self.folder.object_path(sha256)
            found = hash_of(content)
            if found is None:
                yield f"{path} has a row, and no content in the backup: `anime verify` says more."
            elif found != sha256:
                yield (
                    f"The content of {path} is damaged. Remove {content}: the next backup takes "
                    "it from the library again, if it is good there."
                )

    async def _rebuild(self, manifest: Manifest) -> None:
        """Whether the rows of one day can be made anew of its files, and say the same."""
        files = await asyncio.to_thread(self._files_of_day)
        if not files:
            return
        library = self.folder.root / _REHEARSED
        await asyncio.to_thread(self._rehearse, files, library)
        earlier = Path(manifest.roots["library"])
        expected = await self._rows(files, earlier)
        await self._forget(list(expected), earlier)
        async with Database(self.scratch.render_as_string(hide_password=False)) as database:
            await rebuild(database, library, zone=self.settings.zone)
        found = await self._rows(files, library)
        self.report.files_rebuilt = len(expected)
        self._tell(list(_differences(expected, found)))
        self.report.notes += _read_otherwise(expected, found)

    def _files_of_day(self) -> list[ListedFile]:
        """Files in the folders of one day, of all projects."""
        listing = self.backup / LISTING
        if self.day is None:
            days = {day for each in read_listing(listing) if (day := _day_of(each.path))}
            self.day = random.choice(sorted(days)) if days else ""  # noqa: S311  no secret
        self.report.day = self.day
        if not self.day:
            return []
        files = (each for each in read_listing(listing) if _day_of(each.path) == self.day)
        return list(islice(files, REBUILT_FILES))

    def _rehearse(self, files: Sequence[ListedFile], library: Path) -> None:
        """A library with those files, and what lies in the backup of their origins."""
        shutil.rmtree(library, ignore_errors=True)
        hashes = {each.sha256 for each in files}
        origins = [
            each
            for each in read_listing(self.backup / LISTING)
            if each.path.startswith(f"library/{ORIGINS_FOLDER}/".encode())
            and os.fsdecode(each.path).rpartition("/")[2][:64] in hashes
        ]
        for file in [*files, *origins]:
            path = file.place_in({"library": library})
            path.parent.mkdir(parents=True, exist_ok=True)
            content = self.folder.object_path(file.sha256)
            if content.exists():  # or it is a problem of its row, which has none then
                link_or_copy(content, path)

    async def _rows(self, files: Sequence[ListedFile], library: Path) -> dict[str, Row]:
        """What is compared of the rows of those files, by their place in the library."""
        paths = [str(each.place_in({"library": library})) for each in files]
        query = sql.SQL(_COMPARED).format(
            files=sql.Identifier(SCHEMA, "anime_files"),
            projects=sql.Identifier(SCHEMA, "projects"),
        )
        async with connected(self.scratch) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(query, (paths,))
            rows = await cursor.fetchall()
        return {str(row.pop("file_path")).removeprefix(f"{library}/"): row for row in rows}

    async def _forget(self, places: Sequence[str], library: Path) -> None:
        """Delete those rows from the scratch database, which is checked to be one."""
        if "_drill_" not in str(self.scratch.database):
            raise BackupFailed(f"{name_of(self.scratch)} is no scratch database.", "Report this.")
        query = sql.SQL("DELETE FROM {} WHERE file_path = ANY(%s)").format(
            sql.Identifier(SCHEMA, "anime_files")
        )
        async with connected(self.scratch) as connection:
            await connection.execute(query, ([f"{library}/{place}" for place in places],))


def _differences(expected: Mapping[str, Row], found: Mapping[str, Row]) -> Iterator[str]:
    """What a rebuild says otherwise than the restored rows, or not at all."""
    for place, row in expected.items():
        rebuilt = found.get(place)
        if rebuilt is None:
            yield f"A rebuild makes no row of {place}."
            continue
        names = (*_FACTS, *_OWNERS) if row["is_ours"] else _FACTS
        if wrong := _differing(names, row, rebuilt):
            yield f"A rebuild of {place} differs in: {', '.join(wrong)}."


def _read_otherwise(expected: Mapping[str, Row], found: Mapping[str, Row]) -> list[str]:
    """How many rows have a prompt or a seed that is read otherwise today; no fault of a backup."""
    differing = [
        place
        for place, row in expected.items()
        if place in found and _differing(_READ, row, found[place])
    ]
    if not differing:
        return []
    return [f"Prompt or seed of {len(differing)} files are read otherwise today: {differing[0]} …"]


def _differing(names: Sequence[str], row: Row, rebuilt: Row) -> list[str]:
    return [name for name in names if row[name] is not None and row[name] != rebuilt[name]]


def _day_of(path: bytes) -> str:
    """The day whose folder in the library the file lies in; empty if in none."""
    parts = os.fsdecode(path).split("/")
    is_of_day = len(parts) == 5 and parts[0] == "library"
    return parts[3] if is_of_day and parts[3].isdigit() and not parts[1].startswith(".") else ""
