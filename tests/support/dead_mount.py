"""A network mount whose server is gone: each look at it waits, and cannot be stopped."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from anime.assets.folder_reader import FolderReader

T = TypeVar("T")
_GIVEN_UP_SECONDS = 0.5
_ANSWER_SECONDS = 3.0  # within which a disk that is well answers, on a busy machine, too


def let_die(mount: Path, monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> threading.Event:
    """Let each look at what is there wait until the event is set, or fail after so many seconds."""
    is_back = threading.Event()

    def hanging(look: Callable[..., T]) -> Callable[..., T]:
        def hang(path: Any = ".", *more: Any, **options: Any) -> T:  # as `os` takes it
            if str(path).startswith(str(mount)):
                assert is_back.wait(seconds), "it was on the event loop, or nobody went on"
            return look(path, *more, **options)

        return hang

    for name in ("stat", "statvfs", "access", "listdir", "scandir"):
        monkeypatch.setattr(os, name, hanging(getattr(os, name)))
    return is_back


def give_up_soon(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let waits for a library's disk end soon: for functions of these names, else for all."""
    run = FolderReader.run

    async def run_soon(disk: FolderReader, call: Callable[[], T], *, seconds: float) -> T:
        name = getattr(call, "func", call).__name__
        if not names:
            seconds = _ANSWER_SECONDS
        elif name in names:
            seconds = _GIVEN_UP_SECONDS
        return await run(disk, call, seconds=seconds)

    monkeypatch.setattr(FolderReader, "run", run_soon)
