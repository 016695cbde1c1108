"""What a person does with a running stack, by every entrance."""

import asyncio
import json
import re
import signal
import stat
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from pydantic import SecretStr

from anime.net.running_api import RunningApi
from anime.settings import load_settings
from anime.settings.stack_record import record_path
from anime.stack.systemd.installation import planned_installation
from anime.stack.systemd.unit_files import STOP_MARGIN_SECONDS
from tests.stack.conftest import StackUnderTest
from tests.support.waiting import HUNG_SECONDS

PREFECT = (sys.executable, "-m", "prefect")


async def test_generate_prints_the_file(stack: StackUnderTest) -> None:
    done = await stack.anime(
        *("generate", "a girl on a rooftop at dusk", "--seed", "7"), is_forked=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes().startswith(b"\x89PNG")


async def test_a_batch_is_rendered_once_and_its_sheet_can_be_seen(
    stack: StackUnderTest, tmp_path: Path
) -> None:
    file = tmp_path / "rooftops.yaml"
    file.write_text("prompts: [dusk, dawn]\nseeds: [1, 2]\ncommon: {width: 128, height: 128}\n")
    first = await stack.anime("batch", str(file))
    assert first.returncode == 0, first.stderr
    paths = first.stdout.split()
    assert len({Path(path).read_bytes() for path in paths}) == 4
    again = await stack.anime("batch", str(file))
    assert (again.returncode, again.stdout.split()) == (0, paths), again.stderr
    sheets: list[str] = []
    asked = {"artifacts": {"type": {"any_": ["image"]}}, "limit": 200}
    async with stack.prefect() as prefect, asyncio.timeout(HUNG_SECONDS):
        while len(sheets) < 2:  # the run draws its sheet after its last generation
            shown = (await prefect.post("/artifacts/filter", json=asked)).json()
            sheets = [each["data"] for each in shown if "/sheets/batch-rooftops" in each["data"]]
    async with httpx.AsyncClient() as http:
        seen = [await http.get(url) for url in sheets]
    assert [answer.headers["content-type"] for answer in seen] == ["image/png"] * 2


STEPS = ["check VRAM", "organise", "poll completion", "record", "submit"]


async def test_each_generation_of_a_batch_shows_its_five_steps_in_prefect(
    stack: StackUnderTest, tmp_path: Path
) -> None:
    file = tmp_path / "shown.yaml"
    names = {"1 · a {curly} girl", "2 · a plain boy"}
    prompts = [name.partition(" · ")[2] for name in sorted(names)]
    file.write_text(json.dumps({"prompts": prompts, "common": {"width": 64, "height": 64}}))
    assert (await stack.anime("batch", str(file))).returncode == 0
    async with stack.prefect() as prefect, asyncio.timeout(HUNG_SECONDS):
        asked: dict[str, Any] = {"flow_runs": {"name": {"any_": ["shown"]}}}
        run: dict[str, Any] = {"state_name": None}
        while run["state_name"] != "Completed":  # it draws its sheet after its last generation
            [run] = (await prefect.post("/flow_runs/filter", json=asked)).json()
        assert run["run_count"] == 1
        steps: dict[str, dict[str, Any]] = {}
        while len(steps) < len(names) * len(STEPS):  # Prefect writes task runs a moment later
            asked = {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}}
            found = (await prefect.post("/task_runs/filter", json=asked)).json()
            ended = {each["name"]: each for each in found if each["state_name"] == "Completed"}
            steps = {
                name: each for name, each in ended.items() if name.rpartition(" · ")[2] in STEPS
            }
        assert names <= ended.keys()
        assert steps.keys() == {f"{name} · {step}" for name in names for step in STEPS}
        assert all(each["start_time"] and each["total_run_time"] > 0 for each in steps.values())


async def test_the_old_clients_request_works_verbatim_on_both_ports(stack: StackUnderTest) -> None:
    for url in _api_urls(stack):
        asked = await stack.run(
            *("curl", "-sS", "-X", "POST", f"{url}/api/anime/generate"),
            *("-H", "Content-Type: application/json"),
            *("-d", '{"prompt": "anime character", "type": "image"}'),
        )
        answer = json.loads(asked.stdout)
        assert answer["status"] == "queued"
        job = await stack.job(answer["job_id"])
        async with httpx.AsyncClient(base_url=url) as http:
            status = await http.get(f"/api/anime/generation/{job['id']}/status")
            picture = await http.get(f"/api/anime/files/{job['files'][0]['id']}/content")
            small = await http.get(f"/api/anime/files/{job['files'][0]['id']}/thumbnail")
        assert (status.json()["status"], status.json()["progress"]) == ("completed", 1.0)
        assert status.json()["output_path"] == job["files"][0]["file_path"]
        assert picture.content == Path(job["files"][0]["file_path"]).read_bytes()
        assert small.headers["content-type"] == "image/webp"


