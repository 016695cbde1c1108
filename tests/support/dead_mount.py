"""A network mount whose server is gone: each look at it waits, and cannot be stopped."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest


def let_die(mount: Path, monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> threading.Event:
    """Let each look at what is there wait until the event is set, or fail after so many seconds."""
    is_back, look = threading.Event(), os.stat

    def hang(path: Any, *more: Any, **options: Any) -> Any:  # as `os` takes and gives it
        if str(path).startswith(str(mount)):
            assert is_back.wait(seconds), "it was on the event loop, or nobody went on"
        return look(path, *more, **options)

    monkeypatch.setattr(os, "stat", hang)
    return is_back
