"""What processes tell each other of their Vault."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anime.net.vault.process_status import ProcessStatus, StatusFile, other_processes
from anime.net.vault.status import SecretStatus, VaultStatus
from anime.settings.process_lock import acquire_lock, is_held

UNTIL = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
SEALED = VaultStatus(
    url="http://vault",
    is_up=False,
    fault="Vault is sealed.",
    todo="Unseal it.",
    since=datetime(2031, 5, 6, 7, 0, tzinfo=UTC),
    until=UNTIL,
    token="a token that never ends",
    warning="",
    secrets=(SecretStatus("database/creds/anime", 1, 10.0),),
)


def another(folder: Path, pid: int) -> Path:
    """The file of another process, whether it lives or not."""
    file = StatusFile(folder)
    file.path = folder / f"vault-status-host-{pid}.json"
    file.write("worker", SEALED)
    file.release()
    return file.path


@contextmanager
def living(path: Path) -> Iterator[None]:
    """The process of that file lives."""
    lock = acquire_lock(path)
    try:
        yield
    finally:
        os.close(lock)


def test_a_process_that_lives_tells_until_when_it_goes_on(tmp_path: Path) -> None:
    path = another(tmp_path, 7)
    with living(path):
        [told] = other_processes(tmp_path)
    assert (told.process, told.status) == ("worker", SEALED)
    assert told.describe() == (
        f"worker (process {os.getpid()}): Vault is sealed. So it is since 07:00:00 UTC. "
        "What is known goes on until 2031-05-06 07:08:09 UTC; nothing new is promised."
    )
    unaware = replace(told.status, fault=None, is_up=True)  # it has not asked Vault since
    assert ProcessStatus(process="API", pid=7, status=unaware).describe() == (
        "API (process 7): What is known goes on until 2031-05-06 07:08:09 UTC; "
        "nothing new is promised."
    )


def test_the_file_of_a_process_that_has_ended_is_removed(tmp_path: Path) -> None:
    path = another(tmp_path, 7)
    assert other_processes(tmp_path) == []
    assert not path.exists()


def test_a_process_has_one_file_for_its_owner_while_it_lives(tmp_path: Path) -> None:
    file = StatusFile(tmp_path)
    for _ in range(2):
        file.write("API", SEALED)
        assert [*tmp_path.iterdir()] == [file.path]
        assert is_held(file.path)
    assert str(os.getpid()) in file.path.name
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert ProcessStatus.model_validate_json(file.path.read_bytes()).process == "API"
    assert other_processes(tmp_path) == []  # itself is no other one
    file.remove()
    file.write("API", SEALED)  # as a renewer that is still at work does
    assert [*tmp_path.iterdir()] == []


def test_without_a_folder_that_can_be_written_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> int:
        raise OSError(f"no locks at {path}")

    monkeypatch.setattr("anime.net.vault.process_status.acquire_lock", fail)
    file = StatusFile(tmp_path / "none")
    file.write("API", SEALED)
    file.remove()
    assert other_processes(tmp_path / "none") == []
