"""The units of the services: what systemd is told of each."""

from pathlib import Path

import pytest

from anime.settings.service_manager import ServiceManager
from anime.stack.systemd.unit_files import (
    MARK,
    STOP_MARGIN_SECONDS,
    Deployment,
    ServiceUnit,
    unit_texts,
)
from anime.worker.watchdog import PollWatchdog

OF_USER = Deployment(
    anime=("/opt/anime/bin/anime",),
    python="/opt/anime/bin/python",
    project=Path("/opt/anime"),
    home=Path("/var/lib/anime"),
    environment_file=Path("/var/lib/anime/services.env"),
)
OF_SYSTEM = Deployment(
    anime=("/opt/anime/bin/anime",),
    python="/opt/anime/bin/python",
    project=Path("/opt/anime"),
    home=Path("/var/lib/anime"),
    environment_file=Path("/var/lib/anime/services.env"),
    account="anime",
    writable=(Path("/mnt/the library"),),
)


def lines_of(unit: ServiceUnit, deployment: Deployment = OF_SYSTEM) -> list[str]:
    return unit_texts([unit], deployment)[unit.file].splitlines()


def api(**more: object) -> ServiceUnit:
    return ServiceUnit("anime-api", "API", ("/opt/anime/bin/anime", "serve"), **more)  # type: ignore[arg-type]


def test_every_file_can_be_told_as_ours() -> None:
    texts = unit_texts([api(sockets=("127.0.0.1:8330",))], OF_SYSTEM)
    assert set(texts) == {"anime-api.service", "anime-api.socket", "anime.target"}
    assert all(text.startswith(MARK) for text in texts.values())


def test_a_service_has_its_own_time_to_end_and_a_watchdog() -> None:
    lines = lines_of(api(stop_seconds=30))
    assert f"TimeoutStopSec={30 + STOP_MARGIN_SECONDS:g}" in lines
    assert {"Type=notify", "NotifyAccess=main", "WatchdogSec=60", "Restart=always"} <= set(lines)


def test_what_runs_once_is_not_begun_again_and_has_not_failed_when_it_has_ended() -> None:
    lines = lines_of(api(kind="oneshot"))
    assert "RemainAfterExit=yes" in lines
    assert "RemainAfterExit=yes" not in lines_of(api())
    assert not [line for line in lines if line.startswith(("Restart", "Watchdog", "TimeoutStop"))]


def test_the_services_of_old_are_other_names_of_ours() -> None:
    assert "Alias=anime-websocket.service" in lines_of(api())
    worker = ServiceUnit("anime-worker", "Worker", ("/opt/anime/bin/anime", "worker"))
    old = {"anime-file-organizer", "anime-job-monitor", "anime-job-worker"}
    assert {f"Alias={name}.service" for name in old} <= set(lines_of(worker))


def test_a_store_has_no_network() -> None:
    lines = lines_of(api(has_network=False))
    assert {"PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"} <= set(lines)


def test_only_the_data_are_writable() -> None:
    lines = lines_of(api())
    assert "ProtectSystem=strict" in lines
    assert "ReadWritePaths=-/var/lib/anime -'/mnt/the library'" in lines


@pytest.mark.parametrize(
    ("home", "expected"), [("/var/lib/anime", "yes"), ("/home/mei/anime", "read-only")]
)
def test_homes_are_closed_unless_something_of_ours_lies_there(home: str, expected: str) -> None:
    deployment = Deployment(
        anime=("/opt/anime/bin/anime",),
        python="/opt/anime/bin/python",
        project=Path("/opt/anime"),
        home=Path(home),
        environment_file=Path(home, "services.env"),
        account="anime",
    )
    assert f"ProtectHome={expected}" in lines_of(api(), deployment)


def test_a_users_services_ask_for_nothing_that_needs_rights() -> None:
    lines = lines_of(api(), OF_USER)
    assert "NoNewPrivileges=yes" in lines
    forbidden = ("User=", "ProtectSystem", "Private", "ReadWritePaths", "CapabilityBounding")
    assert not [line for line in lines if line.startswith(forbidden)]


class RecordingManager(ServiceManager):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def tell_ready(self) -> None:
        self.told.append("ready")

    def tell_alive(self) -> None:
        self.told.append("alive")


class TestPollWatchdog:
    async def _signs_while(
        self, monkeypatch: pytest.MonkeyPatch, *, poll_seconds: float
    ) -> list[str]:
        """What is told in one step of the loop, so long after a poll has begun."""
        now = 100.0
        monkeypatch.setattr("anime.worker.watchdog.time.monotonic", lambda: now)
        manager = RecordingManager()
        watchdog = PollWatchdog(manager)
        with watchdog.polling():
            now += poll_seconds

            async def stop(seconds: float) -> None:
                raise InterruptedError

            monkeypatch.setattr("anime.worker.watchdog.asyncio.sleep", stop)
            with pytest.raises(InterruptedError):
                await watchdog.run()
            return list(manager.told)

    async def test_a_slow_poll_is_alive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert await self._signs_while(monkeypatch, poll_seconds=400) == ["alive"]

    async def test_a_poll_that_hangs_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert await self._signs_while(monkeypatch, poll_seconds=601) == []

    async def test_the_worker_is_ready_once_it_has_polled(self) -> None:
        manager = RecordingManager()
        with PollWatchdog(manager).polling():
            assert manager.told == []
        assert manager.told == ["ready"]
