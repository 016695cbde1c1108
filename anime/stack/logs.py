"""The log files of the parts."""

import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FULL_BYTES = 10_000_000  # of a log; as much is kept beside it, and what is older goes
CHUNK_BYTES = 65_536
TAIL_LINES = 15


class LogPipe:
    """Takes what a program says and writes it to its log, which is put aside when it is full.

    A program that had the file itself would go on writing to the one put aside. A thread reads, so
    that nobody who says much is held up by a busy event loop.
    """

    def __init__(self, path: Path) -> None:
        """`write_end` is for the program; `close` it here when the program has it."""
        log = _open_log(path)
        read_end, self.write_end = os.pipe()
        self._thread = threading.Thread(
            target=_write_down, args=(read_end, log, path), name=f"log of {path.stem}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Leave the pipe to the program: what it has said is written when the last one ends."""
        os.close(self.write_end)

    def wait(self, timeout_seconds: float) -> None:
        """Wait until all is written, unless a process that was left behind has the pipe, too."""
        self._thread.join(timeout_seconds)


def _write_down(read_end: int, log: BinaryIO, path: Path) -> None:
    with os.fdopen(read_end, "rb", 0) as said:
        while chunk := said.read(CHUNK_BYTES):
            with suppress(OSError):  # a full disk: the program is not to stop for it
                log.write(chunk)
                size = log.tell()
                # Between two lines, if any ends.
                if size > 2 * FULL_BYTES or (size > FULL_BYTES and chunk.endswith(b"\n")):
                    fresh = _open_log(path)
                    log.close()
                    log = fresh
    log.close()


def _open_log(path: Path) -> BinaryIO:
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
