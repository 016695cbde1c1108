"""A file of JSON lines that only grows. All of it blocks: call it in a thread."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

from anime.errors import StorageError

_LAST_BYTES = 64 * 1024  # more than a line has


class Journal:
    """To be used in `with`, by one program at a time. A line is on the disk when it is written."""

    _stream: BinaryIO  # in `with`

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        stream = self.path.open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            stream.close()
            raise StorageError(
                f"Another program is writing to {self.path}.", "Wait until it has ended."
            ) from fault
        except OSError:
            pass  # this file system has no locks; the line below is the same twice
        self._stream = stream
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def write(self, line: Mapping[str, object]) -> None:
        """Append a line, down to the disk. Half a line of a writer that died is ended first."""
        stream = self._stream
        text = json.dumps(line, ensure_ascii=False) + "\n"
        is_torn = not self._tail().endswith(b"\n") and stream.tell() > 0
        stream.write((b"\n" if is_torn else b"") + text.encode("utf-8", "backslashreplace"))
        stream.flush()
        os.fsync(stream.fileno())

    def last(self) -> dict[str, Any]:  # whatever was written
        """The last whole line; empty if there is none."""
        for line in reversed(self._tail().split(b"\n")):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
        return {}

    def _tail(self) -> bytes:
        size = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(max(0, size - _LAST_BYTES))
        return self._stream.read()
