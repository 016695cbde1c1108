"""The data folder, its lock, and the ports."""

import asyncio
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from anime.errors import ConfigurationError, StackError
from anime.net.sockets import listening_socket, reserve_port
from anime.settings import Settings
from anime.stack import home as module
from anime.stack import ports as port_module
from anime.stack.home import locked_home, persistent_secret, prepare_home, socket_folder
from anime.stack.ports import with_free_ports


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "anime"
    prepare_home(folder)
    return folder


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens at; nobody does at the one before it."""
    with ExitStack() as tried:  # those whose neighbour is taken stay so, and are not given again
        while True:
            listener = tried.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port: int = listener.getsockname()[1]
            with suppress(OSError), socket.socket() as before:
                before.bind(("127.0.0.1", port - 1))
                break
        yield port


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_data_folder_is_private(home: Path) -> None:
    assert mode(home) == 0o700


def test_a_data_folder_that_is_ours_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    tmp_path.chmod(0o755)
    prepare_home(tmp_path)
    assert mode(tmp_path) == 0o700


def test_a_folder_with_other_things_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigurationError, match="holds other things"):
        prepare_home(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="ANIME_HOME"):
        prepare_home(tmp_path / "file" / "anime")


def test_a_secret_is_made_once_and_private(home: Path) -> None:
    path = home / "auth"
    assert persistent_secret(path) == persistent_secret(path)
    assert mode(path) == 0o600


async def test_a_second_stack_is_told_the_pid_of_the_first(home: Path) -> None:
    async with locked_home(home):
        with pytest.raises(ConfigurationError, match=rf"already runs .*process {os.getpid()}\)"):
            async with locked_home(home):
                pass


async def test_a_new_stack_waits_for_the_parts_of_a_dead_one(home: Path) -> None:
    (home / "run").mkdir()
    leftover = os.open(home / "run" / "lock", os.O_RDWR | os.O_CREAT)  # inherited by a part
    fcntl.flock(leftover, fcntl.LOCK_EX)
    asyncio.get_running_loop().call_later(0.3, os.close, leftover)
    async with locked_home(home) as descriptor:
        assert os.pread(descriptor, 100, 0).decode().startswith(str(os.getpid()))


async def test_parts_of_a_dead_stack_that_stay_are_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_SECONDS", 0.2)
    (home / "run").mkdir()
    leftover = os.open(home / "run" / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(leftover, fcntl.LOCK_EX)
        with pytest.raises(StackError, match="earlier stack"):
            async with locked_home(home):
                pass
    finally:
        os.close(leftover)


def test_a_path_too_long_for_a_socket_is_replaced_by_a_private_one(tmp_path: Path) -> None:
    folder = socket_folder(tmp_path / ("x" * 100), "valkey.sock")
    try:
        assert len(str(folder / "valkey.sock")) < 40
        assert mode(folder) == 0o700
    finally:
        folder.rmdir()


def test_port_0_becomes_a_free_one_and_all_differ() -> None:
    given = Settings(api_ports=(0, 0), ws_port=0, prefect_port=0, rehearsal_port=0)
    found = with_free_ports(given)
    ports = {*found.api_ports, found.ws_port, found.prefect_port, found.rehearsal_port}
    assert len(ports) == 5
    assert 0 not in ports
    assert max(ports) < 32_768  # no outgoing connection is given one before the part starts


def test_a_port_that_was_picked_is_for_its_part_alone_until_the_stack_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(port_module, "sample", lambda among, count: list(among)[:count])
    given = Settings(api_ports=(0,), ws_port=0, prefect_port=0, rehearsal_port=0)
    with ExitStack() as reserved, ExitStack() as reserved_by_another:
        found = with_free_ports(given, reserved)
        theirs = with_free_ports(given, reserved_by_another)
        ours = {*found.api_ports, found.ws_port, found.prefect_port, found.rehearsal_port}
        assert ours.isdisjoint(
            {*theirs.api_ports, theirs.ws_port, theirs.prefect_port, theirs.rehearsal_port}
        )
        for port in ours:
            listening_socket("127.0.0.1", port, variable="ANIME_API_PORTS").close()
    for port in ours:
        reserve_port("127.0.0.1", port).close()


def test_each_rehearsal_server_has_a_port_of_its_own_and_none_if_there_is_a_comfyui() -> None:
    given = Settings(
        api_ports=(0,), ws_port=0, prefect_port=0, rehearsal_port=0, rehearsal_servers=3
    )
    found = with_free_ports(given)
    assert len(set(found.comfyui_urls)) == 3
    assert found.comfyui_urls[0] == f"http://127.0.0.1:{found.rehearsal_port}"
    theirs = with_free_ports(given.model_copy(update={"comfyui_url": "http://gpu.local:8188"}))
    assert theirs.comfyui_urls == ("http://gpu.local:8188",)


def test_further_rehearsal_servers_have_the_ports_after_the_first(taken_port: int) -> None:
    given = Settings(
        api_ports=(0,),
        ws_port=0,
        prefect_port=0,
        rehearsal_port=taken_port - 1,
        rehearsal_servers=2,
    )
    with pytest.raises(ConfigurationError, match=rf"{taken_port}.*ANIME_REHEARSAL_PORT.*is taken"):
        with_free_ports(given)


def test_a_taken_port_is_named_with_its_variable(taken_port: int) -> None:
    given = Settings(api_ports=(0,), ws_port=0, prefect_port=taken_port, rehearsal_port=0)
    with pytest.raises(ConfigurationError, match=rf"{taken_port}.*ANIME_PREFECT_PORT.*is taken"):
        with_free_ports(given)


def test_where_comfyui_may_run_the_way_to_use_it_is_told(taken_port: int) -> None:
    given = Settings(api_ports=(0,), ws_port=0, prefect_port=0, rehearsal_port=taken_port)
    with pytest.raises(
        ConfigurationError, match=f"ANIME_COMFYUI_URL=http://127.0.0.1:{taken_port}"
    ):
        with_free_ports(given)


def test_ports_of_what_is_not_started_are_not_looked_at(taken_port: int) -> None:
    given = Settings(
        api_ports=(0,),
        ws_port=0,
        prefect_port=taken_port,
        rehearsal_port=taken_port,
        prefect_api_url="http://prefect.local/api",
        comfyui_url="http://gpu.local:8188",
    )
    assert with_free_ports(given).prefect_port == taken_port
