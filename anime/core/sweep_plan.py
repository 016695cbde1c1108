"""What is to become of the files of a folder: facts in, steps out. Nothing is done here."""

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from anime.core.assets import Asset, KnownAsset
from anime.core.ownership import AssetOwner, Claims, Known, Sidecar, owner_among
from anime.core.paths import MEDIA_SUFFIXES, MESH_SUFFIXES, library_path, safe_filename
from anime.core.png_metadata import FileStamp

QUARANTINE = "quarantine"  # the folder, below the library
_MEDIA_SUFFIXES = tuple(suffix.encode() for suffix in MEDIA_SUFFIXES | MESH_SUFFIXES)
_NS = 1_000_000_000
_NOT_IN_ROW = {"job_id", "project_id", "created_by"}  # columns of the row, or of no use there


class ScannedFile(NamedTuple):
    """A file as its folder lists it; equal to what the database remembers of it."""

    folder: bytes  # absolute
    name: bytes
    size_bytes: int
    mtime_ns: int  # since the epoch

    @property
    def path(self) -> bytes:
        """Where it lies."""
        return posixpath.join(self.folder, self.name)


class Mode(StrEnum):
    """How a file comes into the library."""

    LINK = "link"  # a second name of the same file; a copy where that cannot be
    COPY = "copy"  # a file of its own
    MOVE = "move"  # as link, and then the source is removed


class ImportOutcome(StrEnum):
    """What was done with a file, or is to be."""

    ORGANISED = "organised"  # it is in the library and has a row
    DUPLICATE = "duplicate"  # the library has the same content already
    QUARANTINED = "quarantined"  # nobody can use it; it was put aside
    KNOWN = "known"  # its row was there already
    RESTORED = "restored"  # somebody took it out of quarantine: it is left alone
    LEFT = "left"  # not now; the next sweep looks again


class Reason(StrEnum):
    """Why a file is left where it is, for the next sweep."""

    GROWING = "it is still growing"
    OF_LIVE_JOB = "its job is under way"
    UNREADABLE = "it cannot be read by this user"
    GONE = "it has gone or changed meanwhile"


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why nobody can use a file: one word, and the sentence for a person."""

    reason: str
    what: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ImportCandidate:
    """A new file. `path` is relative to the swept folder; bytes that are no UTF-8 are escaped."""

    sighting: ScannedFile
    path: str
    sidecar: Sidecar | None = None

    @property
    def claims(self) -> Claims:
        """What speaks of its owner before it is read."""
        return Claims(self.path, sidecar=self.sidecar)


@dataclass(frozen=True, slots=True)
class Organise:
    """Bring it to `target`, relative to the library, and write it down."""

    seen: ImportCandidate
    target: PurePosixPath
    content: Asset
    owner: AssetOwner
    origin: Mapping[str, JsonValue]
    outcome = ImportOutcome.ORGANISED


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Remember that the same content is at `path` already, or will be after this batch."""

    seen: ImportCandidate
    path: str
    content: Asset
    file_id: int | None
    outcome = ImportOutcome.DUPLICATE


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Put it aside at `target`, relative to the library, with the reason beside it."""

    seen: ImportCandidate
    target: PurePosixPath
    unusable: Unusable
    at: datetime
    outcome = ImportOutcome.QUARANTINED


@dataclass(frozen=True, slots=True)
class Remember:
    """Its row is there: only remember that it was seen."""

    seen: ImportCandidate
    path: str
    file_id: int
    content: Asset | None = None  # unless it was not even read
    outcome = ImportOutcome.KNOWN


@dataclass(frozen=True, slots=True)
class Leave:
    """Do nothing; the next sweep looks again."""

    seen: ImportCandidate
    reason: Reason
    outcome = ImportOutcome.LEFT


Step = Organise | Duplicate | Quarantine | Remember | Leave
Found = Asset | Unusable | Reason
Looked = tuple[ImportCandidate, Found]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The studio's time zone, and what time it is."""

    zone: tzinfo
    now: datetime

    @property
    def today(self) -> date:
        """The day it is in the studio."""
        return self.now.astimezone(self.zone).date()

    def made_at(self, mtime_ns: int) -> datetime:
        """The moment in the studio's zone; now for one that no calendar has."""
        return moment_of(mtime_ns, self.zone) or self.now.astimezone(self.zone)


