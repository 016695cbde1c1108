"""The whole stack once, with stand-ins for our own programs but everything else as it is."""

import asyncio
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from anime.errors import ConfigurationError, StackError
from anime.retry_policies import PART_RESTART
from anime.settings import PROJECT_DIR, Settings, load_settings
from anime.settings.stack_record import StackRecord, record_path
from anime.stack import prefect_setup
from anime.stack import stack as module
from anime.stack import supervisor as supervising
from anime.stack.part_readiness import basic_auth
from anime.stack.parts import Part
from anime.stack.prefect_server import prefect_server
from anime.stack.services import Services
from anime.stack.stack import running_stack
from anime.stack.supervisor import Supervisor
from tests.support.waiting import HUNG_SECONDS

ZONE = "Asia/Tokyo"
PROGRAM = """
import asyncio, sys
import uvicorn
from anime.settings import get_settings
from anime.stack.worker_start import run_worker

async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})

async def serve(*ports):
    servers = [uvicorn.Server(uvicorn.Config(answer, port=p, lifespan="off")) for p in ports]
    await asyncio.gather(*(server.serve() for server in servers))

match sys.argv[1:]:
    case ["serve"]:
        asyncio.run(serve(*get_settings().api_ports))
    case ["rehearsal", "--port", port, *_]:
        asyncio.run(serve(int(port)))
    case ["worker"]:
        run_worker(get_settings())
"""
FLOW = """
from prefect import flow

@flow
async def hello() -> str:
    return "hello"
"""
DEPLOYMENTS = """
pull:
  - prefect.deployments.steps.set_working_directory: {directory: PROJECT}
deployments:
  - name: hello
    entrypoint: flows/hello.py:hello
    work_pool: {name: anime, work_queue_name: interactive}
    schedules:
      - {cron: "0 5 * * *", timezone: "{{ $ANIME_TIMEZONE }}", active: false}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "flows").mkdir(parents=True)
    (folder / "program.py").write_text(PROGRAM)
    (folder / "flows" / "hello.py").write_text(FLOW)
    (folder / "prefect.yaml").write_text(DEPLOYMENTS.replace("PROJECT", str(folder)))
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        home=tmp_path / "home",
        api_ports=(0, 0),
        ws_port=0,
        prefect_port=0,
        rehearsal_port=0,
        timezone=ZONE,
    )


@pytest.fixture
async def discarded(settings: Settings) -> AsyncIterator[None]:
    """What root's stack leaves outside of its data folder is removed after the test."""
    yield
    from anime.stack.postgres import prepare_postgres

    (await asyncio.to_thread(prepare_postgres, settings.home)).discard()


async def zone_of_schedule(record: StackRecord) -> str:
    """In whose time the deployment's schedule is."""
    known = record.settings
    auth = basic_auth(known["prefect_api_auth_string"])
    async with httpx.AsyncClient(base_url=known["prefect_api_url"], auth=auth, timeout=30) as api:
        deployment = (await api.get("/deployments/name/hello/hello")).json()
    return str(deployment["schedules"][0]["schedule"]["timezone"])


async def run_hello(record: StackRecord) -> str:
    """The type of the state in which a run of the deployment ended."""
    known = record.settings
    auth = basic_auth(known["prefect_api_auth_string"])
    api = httpx.AsyncClient(base_url=known["prefect_api_url"], auth=auth)
    async with api, asyncio.timeout(HUNG_SECONDS):
        deployment = (await api.get("/deployments/name/hello/hello")).json()["id"]
        made = await api.post(f"/deployments/{deployment}/create_flow_run", json={})
        while True:
            state = (await api.get(f"/flow_runs/{made.json()['id']}")).json()["state"]["type"]
            if state in {"COMPLETED", "FAILED", "CRASHED"}:
                return str(state)
            await asyncio.sleep(0.2)


@pytest.mark.usefixtures("discarded")
@pytest.mark.timeout(180)
async def test_the_stack_runs_a_deployment_keeps_strangers_out_and_leaves_nothing(
    settings: Settings, project: Path
) -> None:
    program = (sys.executable, str(project / "program.py"))
    async with running_stack(settings, anime=program, project=project) as record:
        assert set(record.parts) == {
            *("postgresql", "valkey", "prefect", "rehearsal", "api", "worker")
        }
        assert stat.S_IMODE(record_path(settings.home).stat().st_mode) == 0o600
        found = load_settings(home=settings.home)  # as `anime` in another terminal
        assert found.prefect_api_url == record.settings["prefect_api_url"]
        assert found.comfyui_url == record.parts["rehearsal"].url

        async with httpx.AsyncClient() as stranger:
            flows = await stranger.post(f"{found.prefect_api_url}/flows/filter", json={})
        assert flows.status_code == httpx.codes.UNAUTHORIZED
        assert await zone_of_schedule(record) == ZONE
        assert await run_hello(record) == "COMPLETED"

        with pytest.raises(ConfigurationError, match="already runs"):
            async with running_stack(settings, anime=program, project=project):
                pass
    assert not record_path(settings.home).exists()
    assert not [name for name, part in record.parts.items() if psutil.pid_exists(part.pid)]


def test_the_set_up_waits_for_a_server_that_starts_beside_it_until_that_is_given_up(
    settings: Settings,
) -> None:
    services = Services(settings, environment={})
    server = prefect_server(settings, {}, "postgresql+asyncpg:///prefect")
    setup = services.prefect_setup(beside_server=True)
    assert float(setup.command[-1]) > server.start_limit_seconds
    assert setup.start_limit_seconds > server.start_limit_seconds


def test_what_runs_at_night_runs_in_the_studios_night() -> None:
    file = yaml.safe_load((PROJECT_DIR / "prefect.yaml").read_text())
    zones = {
        each["name"]: [schedule["timezone"] for schedule in each["schedules"]]
        for each in file["deployments"]
        if each.get("schedules")
    }
    assert zones == {
        "sweep": ["UTC"],  # every quarter of an hour is the same everywhere
        "cleanup": ["{{ $ANIME_TIMEZONE }}"],
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
