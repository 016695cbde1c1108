"""`anime services`: what it asks of systemd, and how it exits."""

import asyncio
import os
from pathlib import Path

import pytest

from anime.stack.systemd.unit_files import MARK
from tests.integration.prefect_peer import AUTH, running_prefect_peer
from tests.support.forks import fork_with_pipes
from tests.support.waiting import HUNG_SECONDS


class Systemd:
    """Programs that stand in for systemd's: each prints how it was called, and exits as told."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.units = folder / "config" / "systemd" / "user"
        self.home = folder / "home"
        for each in (self.programs, self.units, self.home):
            each.mkdir(parents=True)
        self.exits_with("systemctl", 0)
        self.exits_with("journalctl", 0)

    def exits_with(self, program: str, code: int) -> None:
        path = self.programs / program
        path.write_text(f'#!/bin/sh\necho "{program} $*"\nexit {code}\n')
        path.chmod(0o755)

    def has(self, *units: str) -> None:
        for name in units:
            (self.units / name).write_text(f"{MARK}\n")

    async def call(self, *words: str, **changes: str) -> tuple[int, str, str]:
        """The exit code of `anime services`, and what was printed to both."""
        environment = os.environ | {
            "PATH": str(self.programs),
            "ANIME_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.units.parents[1]),
        }
        run = await fork_with_pipes("anime.cli.app", ["services", *words], environment | changes)
        out, err = await asyncio.wait_for(run.communicate(), HUNG_SECONDS)
        assert run.returncode is not None
        return run.returncode, out.decode(), err.decode()


@pytest.fixture
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Systemd:
    """In a folder whose name is short: sockets lie below it."""
    return Systemd(tmp_path_factory.mktemp("s"))


async def test_status_is_of_all_units_and_is_no_bug_if_one_is_ill(systemd: Systemd) -> None:
    nothing = await systemd.call("status", "--user")
    assert nothing[0] == 1
    assert "anime services install" in nothing[2]
    systemd.has("anime-worker.service", "anime-api.socket", "anime.target")
    (systemd.units / "anime-job-worker.service").write_text("[Service]\n")  # not ours
    code, out, _ = await systemd.call("status", "--user")
    shown = "--user --no-pager --lines=0 status anime-api.socket anime-worker.service anime.target"
    assert (code, out) == (0, f"systemctl {shown}\n")
    systemd.exits_with("systemctl", 3)
    assert (await systemd.call("status", "--user"))[:2] == (1, out)


async def test_logs_are_those_of_the_journal(systemd: Systemd) -> None:
    everything = await systemd.call("logs")
    assert everything[:2] == (0, "journalctl --unit=anime-* --lines=100 --no-pager\n")
    of_old = await systemd.call("logs", "anime-job-monitor", "-f", "-n", "5", "--user")
    assert of_old[:2] == (0, "journalctl --user --unit=anime-worker --lines=5 --follow\n")


async def test_without_systemd_that_is_said(systemd: Systemd) -> None:
    systemd.has("anime-worker.service")
    for program in systemd.programs.iterdir():
        program.unlink()
    for words in (["status", "--user"], ["logs", "worker"]):
        code, _, err = await systemd.call(*words)
        assert (code, "no systemd" in err) == (1, True), err


async def test_what_would_be_installed_is_shown_without_its_settings(systemd: Systemd) -> None:
    code, out, err = await systemd.call(
        "install", "--user", "--dry-run", ANIME_API_TOKEN="a long token that nobody sees"
    )
    assert (code, "systemctl" in out) == (0, False), err
    assert f"# {systemd.units}/anime-worker.service\n{MARK}\n[Unit]\n" in out
    assert "ANIME_API_TOKEN=…" in out
    assert "nobody sees" not in out + err
    assert [*systemd.units.iterdir(), *systemd.home.glob("services*")] == []


async def test_what_answers_is_healthy_and_what_does_not_is_not(systemd: Systemd) -> None:
    async with running_prefect_peer() as peer:
        there = {"PREFECT_API_URL": peer.url, "PREFECT_API_AUTH_STRING": AUTH}
        assert (await systemd.call("check", "prefect", **there))[0] == 0
    assert (await systemd.call("check", "prefect", **there))[0] == 1
    code, _, err = await systemd.call("check", "api", ANIME_API_PORTS="9")
    assert (code, err) == (1, "api does not answer.\n")
    code, _, err = await systemd.call("check", "valkey")
    assert (code, "api, worker or prefect" in err) == (1, True)
