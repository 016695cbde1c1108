"""Where a file comes from, written beside it where the file itself cannot say.

A picture carries our stamp in its own bytes; most video and audio cannot. Their origin lies in
the library under the hash of their content, so that it is found however they are renamed, and
the database can be made anew from files alone. All of it blocks: call it in a thread.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from anime.assets.store import INCOMING, write_file
from anime.core.assets import Provenance
from anime.errors import StorageError

ORIGINS_FOLDER = ".origins"  # of the library
MAX_ORIGIN_BYTES = 16 * 1024 * 1024  # several graphs of a thousand nodes
_log = logging.getLogger(__name__)


def write_provenance(library_root: Path, sha256: str, origin: Provenance) -> Path:
    """The sidecar, in its place and on the disk; that of the same owner is replaced.

    Two jobs that made the same bytes have a sidecar each: the second one's names its owner.

    Raises:
        StorageError: the library cannot take it; what was there is untouched.
    """
    common, drafts = _path(library_root, sha256), library_root / INCOMING
    text = origin.model_dump_json(exclude_none=True).encode()
    try:
        common.parent.parent.mkdir(exist_ok=True)  # not its parents: a lost mount is not new
        common.parent.mkdir(exist_ok=True)
        if not common.exists():
            with suppress(FileExistsError):  # somebody was faster
                write_file(common, text, drafts=drafts)
                return common
        kept = _read(common)
        is_ours = kept is None or kept.owner == origin.owner
        target = common if is_ours else _path(library_root, sha256, origin.owner)
        write_file(target, text, drafts=drafts, replaces=True)
    except OSError as fault:
        raise _storage_error(fault, common, "written") from fault
    return target


def read_provenance(
    library_root: Path, sha256: str, *, owner: UUID | str | None = None
) -> Provenance | None:
    """The origin of the content with that hash; None where none is written or it is damaged.

    Where several made the same content: that of the owner, else of whoever was first.

    Raises:
        StorageError: the library cannot give it.
    """
    common = _path(library_root, sha256)
    own = (_path(library_root, sha256, str(owner)),) if owner else ()
    try:
        found = (_read(path) for path in (*own, common))
        return next((origin for origin in found if origin is not None), None)
    except OSError as fault:
        raise _storage_error(fault, common, "read") from fault


def _path(library_root: Path, sha256: str, owner: str | None = None) -> Path:
    name = f"{sha256}-{owner}.json" if owner else f"{sha256}.json"
    return library_root / ORIGINS_FOLDER / sha256[:2] / name


def _read(path: Path) -> Provenance | None:
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_ORIGIN_BYTES)  # cut off, it is no JSON any more
    except FileNotFoundError:
        return None
    try:
        return Provenance.model_validate_json(text)
    except ValueError as fault:  # a ValidationError is one
        _log.warning("The origin %s cannot be read: %s", path, fault)
        return None


def _storage_error(fault: OSError, path: Path, done: str) -> StorageError:
    return StorageError(
        f"The origin {path} cannot be {done}: {os.strerror(fault.errno or 0)}.",
        "Look at the disk and the rights of the library (ANIME_LIBRARY_DIR).",
    )