def moment_of(mtime_ns: int, zone: tzinfo) -> datetime | None:
    """The moment in that zone; None for one that no calendar has."""
    try:
        return datetime.fromtimestamp(mtime_ns / _NS, zone)
    except (ValueError, OverflowError, OSError):
        return None


def folder_key(path: bytes) -> bytes:
    """What the database knows a folder by: a digest of its path, 16 bytes."""
    return hashlib.blake2b(path, digest_size=16).digest()


def is_candidate(name: bytes) -> bool:
    """Whether a file of that name may be a finished picture, film, sound or 3D model.

    What programs write under until they have done is hidden or ends otherwise.

    >>> is_candidate(b"a.PNG"), is_candidate(b".a.png.x7f"), is_candidate(b"a.png.part")
    (True, False, False)
    """
    return name.lower().endswith(_MEDIA_SUFFIXES) and not name.startswith(b".")


def storable(path: str) -> str:
    r"""The path as PostgreSQL and JSON can hold it: bytes that are no UTF-8 are spelled out.

    >>> storable("a\udcff.png")
    'a\\xff.png'
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def triage(
    seen: ImportCandidate, known: Known, recorded: Mapping[tuple[UUID, str], KnownAsset]
) -> Remember | Leave | None:
    """What to do without reading the file; None when it has to be read.

    `recorded` are the files that jobs have written down themselves, by job and source.
    """
    job_id, _ = seen.claims.job()
    if job_id is None:
        return None
    kept = recorded.get((job_id, storable(seen.path)))
    if kept is not None and kept.size_bytes == seen.sighting.size_bytes:
        return Remember(seen, kept.path, kept.id)
    job = known.jobs.get(job_id)
    return Leave(seen, Reason.OF_LIVE_JOB) if job is not None and job.is_live else None


@dataclass(frozen=True, slots=True)
class Planner:
    """What is known while one batch is planned; `kept` is what the library has, by SHA-256."""

    known: Known
    kept: Mapping[str, KnownAsset]
    calendar: Calendar

    def steps(self, looked: Sequence[Looked]) -> list[Step]:
        """A step for each file, in their order.

        Of several files with one content the first is organised, the others are duplicates.
        """
        steps: list[Step] = []
        firsts: dict[str, str] = {}
        for seen, found in looked:
            if isinstance(found, Asset) and found.sha256 in firsts:
                steps.append(Duplicate(seen, firsts[found.sha256], found, None))
                continue
            step = self.step(seen, found)
            if isinstance(step, Organise):
                firsts[step.content.sha256] = str(step.target)
            steps.append(step)
        return steps

    def step(self, seen: ImportCandidate, found: Found) -> Step:
        """What is to become of one file."""
        match found:
            case Reason():
                return Leave(seen, found)
            case Unusable():
                return Quarantine(seen, self._aside(seen), found, self.calendar.now)
        kept = self.kept.get(found.sha256)
        if kept is None:
            return self._organise(seen, found)
        if kept.inode == found.inode or kept.source_path == storable(seen.path):
            return Remember(seen, kept.path, kept.id, found)
        return Duplicate(seen, kept.path, found, kept.id)

    def _organise(self, seen: ImportCandidate, content: Asset) -> Organise:
        owner = owner_among(Claims(seen.path, content.stamp, seen.sidecar), self.known)
        day = self.calendar.made_at(seen.sighting.mtime_ns).date()
        return Organise(
            seen,
            library_path(owner.slug, content.kind, day, seen.path),
            content,
            owner,
            origin_of(owner, content.stamp, seen.sidecar),
        )

    def _aside(self, seen: ImportCandidate) -> PurePosixPath:
        day = self.calendar.today.strftime("%Y%m%d")
        return PurePosixPath(QUARANTINE) / day / safe_filename(seen.path)


def origin_of(
    owner: AssetOwner, stamp: FileStamp | None, sidecar: Sidecar | None
) -> dict[str, JsonValue]:
    """What the file's row says beside its recipe: asked for by whom, and what tells so."""
    said = stamp or sidecar
    fields = said.model_dump(mode="json", exclude=_NOT_IN_ROW, exclude_none=True) if said else {}
    return {**fields, "owner_by": owner.evidence.value}
