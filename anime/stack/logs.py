"""The log files of the parts."""

import os
from collections import deque
from pathlib import Path
from typing import BinaryIO

FULL_BYTES = 10_000_000
TAIL_LINES = 15


def open_log(path: Path) -> BinaryIO:
    """The log, open for appending; a full one is put aside as `NAME.log.1` first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.stat().st_size > FULL_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", 0)


def log_tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of the log; empty when there is none."""
    try:
        with path.open(errors="replace") as stream:
            return "".join(deque(stream, maxlen=lines)).rstrip()
    except FileNotFoundError:
        return ""
