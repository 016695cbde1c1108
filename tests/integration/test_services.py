"""The parts as services: what is written for systemd, and what it is told while they run."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from anime.errors import ConfigurationError, StackError
from anime.settings import Settings, load_settings
from anime.settings.service_manager import ServiceManager, inherited_sockets
from anime.settings.services_file import read_services, services_path, write_services
from anime.stack.parts import Part, ServiceAccount, ignore_status
from anime.stack.stack import running_stack
from anime.stack.supervisor import SupervisedPart
from anime.stack.systemd import installation, own_service
from anime.stack.systemd.installation import planned_installation
from anime.stack.systemd.unit_files import Deployment, ServiceUnit, unit_texts
from tests.support.forks import fork_with_pipes
from tests.support.waiting import HUNG_SECONDS

ODD = ["plain", "a b", 'quo"te', "back\\slash", "doll$ar ${HOME}", "#no comment", "it's", "日本語"]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """What a service tells its manager arrives here."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(str(tmp_path / "notify"))
        receiving.settimeout(HUNG_SECONDS)
        yield receiving


def address_of(told: socket.socket) -> str:
    name: str = told.getsockname()
    return name


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder, whose path is short enough for sockets."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("ANIME_DATABASE_URL", "ANIME_REDIS_URL", "ANIME_COMFYUI_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    with TemporaryDirectory(prefix="anime-", dir="/tmp") as folder:
        monkeypatch.setenv("ANIME_HOME", folder)
        yield Path(folder)


@pytest.mark.parametrize("which", ["python", "home", "writable"])
def test_what_lies_in_a_home_by_a_link_is_seen_by_the_services(tmp_path: Path, which: str) -> None:
    link, links = tmp_path / "link", tmp_path / "links"
    link.symlink_to("/home/mei/.pyenv/versions/3.11/bin/python3.11")
    links.symlink_to(tmp_path)
    by_link = {"python": str(links / "link"), "home": link, "writable": (link,)}
    opt = Path("/opt/anime")
    plain = Deployment(("anime",), "/opt/anime/bin/python", opt, opt, opt, account="anime")
    deployment = replace(plain, **{which: by_link[which]})  # type: ignore[arg-type]  # by its name
    unit = ServiceUnit("anime-api", "API", ("anime", "serve"))
    assert "ProtectHome=read-only" in unit_texts([unit], deployment)[unit.file].splitlines()


def test_a_manager_is_told_once_that_all_is_ready(told: socket.socket) -> None:
    manager = ServiceManager(address_of(told))
    manager.tell_ready()
    manager.tell_ready()
    manager.tell_alive()  # nobody has asked for it
    assert told.recv(100) == b"READY=1"
    told.settimeout(0)
    with pytest.raises(BlockingIOError):
        told.recv(100)


def test_signs_of_life_come_no_more_often_than_needed(told: socket.socket) -> None:
    manager = ServiceManager(address_of(told), watchdog_seconds=3600)
    for _ in range(5):
        manager.tell_alive()
    assert told.recv(100) == b"WATCHDOG=1"
    told.settimeout(0)
    with pytest.raises(BlockingIOError):
        told.recv(100)


def test_a_manager_that_is_gone_holds_nobody_up(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "gone")).tell_ready()


def test_sockets_are_taken_over_only_if_they_are_meant_for_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        handed_over = os.dup(listening.fileno())
        monkeypatch.setenv("LISTEN_FDS", "1")
        monkeypatch.setenv("LISTEN_PID", "1")
        assert inherited_sockets(handed_over) == []
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        (taken,) = inherited_sockets(handed_over)
        with taken:
            assert taken.getsockname() == listening.getsockname()
            # asyncio sets TCP_NODELAY only on sockets that say so.
            assert taken.proto == socket.IPPROTO_TCP


def test_what_is_written_for_systemd_is_read_as_it_was(tmp_path: Path) -> None:
    variables = {f"ANIME_{number}": value for number, value in enumerate(ODD)}
    path = write_services(tmp_path, variables)
    assert read_services(tmp_path) == variables
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match="ANIME_X has a line break"):
        write_services(tmp_path, {"ANIME_X": "a\nb"})
    assert read_services(tmp_path) == variables


def test_every_command_finds_the_services_of_its_data_folder(home: Path) -> None:
    write_services(home, {"ANIME_WS_PORT": "9999", "PREFECT_API_URL": "http://p/api"})
    found = load_settings()
    assert (found.ws_port, found.prefect_api_url) == (9999, "http://p/api")


def test_a_plan_writes_nothing(home: Path) -> None:
    plan = planned_installation(load_settings(), "anime")
    assert list(home.iterdir()) == []
    assert set(plan.units) == {
        *(f"anime-{name}.service" for name in ("postgresql", "valkey", "prefect", "rehearsal")),
        *(f"anime-{name}.service" for name in ("migrations", "deployments", "api", "worker")),
        *("anime-api.socket", "anime.target"),
    }


