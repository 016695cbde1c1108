"""What a parser may do with a forged file, for the process that bounds it."""

import os
from pathlib import Path

from anime.errors import UnusableFile, UnusableReason


def double(text: str) -> str:
    print("a library that prints")  # noqa: T201
    return text * 2


def refuse() -> None:
    raise UnusableFile("a.png is cut.", "Make it again.", reason=UnusableReason.TRUNCATED)


def crash() -> None:
    os.abort()


def take_all_memory() -> int:
    return len(bytearray(64 * 1024**3))


def write(path: Path) -> None:
    path.write_text("mine now")