async def test_every_entrance_leads_to_the_same_record(stack: StackUnderTest) -> None:
    by_command = await stack.anime("generate", "the same", "--seed", "5", "--json")
    known = stack.record.settings
    by_prefect = await stack.run(
        *PREFECT,
        *("deployment", "run", "generate/generate", "-p", "prompt=the same", "-p", "seed=5"),
        variables={
            "PREFECT_API_URL": known["prefect_api_url"],
            "PREFECT_API_AUTH_STRING": known["prefect_api_auth_string"],
        },
    )
    assert by_prefect.returncode == 0, by_prefect.stderr
    async with stack.prefect() as prefect:
        deployment = (await prefect.get("/deployments/name/generate/generate")).json()
        run = await prefect.post(
            f"/deployments/{deployment['id']}/create_flow_run",
            json={"parameters": {"prompt": "the same", "seed": 5}},
        )
    by_api = await stack.job(await _job_of_run(stack, run.json()["id"]))
    by_command_line = json.loads(by_command.stdout)
    by_command_job = await stack.job(by_command_line["job"]["id"])
    assert _record(by_api) == _record(by_command_job)
    listed = json.loads((await stack.anime("jobs", "--json")).stdout)
    same = [await stack.job(job["id"]) for job in listed if job["prompt"] == "the same"]
    assert len(same) == 3
    hashes = {_pixels(job) for job in same}
    assert len(hashes) == 1, "one graph and one seed make one picture"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([""], "prompt"),
        (["x" * 100_000], "prompt"),
        (["fine", "--width", "0"], "width"),
        (["fine", "--width", "10"], "width"),
        (["fine", "--width", "1000000"], "width"),
        (["fine", "--steps", "-3"], "steps"),
        (["fine", "--seed", str(2**64)], "seed"),
        (["fine", "--workflow", "nope"], "txt2img"),
        (["fine", "--model", "nope.safetensors"], "rehearsal-sd15.safetensors"),
        (["fine", "--sampler", "eulr"], "euler"),
    ],
)
async def test_bad_input_is_a_sentence_and_exit_1(
    stack: StackUnderTest, arguments: list[str], said: str
) -> None:
    before = await _newest_files(stack)
    done = await stack.anime("generate", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert await _newest_files(stack) == before


async def test_doctor_finds_nothing_wrong(stack: StackUnderTest) -> None:
    done = await stack.anime("doctor", "--json", is_forked=False)
    assert done.returncode == 0, done.stdout
    told = {finding["system"]: finding["detail"] for finding in json.loads(done.stdout)}
    assert stack.ws_url in told["websocket"]
    assert str(stack.output) in told["sweeps"]


async def test_the_start_tells_where_everything_is(stack: StackUnderTest) -> None:
    told = [line.split()[:2] for line in stack.log.splitlines()]
    assert ["WebSocket", stack.ws_url] in told
    assert ["Swept", f"{stack.output},"] in told
    assert ["API", f"{stack.record.parts['api'].url}/docs"] in told


async def test_other_terminals_find_the_stack_by_its_record(stack: StackUnderTest) -> None:
    parts = stack.record.parts
    assert set(parts) == {"postgresql", "valkey", "prefect", "rehearsal", "api", "worker"}
    assert stat.S_IMODE(record_path(stack.home).stat().st_mode) == 0o600
    found = load_settings(home=stack.home)
    assert found.prefect_api_url == stack.record.settings["prefect_api_url"]
    assert found.comfyui_url == parts["rehearsal"].url


async def test_commands_ask_the_api_of_their_stack_and_no_other(stack: StackUnderTest) -> None:
    settings = load_settings(home=stack.home)
    assert RunningApi.of_stack(settings) is not None
    elsewhere = settings.model_copy(update={"database_url": SecretStr("postgresql://other")})
    assert RunningApi.of_stack(elsewhere) is None
    job_id = (await stack.anime("generate", "no wait", "--no-wait")).stdout.strip()
    shown = json.loads((await stack.anime("jobs", job_id, "--json")).stdout)
    assert shown["prompt"] == "no wait"
    files = json.loads((await stack.anime("files", "--limit", "1", "--json")).stdout)
    assert files.keys() == {"files", "next_cursor"}
    log = stack.home / "logs" / "api.log"
    asked = {
        "POST /api/anime/generate",
        f"GET /api/anime/jobs/{job_id}/timeline",
        "GET /api/anime/files",
    }
    async with asyncio.timeout(HUNG_SECONDS):
        while any(each not in log.read_text() for each in asked):
            await asyncio.sleep(0.1)
    await stack.until_completed(job_id)


async def test_a_second_stack_in_the_folder_is_refused(stack: StackUnderTest) -> None:
    again = await stack.anime("up", is_forked=False)
    assert again.returncode == 1
    assert "already runs" in again.stderr
    assert set(stack.record.parts) > {"prefect", "worker"}


async def test_schedules_are_in_the_studios_zone(stack: StackUnderTest) -> None:
    async with stack.prefect() as prefect:
        deployment = (await prefect.get("/deployments/name/cleanup/cleanup")).json()
    zones = [each["schedule"]["timezone"] for each in deployment["schedules"]]
    assert zones == [stack.environment["ANIME_TIMEZONE"]]


async def test_the_form_in_prefect_has_every_field_described(stack: StackUnderTest) -> None:
    async with stack.prefect() as prefect:
        deployment = (await prefect.get("/deployments/name/generate/generate")).json()
        blocks = (await prefect.post("/block_types/filter", json={})).json()
    fields = deployment["parameter_openapi_schema"]["properties"]
    assert {"prompt", "seed", "loras", "inputs"} <= set(fields)
    assert [name for name, field in fields.items() if not field.get("description")] == []
    assert {"comfyui-server", "studio-database", "progress-redis", "asset-library"} <= {
        block["slug"] for block in blocks
    }


async def test_no_other_program_of_this_machine_gets_into_prefect(stack: StackUnderTest) -> None:
    async with httpx.AsyncClient(base_url=stack.record.settings["prefect_api_url"]) as stranger:
        assert (await stranger.post("/flow_runs/filter", json={})).status_code == 401


async def test_a_rehearsal_server_killed_in_a_render_costs_no_file(stack: StackUnderTest) -> None:
    with stack.renders_held():
        asked = await stack.anime("generate", "killed", "--batch-size", "2", "--no-wait")
        job_id = asked.stdout.strip()
        await stack.until_rendering(job_id)
        psutil.Process(stack.record.parts["rehearsal"].pid).kill()
    job = await stack.job(job_id)
    assert (job["status"], job["attempt"]) == ("completed", 2)
    assert len(job["files"]) == 2
    assert all(Path(file["file_path"]).is_file() for file in job["files"])


async def test_ctrl_c_leaves_nothing_running_and_a_second_start_has_all_data(
    stack: StackUnderTest,
) -> None:
    before = json.loads((await stack.anime("files", "--json")).stdout)
    running = stack.processes()
    assert len(running) >= 5
    assert await stack.stop(signal.SIGINT) == 0
    assert [pid for pid in running if psutil.pid_exists(pid)] == []
    assert not record_path(stack.home).exists()
    took = dict(re.findall(r"(\S+) +stopped after ([0-9.]+) s", stack.log))
    assert took.keys() == {"postgresql", "valkey", "prefect", "rehearsal", "api", "worker"}
    units = planned_installation(load_settings(home=Path("/nowhere")), "anime").units
    for part, seconds in took.items():
        limit = re.search(r"(?m)^TimeoutStopSec=(.+)$", units[f"anime-{part}.service"])
        assert limit is not None
        assert float(seconds) < float(limit[1]) - STOP_MARGIN_SECONDS, part
    stopped = await stack.anime("files", is_forked=False)
    assert stopped.returncode == 1
    assert "anime up" in stopped.stderr
    stack.is_forked = True  # the data are what this start is to show, and it takes a third
    await stack.start()
    assert json.loads((await stack.anime("files", "--json")).stdout) == before


def _api_urls(stack: StackUnderTest) -> list[str]:
    """The API's address on each of its ports."""
    pid = stack.record.parts["api"].pid
    ports: set[int | None] = {
        connection.laddr.port
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    ports.discard(urlsplit(stack.ws_url).port)
    assert len(ports) == 2
    return [f"http://localhost:{port}" for port in ports]


async def _newest_files(stack: StackUnderTest) -> list[int]:
    """Their ids."""
    async with stack.api() as api:
        page = (await api.get("/api/anime/files")).raise_for_status().json()
    return [file["id"] for file in page["items"]]


async def _job_of_run(stack: StackUnderTest, run_id: str) -> str:
    """The job of a run made in Prefect has the run's id, once the run has written it down."""
    async with asyncio.timeout(HUNG_SECONDS), stack.api() as api:
        while (await api.get(f"/api/anime/jobs/{run_id}")).status_code != HTTPStatus.OK:
            await asyncio.sleep(0.1)
    return run_id


def _record(job: dict[str, Any]) -> dict[str, Any]:  # as `StackUnderTest.job` gives it
    """What is the same for one request, however it came."""
    same = ("type", "status", "progress", "prompt", "workflow", "seed", "attempt", "error")
    details = job["files"][0]["metadata"]
    return {
        **{name: job[name] for name in same},
        "keys": sorted(details),
        "samplers": details["samplers"],
        "model": details["model"],
        "files": len(job["files"]),
    }


def _pixels(job: dict[str, Any]) -> bytes:  # as `StackUnderTest.job` gives it
    from PIL import Image

    with Image.open(job["files"][0]["file_path"]) as picture:
        return picture.tobytes()
