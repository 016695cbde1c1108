"""PostgreSQL's files lie in memory, where there is enough: on a disk, files take half of its CPU.

Imported by pytest and by its fork server, so that stacks that are forked have it, too. What is
started as people start it writes to the disk.
"""

import os
from pathlib import Path

import psutil

from anime.stack import postgres_cluster
from anime.stack.home import persistent_secret, private_folder
from anime.stack.parts import ServiceAccount
from anime.stack.postgres_account import ROOT_FOLDER
from tests.support.reaper import MARK, MEMORY, folder_of

ENOUGH_BYTES = 8 * 2**30
_on_disk = postgres_cluster._base_folder


def pytest_configure() -> None:
    """Make the folder of this process and what it starts; its reaper deletes it."""
    if (
        MEMORY.is_dir()
        and min(psutil.disk_usage(str(MEMORY)).free, psutil.virtual_memory().available)
        > ENOUGH_BYTES
    ):
        folder = folder_of(os.environ[MARK])
        folder.mkdir()
        folder.chmod(0o755)  # PostgreSQL's account has to get through


def _base_folder(home: Path, account: ServiceAccount | None) -> Path:
    folder = folder_of(os.environ.get(MARK, "none"))
    if not folder.is_dir():
        return _on_disk(home, account)
    name = persistent_secret(home / "instance-id")
    on_disk = ROOT_FOLDER / name if account else home / "postgres"
    if on_disk.exists():  # its stack was started as people start it
        return _on_disk(home, account)
    base = private_folder(folder / name)
    if account is not None:
        os.chown(base, 0, account.gid)
        base.chmod(0o750)
    return base


postgres_cluster._base_folder = _base_folder
