"""Making a backup: the database as it is at one moment, then the files that were there by then.

Jobs go on meanwhile. A file is in the library before it has a row, so every row of that moment has
its file in the walk that follows. A backup that fails or is killed leaves the earlier ones as they
are, and contents of files that the next one finds again.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from pydantic import BaseModel

from anime.assets.backup.contents import ContentTaker
from anime.assets.backup.folder import BackupFolder
from anime.assets.backup.guards import disk_faults, only_one
from anime.assets.backup.kept_settings import settings_text
from anime.assets.backup.listing import FolderWalk, ListingWriter
from anime.assets.library_files import Progress, require_library
from anime.assets.store import AssetStore, write_file
from anime.core.backups import DUMP, LISTING, MANIFEST, SETTINGS, Manifest, backup_name
from anime.db.dump import Snapshot, dump, snapshot
from anime.db.session import Database
from anime.errors import BackupFailed, ConfigurationError
from anime.retry_policies import cancel_until_ended
from anime.settings import Settings

_BATCH_FILES = 2_000


class BackupReport(BaseModel):
    """A backup that was made."""

    backup: str  # its folder
    seconds: float
    rows: int
    files: int
    size_bytes: int
    files_new: int  # whose content no earlier backup has
    bytes_copied: int
    files_unread: int
    unread: dict[str, str]
    pruned: int  # old backups that were removed
    warnings: list[str]


def backup_folder(settings: Settings, given: Path | None = None) -> BackupFolder:
    """The folder of all backups.

    Raises:
        ConfigurationError: none is set.
    """
    root = given or settings.backup_dir
    if root is None:
        raise ConfigurationError(
            "No folder for backups is set.",
            "Set ANIME_BACKUP_DIR to an existing folder, best on another disk or machine.",
        )
    return BackupFolder(root.absolute())


def roots_of(settings: Settings) -> dict[str, Path]:
    """The folders that go into a backup, by the name that they have there."""
    named = {
        "archive": settings.archive_dir,
        "library": settings.library,
        "workflows": settings.own_workflows,
    }
    return {name: path for name, path in named.items() if path is not None}


async def make_backup(
    settings: Settings,
    database: Database,
    folder: BackupFolder,
    *,
    progress: Progress = lambda _: None,
) -> BackupReport:
    """A new backup; the oldest ones beyond those to keep are removed.

    Twice is harmless: each is a backup of its own, and shares the contents of the other.

    Raises:
        BackupFailed: it could not be made; what was there before is as it was.
        StorageError: there is no library.
        StorageTimedOut: one of the folders does not answer as it begins.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    await require_library(settings.library)
    roots = {
        name: path
        for name, path in roots_of(settings).items()
        if await AssetStore(path, called=name).in_thread(path.is_dir)
    }
    await folder.disk.in_thread(folder.check, roots)
    began = time.monotonic()
    async with only_one(database.address):
        with (
            disk_faults(folder.root),
            ContentTaker(folder, roots, database.address) as taker,
        ):
            try:
                whole, manifest = await _make(settings, taker, progress)
            except BaseException:
                folder.abandon()
                raise
            pruned = await asyncio.to_thread(folder.prune, settings.keep_backups)
    return BackupReport(
        backup=str(whole),
        seconds=round(time.monotonic() - began, 1),
        rows=sum(manifest.tables.values()),
        files=taker.files,
        size_bytes=taker.size_bytes,
        files_new=taker.files_new,
        bytes_copied=taker.bytes_copied,
        files_unread=taker.files_unread,
        unread=taker.unread,
        pruned=pruned,
        warnings=list(_warnings(manifest, folder.root, roots)),
    )


async def _make(
    settings: Settings, taker: ContentTaker, progress: Progress
) -> tuple[Path, Manifest]:
    """The backup, whole."""
    unfinished = await asyncio.to_thread(taker.folder.begin)
    now, address = datetime.now(UTC), taker.address
    async with snapshot(address) as moment:
        dumping = asyncio.create_task(dump(address, unfinished / DUMP, moment))
        try:
            links = await _list_files(taker, unfinished / LISTING, dumping, progress)
            await dumping
        finally:
            await cancel_until_ended(dumping)
    manifest = _manifest(str(address.database), now, moment, taker, links)
    write_file(unfinished / SETTINGS, settings_text(settings).encode())
    write_file(unfinished / MANIFEST, manifest.model_dump_json(indent=2).encode())
    name = backup_name(now)
    if name in taker.folder.names():
        raise BackupFailed("There is a backup of this very second.", "Try again.")
    return await asyncio.to_thread(taker.folder.finish, unfinished, name), manifest


async def _list_files(
    taker: ContentTaker, listing: Path, dumping: "asyncio.Task[None]", progress: Progress
) -> int:
    """Write the listing, and take in contents that are new; how many links were passed over."""
    walk = FolderWalk(taker.roots, taker.leave_out)
    looking = asyncio.get_running_loop().run_in_executor
    with (
        closing(taker.looked_up(walk.files())) as files,
        ThreadPoolExecutor(1, "walk") as walker,  # closed first: it has the files
        ListingWriter(listing) as writer,
    ):
        coming = looking(walker, list, islice(files, _BATCH_FILES))
        while batch := await coming:
            coming = looking(walker, list, islice(files, _BATCH_FILES))  # while this one is taken
            writer.write(await asyncio.to_thread(taker.take, batch))
            progress(taker.files)
            if dumping.done():
                dumping.result()  # a dump that has failed ends the rest, too
    return walk.links


def _manifest(
    database: str, now: datetime, moment: Snapshot, taker: ContentTaker, links: int
) -> Manifest:
    return Manifest(
        program=version("anime-production"),
        made_at=now,
        database=database,
        server=moment.server,
        revision=moment.revision,
        tables=moment.tables,
        roots={name: str(path) for name, path in taker.roots.items()},
        files=taker.files,
        size_bytes=taker.size_bytes,
        unread=taker.unread,
        files_unread=taker.files_unread,
        links=links,
        other_schemas=moment.other_schemas,
    )


def _warnings(manifest: Manifest, root: Path, roots: Mapping[str, Path]) -> Iterator[str]:
    """What a person should know of a backup that was made."""
    if root.stat().st_dev == roots["library"].stat().st_dev:
        yield "The backup lies on the library's disk: it does not outlive that disk."
    if manifest.other_schemas:
        yield f"Not ours, and not in it: the schemas {', '.join(manifest.other_schemas)}."
    if manifest.links:
        yield f"{manifest.links:,} symbolic links were passed over."
    if manifest.files_unread:
        yield f"{manifest.files_unread:,} files could not be kept as they are."
