"""The log files of the parts."""

import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

MAX_LOG_BYTES = 10_000_000  # of a log; one rotated log of this size is kept beside it
CHUNK_BYTES = 65_536
TAIL_LINES = 15


class LogPipe:
    """Copies a program's output to its log, and rotates the log when it is full.

    A program that had the file itself would go on writing to the rotated one. A thread reads, so
    that a busy event loop does not hold up a program with much output.
    """

    def __init__(self, path: Path) -> None:
        """`write_end` is for the program; call `close` once the program has it."""
        log = _open_log(path)
        read_end, self.write_end = os.pipe()
        self._thread = threading.Thread(
            target=_copy_to_log, args=(read_end, log, path), name=f"log of {path.stem}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Close our end of the pipe; the log is complete when the last writer has ended."""
        os.close(self.write_end)

    def wait(self, timeout_seconds: float) -> None:
        """Wait until all is written, at most so long: another process may still have the pipe."""
        self._thread.join(timeout_seconds)


def _copy_to_log(read_end: int, log: BinaryIO, path: Path) -> None:
    with os.fdopen(read_end, "rb", 0) as output:
        while chunk := output.read(CHUNK_BYTES):
            with suppress(OSError):  # a full disk must not stop the program
                lines, newline, rest = chunk.rpartition(b"\n")
                log.write(lines + newline)
                size = log.tell()
                # Rotate between two lines, if there are any.
                if size > 2 * MAX_LOG_BYTES or (size > MAX_LOG_BYTES and newline):
                    fresh = _open_log(path)
                    log.close()
                    log = fresh
                log.write(rest)
    log.close()


def _open_log(path: Path) -> BinaryIO:
    """The log, open for appending; a full one is renamed to `NAME.log.1` first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", 0)


def log_tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of the log; empty when there is none."""
    try:
        with path.open(errors="replace") as stream:
            return "".join(deque(stream, maxlen=lines)).rstrip()
    except FileNotFoundError:
        return ""
