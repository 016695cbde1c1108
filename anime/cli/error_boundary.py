"""The error boundary of the command line.

Exit codes: 0 done, 1 an expected failure, 2 wrong usage, 3 a bug, 130 stopped with Ctrl-C.
"""

import errno
import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import typer

from anime.cli.terminal import print_error, print_note
from anime.errors import AnimeError, ConfigurationError

EXPECTED, BUG = 1, 3
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


def run_command(app: typer.Typer) -> NoReturn:
    """Run the command line; never returns, and never shows a traceback."""
    try:
        app(prog_name="anime")
    except AnimeError as error:
        print_error(error)
        sys.exit(EXPECTED)
    except Exception as bug:  # noqa: BLE001  the one place where bugs are caught
        if isinstance(bug, OSError) and bug.errno in DISK_IS_FULL:
            print_note(f"What was to be written could not be: {bug.strerror}.")
            print_note("→ Free some space, or write elsewhere.")
            _flush_or_drop_output()
            sys.exit(EXPECTED)
        log = write_bug_report(bug)
        print_note(f"This is a bug in anime: {type(bug).__name__}: {bug}")
        print_note(f"→ Please report it, with the file {log}")
        sys.exit(BUG)
    sys.exit(0)


def _flush_or_drop_output() -> None:
    """Keep Python from trying again at its end what it cannot write: that ends with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_bug_report(bug: BaseException) -> Path:
    """A new file with versions and traceback, which only its owner may read."""
    from importlib.metadata import version

    name = f"bug-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]]  # the rest may be a prompt
    text = "\n".join(
        [
            f"anime-production {version('anime-production')}, Python {sys.version}",
            f"{sys.platform}, command: {' '.join(words)}",
            "",
            *traceback.format_exception(bug),
        ]
    )
    for folder in _log_folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:  # the bug may be that the data folder is full or read-only
            continue
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        return path
    return Path(os.devnull)


def _log_folders() -> list[Path]:
    from anime.settings import load_settings

    last_resort = [Path(tempfile.gettempdir())]
    try:
        return [load_settings().logs, *last_resort]
    except ConfigurationError:
        return last_resort
