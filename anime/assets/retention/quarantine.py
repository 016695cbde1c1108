"""Old days of quarantine: announced by one run, removed for good by a later one.

All of it blocks: call it in a thread. Doing it twice is harmless.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

from anime.assets.retention.journal import Journal
from anime.core.retention import (
    QuarantineDay,
    RemoveDay,
    RetentionReport,
    RetentionTally,
    plan_days,
)

FOLDER = "quarantine"  # below the library, with a folder for each day
_ANNOUNCED = ".announced.json"
_REMOVED = "removed.jsonl"


def tidy_quarantine(library: Path, days: int, now: datetime, report: RetentionReport) -> None:
    """Remove what an earlier run has announced, announce what else is old; `now` is local time.

    A dry run, by the report, only counts.
    """
    folder = library / FOLDER
    announced = _read_announced(folder)
    steps = plan_days(list(_days(folder)), days, now.date(), announced=announced, now=now)
    for step in steps:
        is_removed = isinstance(step, RemoveDay)
        counted = report.removed if is_removed else report.announced
        counted[step.aside.path.name] = RetentionTally(
            files=step.aside.files, size_bytes=step.aside.size_bytes
        )
    if report.is_dry_run:
        return
    for step in steps:
        if isinstance(step, RemoveDay):
            _remove(Path(step.aside.path), Journal(folder / _REMOVED), now)
    told = {name: announced.get(name, now) for name in report.announced}
    if told or announced:
        _write_announced(folder, told)


def _days(folder: Path) -> Iterator[QuarantineDay]:
    """What lies there, the oldest day first; anything not named as a day is somebody else's."""
    for path in sorted(folder.glob("[0-9]" * 8)):
        try:
            day = date.fromisoformat(path.name)
        except ValueError:
            continue
        if path.is_dir() and not path.is_symlink():
            sizes = [size for _, size in _files(path)]
            yield QuarantineDay(day, path, len(sizes), sum(sizes))


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for root, _, names in os.walk(folder):  # follows no links
        for name in names:
            path = Path(root, name)
            yield path, path.lstat().st_size


def _remove(day: Path, journal: Journal, now: datetime) -> None:
    """Remove the folder; what was in it stays written down."""
    lost = [
        {"path": str(path), "size_bytes": size, "at": now.isoformat()} for path, size in _files(day)
    ]
    with journal:
        for line in lost:
            journal.write(line)
    for root, folders, names in os.walk(day, topdown=False):
        for name in names:
            Path(root, name).unlink(missing_ok=True)
        for name in folders:
            inner = Path(root, name)
            with suppress(FileNotFoundError):  # another one was faster
                inner.unlink() if inner.is_symlink() else inner.rmdir()
    with suppress(FileNotFoundError):
        day.rmdir()


def _read_announced(folder: Path) -> dict[str, datetime]:
    """When each day was announced first; nothing where that cannot be read."""
    try:
        known = json.loads((folder / _ANNOUNCED).read_text())
        return {str(day): datetime.fromisoformat(told) for day, told in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_announced(folder: Path, announced: dict[str, datetime]) -> None:
    draft = folder / f"{_ANNOUNCED}.{os.getpid()}"
    draft.write_text(json.dumps({day: told.isoformat() for day, told in announced.items()}))
    draft.replace(folder / _ANNOUNCED)
