"""What a backup says of itself, and whether backups and drills are as recent as they should be."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1  # of the manifest and the listing
MANIFEST = "manifest.json"
# Beside the parts of a backup: `sha256sum --check` takes it. Its presence makes a backup whole.
CHECKSUMS = "SHA256SUMS"
LISTING = "files.gz"
SETTINGS = "settings.json"
DUMP = "database"  # a folder, as pg_dump writes it
OBJECTS = "objects"  # beside the backups: contents of files, by hash
DRILLS = "drills.jsonl"  # beside the backups: what each drill has found
FIRST = "first-backup"  # beside the backups: the name of the first one, which may be gone by now

MAX_BACKUP_AGE = timedelta(hours=50)  # two nights, with room for one that runs late
MAX_DRILL_AGE = timedelta(days=8)  # a week, with room for one that runs late
CLOCK_MARGIN = timedelta(hours=1)  # by which clocks of a studio may differ
_NAME = "%Y%m%dT%H%M%SZ"
_NAMED = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SCRATCH = "_drill_"
_MAX_DATABASE_BYTES = 63  # PostgreSQL cuts longer names off, which could make two of them one


class Manifest(BaseModel):
    """What is in a backup. Hashes of its parts stand in its checksums."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    program: str  # the version that has made it
    made_at: datetime
    database: str  # its name
    server: int  # PostgreSQL's major version
    revision: str
    tables: dict[str, int]  # rows of each
    roots: dict[str, str]  # folders that its files are from, by the first word of their paths
    files: int = 0
    size_bytes: int = 0
    # Paths that could not be read, with the reason; not all of many.
    unread: dict[str, str] = Field(default_factory=dict)
    files_unread: int = 0
    links: int = 0  # symbolic links: not followed, not kept
    other_schemas: list[str] = Field(default_factory=list)  # of the database; not in the backup


class DrillReport(BaseModel):
    """What a drill has found. `problems` is empty when all is well."""

    at: datetime
    backup: str
    seconds: dict[str, float] = Field(default_factory=dict)  # by step
    rows: int = 0
    files_hashed: int = 0
    day: str = ""
    files_rebuilt: int = 0
    problems: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)  # no faults of the backup

    @property
    def is_green(self) -> bool:
        """Whether the backup is as good as it says."""
        return not self.problems

    @property
    def total_seconds(self) -> float:
        """How long all steps have taken."""
        return sum(self.seconds.values())


def backup_name(moment: datetime) -> str:
    """The folder of a backup of that moment; names sort as times do.

    >>> backup_name(datetime(2026, 11, 29, 3, tzinfo=UTC))
    '20261129T030000Z'
    """
    return moment.astimezone(UTC).strftime(_NAME)


def is_backup_name(name: str) -> bool:
    """Whether a folder of that name can be a backup."""
    return _NAMED.fullmatch(name) is not None


def oldest_first(names: Iterable[str], now: datetime) -> list[str]:
    """Backups in the order in which they were made: one of the future is of a clock that ran ahead.

    >>> oldest_first(["20261129T030000Z", "21000101T000000Z"], datetime(2026, 11, 30, tzinfo=UTC))
    ['21000101T000000Z', '20261129T030000Z']
    """
    latest = backup_name(now + CLOCK_MARGIN)
    return sorted(names, key=lambda name: (name <= latest, name))


def moment_of(name: str) -> datetime:
    """When the backup of that name was made."""
    return datetime.strptime(name, _NAME).replace(tzinfo=UTC)


def scratch_name(live: str, chosen: str) -> str:
    """The name of a database for a drill, which cannot be that of the live one.

    Its last digits follow from the others and from the live one's name, so that nobody else has
    such a name by chance: the database is known as ours from the moment in which it is made.

    >>> scratch_name("anime_production", "1f2e3d4c")
    'anime_production_drill_1f2e3d4cf18bf935'
    """
    check = hashlib.sha256(f"{live}{_SCRATCH}{chosen}".encode()).hexdigest()[: len(chosen)]
    tail = f"{_SCRATCH}{chosen}{check}"
    head = live.encode()[: _MAX_DATABASE_BYTES - len(tail.encode())].decode(errors="ignore")
    return head + tail


def is_scratch_name(name: str, live: str) -> bool:
    """Whether a drill of that live database may have made, and may drop, a database so named.

    >>> is_scratch_name("anime", "anime"), is_scratch_name("anime_drill_0a1b2c3d", "anime")
    (False, False)
    >>> is_scratch_name(scratch_name("anime", "0a1b2c3d"), "anime")
    True
    """
    digits = re.search(rf"{_SCRATCH}([0-9a-f]{{8}})[0-9a-f]{{8}}\Z", name)
    return digits is not None and name != live and scratch_name(live, digits[1]) == name


def to_remove(names: Sequence[str], keep: int) -> list[str]:
    """The first backups, which are the oldest, beyond the number to keep; never the last one."""
    return list(names[: -max(1, keep)])


@dataclass(frozen=True, slots=True)
class BackupTimes:
    """When the last backup, the first one ever, and the last green drill were; None: never."""

    last: datetime | None
    first: datetime | None
    green: datetime | None

    @property
    def drill_due_from(self) -> datetime | None:
        """From when a drill's week counts: the last green one, or the first backup before it."""
        return self.green or self.first


def overdue(now: datetime, times: BackupTimes) -> tuple[str, str] | None:
    """What is wrong with the times of backups and drills, and what to do; None if nothing is.

    A studio whose first backup is younger than `MAX_DRILL_AGE` need not have had a drill.
    """
    if times.last is None:
        return "No backup has been made yet.", "Make one with `anime backup`."
    age = now - times.last
    if age < -CLOCK_MARGIN:
        return "All backups are of the future: a clock ran ahead.", "Make one with `anime backup`."
    if age > MAX_BACKUP_AGE:
        return (
            f"The last backup is {in_words(age)} old.",
            "Look at the runs of the deployment `backup` in Prefect, or run `anime backup`.",
        )
    since = times.drill_due_from
    if since is not None and (untested := now - since) > MAX_DRILL_AGE:
        said = f"{in_words(untested)} old" if times.green else "missing"
        return (
            f"The last green drill is {said}: nobody knows whether the backups are good.",
            "Look at the runs of the deployment `backup-drill`, or run `anime backup drill`.",
        )
    return None


def in_words(age: timedelta) -> str:
    """An age for people.

    >>> in_words(timedelta(hours=30)), in_words(timedelta(minutes=90))
    ('30 hours', '1 hour')
    """
    hours = int(age.total_seconds() // 3600)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} hour{'s' * (hours != 1)}"


def differing_tables(expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Tables whose numbers of rows differ, a sentence each."""
    return [
        f"Table {name} has {found.get(name, 0):,} rows, the backup {expected.get(name, 0):,}."
        for name in sorted({*expected, *found})
        if expected.get(name, 0) != found.get(name, 0)
    ]


def sums_text(hashes: Mapping[str, str]) -> str:
    """The file of checksums; `sums_of` reads it."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes.items()))


def sums_of(text: str) -> dict[str, str]:
    """Hashes by name.

    Raises:
        ValueError: it is no such file.

    >>> sums_of(sums_text({"a b": "0" * 64})) == {"a b": "0" * 64}
    True
    """
    found = {}
    for line in text.splitlines():
        sha256, gap, name = line[:64], line[64:66], line[66:]
        if not re.fullmatch("[0-9a-f]{64}", sha256) or gap != "  " or not name:
            raise ValueError(f"{line!r} is no checksum")
        found[name] = sha256
    return found