def test_only_what_nobody_else_runs_is_a_service(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_DATABASE_URL", "postgresql://studio@db/anime")
    monkeypatch.setenv("ANIME_COMFYUI_URL", "http://127.0.0.1:8188")
    plan = planned_installation(load_settings(), "anime")
    assert "anime-postgresql.service" not in plan.units
    assert "anime-rehearsal.service" not in plan.units
    assert "anime-valkey.service" in plan.units


def test_installed_again_the_services_stay_what_they_were(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = planned_installation(load_settings(), "anime")
    write_services(home, first.variables)
    again = planned_installation(load_settings(), "anime")
    assert (again.units, again.variables) == (first.units, first.variables)
    monkeypatch.setenv("ANIME_REDIS_URL", "redis://elsewhere/1")
    moved = planned_installation(load_settings(), "anime")
    assert "anime-valkey.service" not in moved.units
    assert moved.variables["ANIME_REDIS_URL"] == "redis://elsewhere/1"


def test_another_host_may_have_a_worker_and_nothing_else(home: Path) -> None:
    plan = planned_installation(load_settings(), "anime", ["worker"])
    assert set(plan.units) == {"anime-worker.service", "anime.target"}
    with pytest.raises(ConfigurationError, match="no service wroker here"):
        planned_installation(load_settings(), "anime", ["wroker"])


def test_a_socket_must_fit_into_the_data_folder(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="too long for a socket"):
        planned_installation(load_settings(home=home / ("a" * 80)), None)


def test_a_service_needs_the_same_port_at_every_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_WS_PORT", "0")
    with pytest.raises(ConfigurationError, match="ANIME_WS_PORT is 0"):
        planned_installation(load_settings(), None)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
@pytest.mark.parametrize("account", ["root", None])
def test_systemd_understands_every_line(home: Path, tmp_path: Path, account: str | None) -> None:
    plan = planned_installation(load_settings(), account)
    write_services(home, plan.variables)
    for name, text in plan.units.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in plan.units)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")


# Times ten, as systemd-analyze has it. By systemd 252, offline, they are 8, 19 and 16; others
# count a little differently.
EXPOSURES = {"postgresql": 10, "valkey": 10, "worker": 22}
EXPOSURE_OF_OTHERS = 19


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_no_service_may_do_more_than_it_needs(home: Path, tmp_path: Path) -> None:
    plan = planned_installation(load_settings(), "anime")
    found = {}
    for name in (name for name in plan.units if name.endswith(".service")):
        (tmp_path / name).write_text(plan.units[name])
        short = name.removeprefix("anime-").removesuffix(".service")
        done = subprocess.run(
            [
                *("systemd-analyze", "security", "--offline=yes", "--no-pager"),
                f"--threshold={EXPOSURES.get(short, EXPOSURE_OF_OTHERS)}",
                str(tmp_path / name),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=HUNG_SECONDS,
        )
        found[short] = (done.returncode, done.stdout[-70:] or done.stderr)
    assert {name: told for name, told in found.items() if told[0]} == {}


def test_what_others_have_written_is_not_replaced(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned_installation(load_settings(), None)
    plan.folder.mkdir(parents=True)
    (plan.folder / "anime-api.service").write_text("[Service]\nExecStart=/usr/bin/old-api\n")
    with pytest.raises(ConfigurationError, match=r"of others .*/anime-api\.service\."):
        installation.install(plan)
    assert not services_path(home).exists()


@pytest.mark.parametrize("is_link", [False, True])
def test_a_service_of_old_is_refused_before_anything_is_written(home: Path, is_link: bool) -> None:
    """systemd would refuse the alias of that name, when all the rest is there."""
    plan = planned_installation(load_settings(), None)
    plan.folder.mkdir(parents=True)
    old = [plan.folder / f"anime-{name}.service" for name in ("websocket", "job-worker")]
    for path in old:
        if is_link:
            path.symlink_to("/opt/old/anime.service")
        else:
            path.write_text("[Service]\nExecStart=/usr/bin/old-worker\n")
    with pytest.raises(ConfigurationError) as refused:
        installation.install(plan)
    assert all(str(path) in refused.value.what for path in old)
    stop = "systemctl --user disable --now anime-websocket.service anime-job-worker.service"
    assert stop in refused.value.todo
    assert not services_path(home).exists()
    assert sorted(plan.folder.iterdir()) == sorted(old)


def test_our_own_aliases_are_no_services_of_old(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "run_systemctl", lambda *words, **_: None)
    plan = planned_installation(load_settings(), None)
    installation.install(plan)
    (plan.folder / "anime-job-worker.service").symlink_to(plan.folder / "anime-worker.service")
    (plan.folder / "anime-websocket.service").symlink_to("anime-api.service")
    installation.install(plan)
    (plan.folder / "anime-api.service").unlink()  # as with --only worker: not its own alias
    (plan.folder / "anime-websocket.service").unlink()
    (plan.folder / "anime-websocket.service").write_text("[Service]\nExecStart=/usr/bin/old\n")
    installation.install(planned_installation(load_settings(), None, ["worker"]))


def test_an_upgrade_migrates_before_it_replaces_and_leaves_the_stores_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[tuple[str, ...]] = []
    monkeypatch.setattr(installation, "run_systemctl", lambda *words, **_: orders.append(words))
    plan = planned_installation(load_settings(), None)
    installation.install(plan)
    assert not [words for words in orders if words[0] == "restart"]
    orders.clear()
    installation.install(plan)
    restarted = [words[1].removesuffix(".service") for words in orders if words[0] == "restart"]
    assert restarted == [
        *("anime-migrations", "anime-prefect", "anime-deployments"),
        *("anime-rehearsal", "anime-api", "anime-worker"),
    ]
    assert services_path(home).stat().st_mode & 0o077 == 0


async def test_a_stack_does_not_start_where_services_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they are removed: their addresses would be taken for those of others' servers."""
    monkeypatch.setattr(installation, "run_systemctl", lambda *words, **_: None)
    plan = planned_installation(load_settings(), None)
    installation.install(plan)
    with pytest.raises(ConfigurationError, match="parts are services"):
        async with running_stack(load_settings()):
            pass
    assert set(installation.uninstall(home, is_of_user=True)) == set(plan.units)
    assert list(plan.folder.iterdir()) == []
    assert load_settings().database_url is None


async def test_a_program_of_others_is_ready_alive_and_ends_when_told(
    tmp_path: Path, told: socket.socket
) -> None:
    environment = os.environ | {
        "ANIME_HOME": str(tmp_path / "home"),
        "NOTIFY_SOCKET": address_of(told),
        "WATCHDOG_USEC": "600000",
    }
    run = await fork_with_pipes(
        "anime.cli.app", ["services", "run", "valkey"], environment, errors_to_output=True
    )
    try:
        heard = [await asyncio.to_thread(told.recv, 100) for _ in range(2)]
    finally:
        os.kill(run.pid, signal.SIGTERM)
        async with asyncio.timeout(HUNG_SECONDS):
            output, _ = await run.communicate()
    assert heard == [b"READY=1", b"WATCHDOG=1"], output.decode()
    assert run.returncode == 0
    assert b"Ready to accept connections" in output  # it writes to the journal, not to a file
    assert not Settings(home=tmp_path / "home").logs.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look with the eyes of others")
def test_a_folder_that_the_account_may_not_write_to_is_told() -> None:
    nobody = pwd.getpwnam("nobody")
    account = ServiceAccount(nobody.pw_name, nobody.pw_uid, nobody.pw_gid)
    with pytest.raises(ConfigurationError, match="nobody may not write to /usr, ANIME_BACKUP_DIR"):
        installation._check_writable({"ANIME_BACKUP_DIR": "/usr"}, account)
    installation._check_writable({"ANIME_BACKUP_DIR": "/nowhere", "ANIME_ZONE": "/usr"}, account)


def test_doctor_knows_an_api_that_is_a_service(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned_installation(load_settings(), None)
    monkeypatch.setattr(installation, "SYSTEM_UNITS", tmp_path / "system")
    plan.folder.mkdir(parents=True)
    (plan.folder / "anime-api.service").write_text(plan.units["anime-api.service"])
    assert not installation.is_service("anime-api.service", home)
    write_services(home, plan.variables)
    assert installation.is_service("anime-api.service", home)
    assert not installation.is_service("anime-worker.service", home)


async def test_a_program_whose_password_is_replaced_is_ended_to_begin_with_the_new_one(
    tmp_path: Path, told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one")
    monkeypatch.setenv("NOTIFY_SOCKET", address_of(told))
    monkeypatch.setattr(own_service, "CHECK_SECONDS", 0.1)
    command = (sys.executable, "-c", "import time; time.sleep(1000)")
    part = Part("sleep", command, tmp_path / "log", {}, tmp_path, _always_ready)
    service = SupervisedPart(part, ignore_status, ())
    own = own_service.OwnService(part, given=(f"file:{secret}", "no reference"))
    running = asyncio.create_task(own_service._run(service, own))
    assert await asyncio.to_thread(told.recv, 100) == b"READY=1"
    assert service.child is not None
    secret.unlink()  # as in the moment of a replacement
    secret.write_text("two")
    async with asyncio.timeout(HUNG_SECONDS):
        with pytest.raises(StackError, match="sleep knows a password that has been replaced"):
            await running
    assert service.child.returncode == -signal.SIGTERM


async def _always_ready(_: float) -> bool:
    return True
