"""How the stack is put together; `tests/stack` has it run."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tzlocal import reload_localzone

from anime.errors import ConfigurationError, StackError
from anime.retry_policies import PART_RESTART
from anime.settings import PROJECT_DIR, Settings, load_settings
from anime.stack import prefect_setup
from anime.stack import stack as module
from anime.stack import supervisor as supervising
from anime.stack.parts import Part
from anime.stack.prefect_command import PROGRAM
from anime.stack.prefect_server import prefect_server
from anime.stack.services import Services
from anime.stack.stack import running_stack
from anime.stack.supervisor import Supervisor
from tests.support.forks import fork_with_pipes
from tests.support.waiting import HUNG_SECONDS

DEPLOYMENTS = """
deployments:
  - name: hello
    entrypoint: flows/hello.py:hello
    schedules:
      - {cron: "0 5 * * *", timezone: "{{ $ANIME_TIMEZONE }}", active: false}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "flows").mkdir(parents=True)
    (folder / "flows" / "hello.py").write_text("")
    (folder / "prefect.yaml").write_text(DEPLOYMENTS)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        home=tmp_path / "home",
        api_ports=(0, 0),
        ws_port=0,
        prefect_port=0,
        rehearsal_port=0,
    )


def test_the_set_up_waits_for_a_server_that_starts_beside_it_until_that_is_given_up(
    settings: Settings,
) -> None:
    services = Services(settings, environment={})
    server = prefect_server(settings, {}, "postgresql+asyncpg:///prefect")
    setup = services.prefect_setup(beside_server=True)
    assert float(setup.command[-1]) > server.start_limit_seconds
    assert setup.start_limit_seconds > server.start_limit_seconds


def test_prefects_programs_look_for_garbage_as_seldom_as_ours(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "told.py").write_text("import gc, sys; print(gc.get_threshold(), sys.argv[1:])")
    server = prefect_server(settings, {}, "postgresql+asyncpg:///prefect")
    assert server.command[:5] == (sys.executable, *PROGRAM, "prefect")
    done = subprocess.run(
        [sys.executable, *PROGRAM, "told", "server", "start"],
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("(20000, 20, 50) ['server', 'start']\n", "")


def test_what_runs_at_night_runs_in_the_studios_night() -> None:
    file = yaml.safe_load((PROJECT_DIR / "prefect.yaml").read_text())
    zones = {
        each["name"]: [schedule["timezone"] for schedule in each["schedules"]]
        for each in file["deployments"]
        if each.get("schedules")
    }
    assert zones == {
        # These are often enough to be the same everywhere.
        "sweep": ["UTC"],
        "monitor": ["UTC"],
        "cleanup": ["{{ $ANIME_TIMEZONE }}"],
        "backup": ["{{ $ANIME_TIMEZONE }}"],
        "backup-drill": ["{{ $ANIME_TIMEZONE }}"],
        "retention": ["{{ $ANIME_TIMEZONE }}"],
    }


@pytest.mark.parametrize("name", ["Asia/Tokyo", None])
def test_another_zone_makes_the_deployments_anew(
    settings: Settings, project: Path, name: str | None
) -> None:
    before = prefect_setup._digest(
        settings.model_copy(update={"timezone": "Europe/Paris"}), project
    )
    assert prefect_setup._digest(settings.model_copy(update={"timezone": name}), project) != before


async def test_a_machine_without_a_time_zone_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "JST-9")
    monkeypatch.setattr("anime.settings.get_localzone", reload_localzone)
    with pytest.raises(ConfigurationError, match="ANIME_TIMEZONE"):
        async with running_stack(load_settings(home=tmp_path / "home")):
            pass
    assert not (tmp_path / "home").exists()


async def test_deployments_that_prefect_refuses_are_an_error_that_says_where(
    project: Path, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path\n"
        "from anime.errors import PrefectUnavailable\n"
        "from anime.settings import load_settings\n"
        "from anime.stack.prefect_setup import _deploy\n"
        f"try: _deploy(load_settings(), Path({str(project)!r}))\n"
        "except PrefectUnavailable as error: print(error.what)\n"
    )
    environment = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    program = await fork_with_pipes("tests.support.forked_code", [code], environment)
    out, err = await program.communicate()
    assert out.decode().splitlines()[-1] == (
        f"The deployments of {project / 'prefect.yaml'} were refused."
    ), err.decode()


async def keep_waiting_beside(part: Part, supervisor: Supervisor) -> None:
    async with asyncio.timeout(HUNG_SECONDS), module._cancelled_with(supervisor):
        await supervisor.start(part)
        await asyncio.Event().wait()


async def test_a_part_that_is_given_up_ends_the_block_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = replace(PART_RESTART, first_seconds=0.01)
    monkeypatch.setattr(supervising, "PART_RESTART", soon)
    supervisor = Supervisor()
    brief = Part("brief", ("/bin/false",), tmp_path / "brief.log", {}, tmp_path)
    with pytest.raises(StackError, match="brief died again and again"):
        await keep_waiting_beside(brief, supervisor)
    await supervisor.stop()
