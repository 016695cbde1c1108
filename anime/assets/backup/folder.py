"""The folder of all backups: each in a folder of its own, and contents of files beside them.

A content has its hash for a name, so that all backups share it. It is linked from the library
where that is on the same file system and a row knows the file, whose content never changes then;
everything else is copied. All of it blocks: call it in a thread.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from anime.assets.backup.listing import hashes_in, hashes_only_in, read_listing
from anime.assets.store import (
    AssetStore,
    copy_hashed,
    draft_in,
    link,
    link_or_copy,
    sha256_of,
    sync_folder,
    write_file,
)
from anime.core.backups import (
    CHECKSUMS,
    FIRST,
    LISTING,
    MANIFEST,
    OBJECTS,
    Manifest,
    is_backup_name,
    oldest_first,
    sums_of,
    sums_text,
    to_remove,
)
from anime.errors import BackupFailed, NotFound

_UNFINISHED = ".unfinished-"
_DRAFTS = ".incoming"
_REMOVING = ".removing-"
_PRIVATE = 0o700


@dataclass
class BackupFolder:
    """Where backups are kept."""

    root: Path
    _touched: set[str] = field(default_factory=set)  # folders of objects with new names

    @property
    def disk(self) -> AssetStore:
        """What uses its disk in threads that may hang."""
        return AssetStore(self.root, called="folder of backups")

    def check(self, sources: dict[str, Path]) -> None:
        """Make sure that backups can be kept there.

        Raises:
            BackupFailed: it is missing, or one of the folders lies in the other.
        """
        if not self.root.is_dir():
            raise BackupFailed(
                f"There is no folder {self.root} for backups.",
                "Mount or make it, or point ANIME_BACKUP_DIR to one that exists.",
            )
        here = self.root.resolve()
        for source in (path.resolve() for path in sources.values()):
            if here.is_relative_to(source) or source.is_relative_to(here):
                raise BackupFailed(
                    f"The folder {self.root} for backups and {source} lie one in the other.",
                    "Point ANIME_BACKUP_DIR to a folder apart, best on another disk.",
                )

    def names(self) -> list[str]:
        """The whole backups, the oldest first; none of a folder that cannot be read."""
        try:
            found = [each.name for each in self.root.iterdir() if is_backup_name(each.name)]
            whole = [name for name in found if (self.root / name / CHECKSUMS).is_file()]
        except OSError:
            return []
        return oldest_first(whole, datetime.now(UTC))

    def first(self) -> str | None:
        """The name of the first backup ever, also when it has been removed; None before it."""
        names = self.names()
        with suppress(OSError, ValueError):  # nothing is written down yet, or nothing usable
            noted = (self.root / FIRST).read_text()
            names += [noted] if is_backup_name(noted) else []
        return min(names, default=None)

    def newest(self) -> Path:
        """The last backup.

        Raises:
            NotFound: there is none.
        """
        names = self.names()
        if not names:
            raise NotFound(f"There is no backup in {self.root}.", "Make one with `anime backup`.")
        return self.root / names[-1]

    def begin(self) -> Path:
        """A folder for a backup that is not whole yet; what killed ones have left goes."""
        self.abandon()
        (self.root / OBJECTS).mkdir(mode=_PRIVATE, exist_ok=True)
        # Of a name of its own: the pg_dump of a killed backup may still write into the other.
        return Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))

    def finish(self, unfinished: Path, name: str) -> Path:
        """Make it one of the backups: its checksums are written, then it gets its name."""
        for folder in self._touched:
            sync_folder(Path(folder))
        parts = sorted(path for path in unfinished.rglob("*") if path.is_file())
        hashes = {str(path.relative_to(unfinished)): sha256_of(path) for path in parts}
        write_file(unfinished / CHECKSUMS, sums_text(hashes).encode())
        sync_folder(unfinished)
        first = min(name, self.first() or name)
        write_file(
            self.root / FIRST, first.encode(), drafts=self.root / OBJECTS / _DRAFTS, replaces=True
        )
        whole = self.root / name
        unfinished.rename(whole)
        sync_folder(self.root)
        return whole

    def abandon(self) -> None:
        """Remove what is not whole; contents stay, the next backup finds them."""
        for leftover in (*self.root.glob(f"{_UNFINISHED}*"), self.root / OBJECTS / _DRAFTS):
            shutil.rmtree(leftover, ignore_errors=True)

    def has(self, sha256: str) -> bool:
        """Whether there is such a content."""
        return os.path.exists(self._object(sha256))  # noqa: PTH110  a million times a night

    def object_path(self, sha256: str) -> Path:
        """Where the content with that hash is, or would be."""
        return Path(self._object(sha256))

    def _object(self, sha256: str) -> str:
        return f"{self._objects}/{sha256[:2]}/{sha256}"

    @cached_property
    def _objects(self) -> str:
        return str(self.root / OBJECTS)

    def link_in(self, source: str, sha256: str) -> bool | None:
        """Whether the content is new, now that there is a link to it; None if none can be made."""
        target = self._target(sha256)
        try:
            return link(source, target) or None
        except FileExistsError:
            return False

    def copy_in(self, source: str) -> str:
        """The hash of the content, of which there is a copy now."""
        with draft_in(self.root / OBJECTS / _DRAFTS) as draft:
            with Path(source).open("rb") as original, draft.open("wb") as copy:
                sha256 = copy_hashed(original, copy)
            with suppress(FileExistsError):
                link_or_copy(draft, Path(self._target(sha256)))
        return sha256

    def prune(self, keep: int) -> int:
        """How many of the oldest backups were removed, with contents that no other one has."""
        old = to_remove(self.names(), keep)
        for name in old:  # from here on it is no backup; one that is killed here is gone on with
            (self.root / name).rename(self.root / f"{_REMOVING}{name}")
        for folder in sorted(self.root.glob(f"{_REMOVING}*")):
            with suppress(BackupFailed):  # its listing is damaged: then contents stay
                self._remove_contents(folder / LISTING)
            shutil.rmtree(folder)
        return len(old)

    def _remove_contents(self, listing: Path) -> None:
        """Remove the contents that no backup has but this one, which is being removed."""
        kept = [self.root / name / LISTING for name in self.names()]
        if not kept:
            return
        unused = hashes_only_in(read_listing(listing), read_listing(kept[0]))
        for other in kept if unused else ():
            unused -= hashes_in(other, unused)
        for sha256 in unused:
            self.object_path(sha256).unlink(missing_ok=True)

    def _target(self, sha256: str) -> str:
        """Where the content is to be, in a folder that is there."""
        folder = f"{self._objects}/{sha256[:2]}"
        if folder not in self._touched:
            Path(folder).mkdir(mode=_PRIVATE, exist_ok=True)
            self._touched.add(folder)
        return self._object(sha256)


def read_manifest(backup: Path) -> Manifest:
    """What the backup says of itself.

    Raises:
        NotFound: it is no whole backup.
        BackupFailed: it is damaged, or of a newer program.
    """
    if not (backup / CHECKSUMS).is_file():
        raise NotFound(
            f"{backup} is no whole backup.", "`anime backup list` shows those that there are."
        )
    try:
        manifest = Manifest.model_validate_json((backup / MANIFEST).read_bytes())
    except (OSError, ValueError) as fault:
        raise _damaged(backup, MANIFEST) from fault
    if manifest.format > Manifest.model_fields["format"].default:
        raise of_newer_program(backup, manifest)
    return manifest


def of_newer_program(backup: Path, manifest: Manifest) -> BackupFailed:
    """The error for a backup that this program does not understand."""
    return BackupFailed(
        f"{backup} was made by a newer program, {manifest.program}.",
        "Update this program; then restore.",
    )


def check_parts(backup: Path) -> None:
    """Read every part of a backup but the contents of files.

    Raises:
        BackupFailed: a part is missing or not as it was written.
    """
    for name, sha256 in _expected(backup).items():
        try:
            is_whole = sha256_of(backup / name) == sha256
        except OSError:
            is_whole = False
        if not is_whole:
            raise _damaged(backup, name)


def _expected(backup: Path) -> dict[str, str]:
    try:
        expected = sums_of((backup / CHECKSUMS).read_text())
    except (OSError, ValueError) as fault:
        raise _damaged(backup, CHECKSUMS) from fault
    if not {MANIFEST, LISTING} <= set(expected):
        raise _damaged(backup, CHECKSUMS)
    return expected


def _damaged(backup: Path, name: str) -> BackupFailed:
    return BackupFailed(
        f"The backup {backup} is damaged: {name} is not as it was written.",
        "Nothing was changed. Take another backup, and look at that disk.",
    )
