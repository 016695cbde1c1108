"""What drills have found: a line of each, beside the backups. All of it blocks."""

import json
import os
from datetime import UTC, datetime

from anime.assets.backup.folder import BackupFolder
from anime.assets.journal import Journal
from anime.core.backups import CLOCK_MARGIN, DRILLS, BackupTimes, DrillReport, moment_of

_TAIL_BYTES = 256 * 1024  # years of drills


def write_down(folder: BackupFolder, report: DrillReport) -> None:
    """Append what a drill has found.

    Raises:
        OSError: the folder cannot take it.
    """
    with Journal(folder.root / DRILLS) as results:
        results.write(report.model_dump(mode="json"))


def drills_of(folder: BackupFolder) -> list[DrillReport]:
    """The results of the last drills, the newest first."""
    try:
        with (folder.root / DRILLS).open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            lines = stream.read().split(b"\n")
    except OSError:  # no drill yet, or no folder
        return []
    found = []
    for line in reversed(lines):
        try:
            found.append(DrillReport.model_validate(json.loads(line)))
        except ValueError:  # half a line
            continue
    return found


def times_of(folder: BackupFolder) -> BackupTimes:
    """When backups and drills were; what cannot be read counts as never."""
    names, first, green = folder.names(), folder.first(), last_green(folder)
    return BackupTimes(
        last=moment_of(names[-1]) if names else None,
        first=moment_of(first) if first else None,
        green=green.at if green else None,
    )


def last_green(folder: BackupFolder) -> DrillReport | None:
    """The last drill that found nothing wrong; None if there was none.

    One of the future is of a clock that ran ahead: it says nothing of today's backups.
    """
    latest = datetime.now(UTC) + CLOCK_MARGIN
    return next((each for each in drills_of(folder) if each.is_green and each.at <= latest), None)
