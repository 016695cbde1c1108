"""Files that nobody can use, put aside with the reason; and how one comes back.

    quarantine/20251202/broken.png         the file, unchanged
    quarantine/20251202/broken.png.json    why it is there, and where it was

Nothing is deleted by a sweep. All of it blocks: call it in a thread.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from anime.assets.importer.walk import name_of, size_and_time
from anime.assets.store import (
    INCOMING,
    place_beside,
    sha256_of,
    storage_faults,
    sync_folder,
    write_file,
)
from anime.core.sweep_plan import QUARANTINE, ImportOutcome, Quarantine, ScannedFile
from anime.db.repositories.sweeps import SweepRepository, SweptLine
from anime.db.session import Database
from anime.errors import NotFound


class QuarantineRecord(BaseModel):
    """What the JSON beside a quarantined file says."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(description="Name in the quarantine.")
    reason: str = Field(description="One word.")
    what: str = Field(description="The sentence for a person.")
    path: str = Field(description="Where it was; bytes that are no UTF-8 are spelled out.")
    path_hex: str = Field(description="The same, byte for byte.")
    size_bytes: int
    sha256: str | None = None
    put_aside_at: AwareDatetime


def record_of_quarantined(step: Quarantine, placed: Path) -> QuarantineRecord:
    """The record of a file that was quarantined under that path."""
    sighting = step.seen.sighting
    return QuarantineRecord(
        name=f"{placed.parent.name}/{placed.name}",
        reason=step.unusable.reason,
        what=step.unusable.what,
        path=sighting.path.decode("utf-8", "backslashreplace"),
        path_hex=sighting.path.hex(),
        size_bytes=sighting.size_bytes,
        sha256=step.unusable.sha256,
        put_aside_at=step.at,
    )


def record_beside(path: Path) -> str | None:
    """Where the quarantined file of that path was, in hex; None when no record says so."""
    record = _read_record(Path(f"{path}.json"))
    return None if record is None else record.path_hex


def write_record(root: Path, record: QuarantineRecord) -> None:
    """Put the record beside its file, whole; one that an earlier try has written stays.

    Raises:
        OSError: the disk cannot take it.
    """
    text = record.model_dump_json(indent=2).encode()
    with suppress(FileExistsError):
        write_file(_record_path(root, record.name), text, drafts=root / INCOMING)


def quarantined(root: Path) -> list[QuarantineRecord]:
    """All records, the newest first; what is no record of ours is passed over."""
    records = []
    for path in (root / QUARANTINE).glob("*/*.json"):
        if (record := _read_record(path)) is not None:
            # The path counts, not what a file says: a name from outside must not lead outside.
            name = f"{path.parent.name}/{path.stem}"
            records.append(record.model_copy(update={"name": name}))
    return sorted(records, key=lambda record: record.put_aside_at, reverse=True)


def bring_back(root: Path, name: str) -> tuple[QuarantineRecord, ScannedFile]:
    """The file of that name is where it was, or beside it; it is in quarantine, too.

    Raises:
        NotFound: there is none of that name, or there are several.
        StorageError: its folder cannot take it.
    """
    record = _record_of_name(root, name)
    wanted = Path(os.fsdecode(bytes.fromhex(record.path_hex)))
    with storage_faults(wanted.parent):
        wanted.parent.mkdir(parents=True, exist_ok=True)
        aside = root / QUARANTINE / record.name
        placed = place_beside(aside, wanted, sha256_of(aside))
        sync_folder(placed.parent)
        status = placed.lstat()
    folder, name_bytes = os.fsencode(placed.parent), os.fsencode(placed.name)
    return record, ScannedFile(folder, name_bytes, *size_and_time(status))


def let_go(root: Path, record: QuarantineRecord) -> None:
    """Take a file that was brought back out of the quarantine; doing it twice is harmless.

    Raises:
        StorageError: the library cannot be changed.
    """
    path = root / QUARANTINE / record.name
    with storage_faults(path.parent):
        path.unlink(missing_ok=True)
        _record_path(root, record.name).unlink(missing_ok=True)


def _read_record(path: Path) -> QuarantineRecord | None:
    """The record in that file; None when it cannot be read or is none of ours."""
    with suppress(OSError, ValidationError):
        return QuarantineRecord.model_validate_json(path.read_bytes())
    return None


def _record_path(root: Path, name: str) -> Path:
    return root / QUARANTINE / f"{name}.json"


def _record_of_name(root: Path, name: str) -> QuarantineRecord:
    records = quarantined(root)
    found = [record for record in records if name in {record.name, PurePosixPath(record.name).name}]
    if len(found) != 1:
        several = ", ".join(record.name for record in found[:5])
        raise NotFound(
            f"{name} is the name of several files in quarantine: {several}."
            if found
            else f"There is no {name} in quarantine.",
            "`anime quarantine list` has the names; give DAY/NAME.",
        )
    return found[0]


async def restore_file(database_url: str, library: Path, name: str) -> str:
    """Where the file is now: where it was, or beside it if another one is there.

    It leaves the quarantine last, so that it is somewhere at any time; sweeps know it and leave
    it alone until it changes.

    Raises:
        NotFound: there is none of that name, or there are several.
        StorageError: its folder cannot take it.
        DatabaseUnavailable: PostgreSQL does not answer; it is in quarantine still.
    """
    record, sighting = await asyncio.to_thread(bring_back, library, name)
    async with Database(database_url) as database, database.session_scope() as session:
        await SweepRepository(session).write([SweptLine(sighting, ImportOutcome.RESTORED)])
    await asyncio.to_thread(let_go, library, record)
    return name_of(sighting)
