"""Disks of a few megabytes, and users without rights: where this machine lets us have them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own in that folder; the test is skipped where none may be mounted."""
    folder.mkdir(exist_ok=True)
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    mounted = mount("-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder))
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


def mount(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Call mount; its status says whether it may."""
    return subprocess.run(["mount", *arguments], check=False, capture_output=True, timeout=30)


@contextmanager
def another_disk(name: str) -> Iterator[Path]:
    """A folder on another file system than the temporary folder; skipped where there is none."""
    if not os.access(SHARED_MEMORY, os.W_OK):
        pytest.skip("there is no second file system to write to")
    folder = SHARED_MEMORY / f"anime-{os.getpid()}-{name}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def only_root() -> pytest.MarkDecorator:
    """Skips the test for a user who cannot become another one."""
    return pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
