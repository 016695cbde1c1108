"""Restoring a backup: into a database and folders that have nothing which it would change.

First everything is looked at and said; then the files come, each whole and never over another;
then the database, in one transaction. Killed anywhere, it is begun again and goes on: what is there
already is passed by, and a database with the very rows of the backup counts as restored.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Self

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow
from pydantic import BaseModel
from sqlalchemy import URL

from anime.assets.backup.create import backup_folder, roots_of
from anime.assets.backup.folder import (
    BackupFolder,
    check_parts,
    of_newer_program,
    read_manifest,
)
from anime.assets.backup.listing import ListedFile, read_listing
from anime.assets.library_files import Progress
from anime.assets.store import (
    INCOMING,
    copy_hashed,
    draft_in,
    hash_of,
    link_or_copy,
    storage_faults,
)
from anime.core.backups import CHECKSUMS, DUMP, LISTING, Manifest, differing_tables
from anime.db.address import name_of
from anime.db.dump import connected, holds_nothing, restore_dump, rows_of_tables
from anime.db.migrate import upgrade
from anime.db.models import SCHEMA
from anime.db.repositories.revisions import NEWEST_REVISION
from anime.db.session import Database
from anime.errors import BackupFailed, NotFound
from anime.settings import Settings

_BATCH_FILES = 500
_MAX_LISTED = 20
_SPARE_BYTES = 256 * 2**20  # that a disk is to have left
# Columns with paths of files in our folders; all others have paths of other programs.
_PATHS = (
    ("anime_files", "file_path"),
    ("anime_files", "thumbnail_path"),
    ("production_jobs", "output_path"),
)
_COMMENT = "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')"
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
# PostgreSQL shows a connection for a moment longer than its program had it.
LEAVING_SECONDS = 5.0


class RestorePlan(BaseModel):
    """What a restore will do, or has done."""

    backup: str
    made_at: str
    database: str
    rows: int
    is_database_there: bool = False  # with the very rows of the backup
    roots: dict[str, str]  # where files go, by their root in the backup
    moved: dict[str, str]  # earlier folders in rows, and those that follow them
    files: int = 0  # to be written
    size_bytes: int = 0
    files_there: int = 0
    revision: str = ""
    notes: list[str] = []


class Restore:
    """One backup, and where it is to go."""

    def __init__(self, backup: Path, settings: Settings, database: Database) -> None:
        self.backup = backup
        self.folder = BackupFolder(backup.parent)
        self.address: URL = database.address
        self.manifest: Manifest = read_manifest(backup)
        self.roots = self._roots(settings)

    @classmethod
    async def of(cls, backup: Path, settings: Settings, database: Database) -> Self:
        """Look at every part of the backup but the contents of files.

        Raises:
            NotFound: it is no whole backup.
            BackupFailed: it is damaged, or there is no folder for some of its files.
        """
        await asyncio.to_thread(check_parts, backup)
        return cls(backup, settings, database)

    async def plan(self, progress: Progress = lambda _: None) -> RestorePlan:
        """What would be done; nothing is changed.

        Raises:
            BackupFailed: something is in the way, or a newer program has made the backup.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        manifest = self.manifest
        if manifest.revision > NEWEST_REVISION:
            raise of_newer_program(self.backup, manifest)
        plan = RestorePlan(
            backup=str(self.backup),
            made_at=f"{manifest.made_at:%Y-%m-%d %H:%M} UTC",
            database=name_of(self.address),
            rows=sum(manifest.tables.values()),
            is_database_there=await self._is_database_there(),
            roots={name: str(path) for name, path in self.roots.items()},
            moved=self._moved(),
            revision=manifest.revision,
            notes=list(_notes(manifest)),
        )
        await asyncio.to_thread(self._plan_files, plan, progress)
        return plan

    async def apply(self, plan: RestorePlan, progress: Progress = lambda _: None) -> None:
        """Do what the plan says. Twice is harmless: what is there is passed by.

        Raises:
            BackupFailed: a content is damaged or missing; what came before stays.
            StorageError: a disk cannot take the files.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        await self._restore_files(progress)
        if not plan.is_database_there:
            await self._make_room()
            await restore_dump(self.address, self.backup / DUMP, all_or_nothing=True)
        await self._move_paths()
        await upgrade(self.address.render_as_string(hide_password=False))

    def _roots(self, settings: Settings) -> dict[str, Path]:
        """Where the files of each root go.

        Raises:
            BackupFailed: there is no such folder for some.
        """
        ours = roots_of(settings)
        lacking = sorted(set(self.manifest.roots) - set(ours))
        if lacking:
            raise BackupFailed(
                f"The backup has files of {lacking[0]}, for which no folder is set.",
                f"Set ANIME_{lacking[0].upper()}_DIR.",
            )
        return {name: ours[name] for name in self.manifest.roots}

    def _moved(self) -> dict[str, str]:
        earlier = self.manifest.roots
        return {
            earlier[name]: str(path)
            for name, path in self.roots.items()
            if earlier[name] != str(path)
        }

    async def _is_database_there(self) -> bool:
        """Whether the database has the backup's rows already; otherwise it has none.

        Raises:
            BackupFailed: it has others, or somebody else is connected to it.
        """
        async with connected(self.address) as connection:
            others = await _others_of(connection)
            found = await rows_of_tables(connection)
        if others:
            raise BackupFailed(
                f"{others} others are connected to {name_of(self.address)}.",
                "Stop `anime up`, workers and the API; then restore.",
            )
        if found and not differing_tables(self.manifest.tables, found):
            return True
        if not holds_nothing(found):
            raise BackupFailed(
                f"There are rows of a studio in {name_of(self.address)}; they stay as they are.",
                "Restore into another database: create one, and set ANIME_DATABASE_URL to it.",
            )
        return False

    def _plan_files(self, plan: RestorePlan, progress: Progress) -> None:
        """Count files to write.

        Raises:
            BackupFailed: another file has the place of one, or a disk is too small.
        """
        in_the_way: list[str] = []
        needed = dict.fromkeys(self.roots, 0)
        for number, file in enumerate(read_listing(self.backup / LISTING)):
            path = file.place_in(self.roots)
            if _is_there(file, path):
                plan.files_there += 1
            elif os.path.lexists(path):
                in_the_way.append(str(path))
            else:
                plan.files += 1
                plan.size_bytes += file.size_bytes
                needed[file.root] += file.size_bytes
            if number % 1000 == 0:
                progress(number)
        if in_the_way:
            raise BackupFailed(
                f"{len(in_the_way):,} other files have the places of files of the backup: "
                f"{', '.join(in_the_way[:_MAX_LISTED])}.",
                "They stay as they are: move them away, or restore into another folder.",
            )
        for name, size_bytes in needed.items():
            _check_room(self.roots[name], size_bytes)

    async def _restore_files(self, progress: Progress) -> None:
        files = read_listing(self.backup / LISTING)
        done = 0
        while batch := await asyncio.to_thread(lambda: list(islice(files, _BATCH_FILES))):
            await asyncio.to_thread(self._restore_some, batch)
            done += len(batch)
            progress(done)
        for root in self.roots.values():
            with suppress(OSError):  # something else is in it
                (root / INCOMING).rmdir()

    def _restore_some(self, files: list[ListedFile]) -> None:
        for file in files:
            path = file.place_in(self.roots)
            if _is_there(file, path):
                continue
            with storage_faults(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._restore_file(file, path, self.roots[file.root] / INCOMING)

    def _restore_file(self, file: ListedFile, path: Path, drafts: Path) -> None:
        """Copy a content to its place, whole and with its time, and never over another file."""
        content = self.folder.object_path(file.sha256)
        with draft_in(drafts) as draft:
            try:
                with content.open("rb") as source, draft.open("wb") as copy:
                    is_whole = copy_hashed(source, copy) == file.sha256
            except FileNotFoundError:
                is_whole = False
            if not is_whole:
                raise BackupFailed(
                    f"The content {content} for {path} is missing or damaged.",
                    "Take another backup for this file; nothing was written in its place.",
                )
            draft.chmod(0o644)
            os.utime(draft, ns=(file.mtime_ns, file.mtime_ns))
            try:
                link_or_copy(draft, path)
            except FileExistsError:
                if hash_of(path) != file.sha256:
                    raise

    async def _make_room(self) -> None:
        """Drop tables without rows, which `anime up` makes at its first start.

        Raises:
            BackupFailed: somebody has written rows meanwhile.
        """
        async with connected(self.address) as connection, connection.transaction():
            found = await rows_of_tables(connection)
            for name in found:
                lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
                await connection.execute(lock.format(sql.Identifier(SCHEMA, name)))
            if not holds_nothing(await rows_of_tables(connection)):
                raise BackupFailed(
                    f"Somebody has written to {name_of(self.address)} just now.",
                    "Stop `anime up`, workers and the API; then restore.",
                )
            drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
            await connection.execute(drop.format(sql.Identifier(SCHEMA)))

    async def _move_paths(self) -> None:
        """Write the new folders into rows that have the earlier ones, in one transaction.

        A comment on the schema says that it was done, so that twice is harmless.
        """
        done = f"Restored from {self.backup.name}, paths included."
        moved = sorted(self._moved().items(), reverse=True)  # a folder in another one comes first
        async with connected(self.address) as connection, connection.transaction():
            row = await (await connection.execute(_COMMENT, (SCHEMA,))).fetchone()
            if not moved or (row and row[0] == done):
                return
            for table, column in _PATHS:
                await connection.execute(_move(table, column, moved))
            comment = sql.SQL("COMMENT ON SCHEMA {} IS {}")
            await connection.execute(comment.format(sql.Identifier(SCHEMA), done))


def _move(table: str, column: str, moved: Sequence[tuple[str, str]]) -> sql.Composed:
    """The statement that writes new folders for earlier ones; of two that fit, the first."""
    name = sql.Identifier(column)
    begins = [sql.SQL("starts_with({}, {})").format(name, f"{earlier}/") for earlier, _ in moved]
    cases = [
        sql.SQL("WHEN {} THEN {} || substr({}, {})").format(begin, new, name, len(earlier) + 1)
        for begin, (earlier, new) in zip(begins, moved, strict=True)
    ]
    return sql.SQL("UPDATE {} SET {} = CASE {} END WHERE {}").format(
        sql.Identifier(SCHEMA, table), name, sql.SQL(" ").join(cases), sql.SQL(" OR ").join(begins)
    )


def chosen_backup(settings: Settings, given: Path | None) -> Path:
    """The backup that is meant: a folder of one, or the newest in a folder of many.

    Raises:
        NotFound: there is none.
        ConfigurationError: no folder is set, and none given.
    """
    if given is not None and not given.is_dir():
        raise NotFound(f"There is no folder {given}.", "`anime backup list` shows the backups.")
    if given is not None and (given / CHECKSUMS).exists():
        return given.absolute()
    return backup_folder(settings, given).newest()


async def _others_of(connection: AsyncConnection[TupleRow]) -> int:
    """How many others are connected, and do not just leave."""
    give_up_at = time.monotonic() + LEAVING_SECONDS
    while True:
        row = await (await connection.execute(_OTHERS)).fetchone()
        others: int = row[0] if row else 0
        if not others or time.monotonic() > give_up_at:
            return others
        await asyncio.sleep(0.1)


def _is_there(file: ListedFile, path: Path) -> bool:
    """Whether the file has its place already."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if found.st_size != file.size_bytes:
        return False
    return found.st_mtime_ns == file.mtime_ns or hash_of(path) == file.sha256


def _check_room(root: Path, size_bytes: int) -> None:
    there = next(path for path in (root, *root.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if size_bytes and free < size_bytes + _SPARE_BYTES:
        raise BackupFailed(
            f"{root} needs {size_bytes // 2**20:,} MB, and its disk has {free // 2**20:,} free.",
            "Free some space there, or restore into a folder on another disk.",
        )


def _notes(manifest: Manifest) -> Iterator[str]:
    if manifest.files_unread:
        yield f"{manifest.files_unread:,} files could not be read when it was made."
    if manifest.revision != NEWEST_REVISION:
        yield f"The tables are then brought from revision {manifest.revision} to the newest."
    yield "Jobs that ran or waited at that time go on once a worker and the API start."
