"""Every fault of a server that the rehearsal server simulates shows as such from outside."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from anime.rehearsal.faults import Faults
from tests.integration.rehearsal_peer import modelless, opened, txt2img
from tests.support.forks import PipedProgram, fork_with_pipes
from tests.support.waiting import HUNG_SECONDS

IMPATIENT = httpx.Timeout(HUNG_SECONDS, read=0.1)  # it may take its time to connect


@asynccontextmanager
async def program(folder: Path, *faults: str) -> AsyncIterator[tuple[str, PipedProgram]]:
    """`anime rehearsal` with these faults: its URL and its process."""
    words = [
        *("rehearsal", "--port", "0", "--data-dir", str(folder)),
        *("--step-seconds", "0", "--log", str(folder / "log")),
        *(word for fault in faults for word in ("--fault", fault)),
    ]
    process = await fork_with_pipes("anime.cli.app", words, os.environ)
    try:
        async with asyncio.timeout(HUNG_SECONDS):
            line = (await process.stderr.readline()).decode()
        yield next(word for word in line.split() if word.startswith("http")).rstrip(","), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def submit(url: str, graph: dict[str, Any]) -> str:
    prompt_id = str(uuid4())
    async with httpx.AsyncClient(base_url=url, timeout=HUNG_SECONDS) as http:
        body = {"prompt": graph, "prompt_id": prompt_id}
        (await http.post("/prompt", json=body)).raise_for_status()
    return prompt_id


def logged(folder: Path) -> list[tuple[str, str]]:
    """Event and prompt of each line of the log."""
    lines = map(json.loads, (folder / "log").read_text().splitlines())
    return [(line["event"], line["prompt_id"]) for line in lines]


async def test_it_dies_at_a_step_and_comes_back_with_its_old_queue(tmp_path: Path) -> None:
    async with program(tmp_path, "crash-at-step=2", "keep-queue") as (url, process):
        first = await submit(url, txt2img())
        async with asyncio.timeout(HUNG_SECONDS):
            assert await process.wait() == -signal.SIGKILL
    assert logged(tmp_path) == [("accepted", first), ("started", first)]
    async with program(tmp_path, "keep-queue") as (url, _), httpx.AsyncClient() as http:
        async with asyncio.timeout(HUNG_SECONDS):
            while first not in (await http.get(f"{url}/history")).json():
                await asyncio.sleep(0.02)
    assert logged(tmp_path)[-2:] == [("started", first), ("succeeded", first)]


async def test_only_one_prompt_kills_it_by_its_words(tmp_path: Path) -> None:
    graph = txt2img()
    graph["6"]["inputs"]["text"] = "a POISON mushroom"
    async with program(tmp_path, "crash-on=POISON") as (url, process):
        harmless = await submit(url, txt2img())
        await submit(url, graph)
        async with asyncio.timeout(HUNG_SECONDS):
            assert await process.wait() == -signal.SIGKILL
    assert ("succeeded", harmless) in logged(tmp_path)


async def test_a_frozen_server_takes_connections_and_answers_when_it_thaws(tmp_path: Path) -> None:
    faults = Faults(freeze_at_step=1, freeze_seconds=8)
    async with opened(tmp_path, faults=faults) as peer:
        await peer.submit(txt2img())
        await peer.until("progress")
        with pytest.raises(httpx.ReadTimeout):
            await peer.http.get("/queue", timeout=IMPATIENT)
        await peer.until("execution_success")


async def test_a_held_sampler_ends_when_it_is_let_go_or_interrupted(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    async with opened(tmp_path, faults=Faults(hold_while=held)) as peer:
        doomed = await peer.submit(txt2img(steps=2))
        other = await peer.submit(txt2img(steps=2, seed=43))
        assert (await peer.until("progress", value=1))["data"]["prompt_id"] == doomed
        await peer.http.post("/interrupt")
        await peer.until("execution_interrupted")
        assert (await peer.until("progress", value=1))["data"]["prompt_id"] == other
        [running] = (await peer.http.get("/queue")).json()["queue_running"]
        assert running[1] == other
        held.unlink()
        await peer.until("execution_success", prompt_id=other)


async def test_a_zombie_answers_and_renders_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(zombie_after=1)) as peer:
        await peer.run(modelless())
        waiting = await peer.submit(modelless())
        assert (await peer.http.get("/system_stats")).status_code == 200
        queue = (await peer.http.get("/queue")).json()
        assert [item[1] for item in queue["queue_pending"]] == [waiting]
        assert queue["queue_running"] == []


async def test_memory_runs_out_for_the_first_prompts_only(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(out_of_memory=1)) as peer:
        ended = await peer.run(txt2img())
        again = await peer.run(txt2img())
    kind, details = ended["status"]["messages"][-1]
    assert (kind, details["exception_type"]) == ("execution_error", "torch.OutOfMemoryError")
    assert details["exception_message"].startswith("Allocation on device 0 would exceed")
    assert again["status"]["status_str"] == "success"


async def test_a_gpu_fault_stays_until_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(gpu_fault_after=1)) as peer:
        ended = [await peer.run(txt2img(seed=seed)) for seed in range(3)]
    assert [entry["status"]["status_str"] for entry in ended] == ["success", "error", "error"]
    details = ended[1]["status"]["messages"][-1][1]
    assert details["exception_type"] == "torch.AcceleratorError"
    assert details["exception_message"].startswith("CUDA error: an illegal memory access")


async def test_a_prompt_that_ended_is_in_no_history(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(lose_history=True)) as peer:
        prompt_id = await peer.submit(modelless())
        await peer.until("executing", node=None, prompt_id=prompt_id)
        assert (await peer.http.get(f"/history/{prompt_id}")).json() == {}


async def test_a_history_entry_may_have_no_status(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(odd_history=True)) as peer:
        entry = await peer.run(modelless())
    assert entry["status"] is None
    assert entry["outputs"]


async def test_a_file_grows_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "output/plain/x_00001_.png"
    sizes = set()
    async with opened(tmp_path, faults=Faults(write_seconds=1)) as peer:
        running = asyncio.create_task(peer.run(modelless()))
        while not running.done():
            sizes.add(path.stat().st_size if path.is_file() else 0)
            await asyncio.sleep(0.01)
    assert path.stat().st_size // 2 in sizes


async def test_a_file_may_lack_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path / "cut", faults=Faults(cut_files=True)) as peer:
        await peer.run(modelless())
    async with opened(tmp_path / "whole") as peer:
        await peer.run(modelless())
    cut, whole = (
        (tmp_path / name / "output/plain/x_00001_.png").read_bytes() for name in ("cut", "whole")
    )
    assert len(cut) == len(whole) // 2


async def test_after_so_many_prompts_no_connection_is_taken(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(refuse_after=1)) as peer:
        await peer.submit(modelless())
        with pytest.raises(ConnectionClosed):
            await peer.until("nothing more")
        with pytest.raises(httpx.ConnectError):
            await peer.http.get("/queue")


async def test_the_first_requests_are_answered_with_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(server_errors=2)) as peer:
        statuses = [(await peer.http.get("/queue")).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]


async def test_requests_of_one_route_are_answered_with_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(server_errors_at="/object_info/")) as peer:
        statuses = [
            (await peer.http.get(path)).status_code
            for path in ("/system_stats", "/object_info/KSampler", "/object_info")
        ]
    assert statuses == [200, 500, 200]


async def test_an_answer_breaks_off_although_the_prompt_was_taken(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(half_answers=1)) as peer:
        with pytest.raises(httpx.RemoteProtocolError):
            await peer.submit(modelless())
        await peer.until("execution_success")


async def test_an_answer_to_a_submission_comes_too_late(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(submit_seconds=0.5)) as peer:
        with pytest.raises(httpx.ReadTimeout):
            await peer.http.post("/prompt", json={"prompt": modelless()}, timeout=IMPATIENT)
        async with asyncio.timeout(HUNG_SECONDS):
            while not (await peer.http.get("/history")).json():
                await asyncio.sleep(0.02)


async def test_a_websocket_falls_silent(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(silent_sockets=True)) as peer:
        await peer.submit(modelless())
        async with asyncio.timeout(HUNG_SECONDS):
            while not (await peer.http.get("/history")).json():
                await asyncio.sleep(0.02)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.socket.recv(), 0.2)


async def test_a_websocket_closes_after_some_messages(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(close_sockets_after=3)) as peer:
        await peer.submit(modelless())
        with pytest.raises(ConnectionClosed):
            await peer.until("nothing")
    assert len(peer.seen) == 3


async def test_events_of_an_ended_prompt_come_again(tmp_path: Path) -> None:
    async with opened(tmp_path, faults=Faults(stale_events=True)) as peer:
        first = await peer.submit(modelless())
        await peer.until("executing", node=None, prompt_id=first)
        late = await peer.until("progress_state", prompt_id=first)
        assert late["data"]["nodes"]


async def test_a_server_that_starts_slowly_refuses_until_then(tmp_path: Path) -> None:
    faults = Faults(start_seconds=0.3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with opened(tmp_path, faults=faults) as peer:
        assert loop.time() - began >= 0.3
        assert (await peer.http.get("/queue")).status_code == 200


async def test_two_servers_may_write_into_one_output_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        output = tmp_path / "shared"
        async with opened(tmp_path / name, output_dir=output) as peer:
            await peer.run(modelless())
    assert sorted(path.name for path in (tmp_path / "shared/plain").iterdir()) == [
        "x_00001_.png",
        "x_00002_.png",
    ]
    assert not (tmp_path / "one/output").exists()


async def test_a_socket_of_a_stranger_is_not_closed_by_a_fault_of_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as peer:
        url = str(peer.http.base_url).replace("http", "ws")
        async with connect(f"{url}/ws?clientId=other") as other:
            await peer.run(modelless())
            await asyncio.wait_for(other.recv(), HUNG_SECONDS)
