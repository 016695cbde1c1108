"""The rehearsal server answers HTTP as ComfyUI 0.3.64 does."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from anime.errors import ConfigurationError
from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.server import serving
from tests.integration.rehearsal_peer import (
    Peer,
    joined,
    modelless,
    opened,
    txt2img,
)
from tests.support.waiting import HUNG_SECONDS

REHEARSAL = {"profile": Profile.V0_3_64}


async def test_queue_delete_leaves_no_trace_of_a_waiting_prompt(tmp_path: Path) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:
        running = await peer.submit(txt2img(steps=10_000))
        await peer.until("progress")
        waiting = await peer.submit(modelless())
        answer = await peer.http.post("/queue", json={"delete": [waiting, running, "unknown"]})
        assert (answer.status_code, answer.content) == (200, b"")
        queue = (await peer.http.get("/queue")).json()
        assert [item[1] for item in queue["queue_running"]] == [running]
        assert queue["queue_pending"] == []
        await peer.http.post("/interrupt")
        await peer.until("executing", node=None)
        assert (await peer.http.get(f"/history/{waiting}")).json() == {}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{broken", 500),
        (b"", 500),
        (b"\xef\xbb\xbf{}", 500),
        (b"\xff{}", 500),
        (b'{"prompt": []}', 500),
        (b'{"prompt": null}', 500),
        (b'{"prompt": {"last_node_id": 1, "nodes": []}}', 500),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"prompt": {}}', 400),
        (b'{"prompt": {}, "number": "abc"}', 500),
    ],
)
async def test_bad_input_is_answered_as_comfyui_does(
    peer: Peer, content: bytes, status: int
) -> None:
    answer = await peer.http.post("/prompt", content=content)
    assert answer.status_code == status
    if status == 500:
        assert answer.text == "500 Internal Server Error\n\nServer got itself in trouble"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    else:
        assert answer.json()["node_errors"] == {}
    assert (await peer.http.get("/history")).json() == {}


async def test_a_refused_prompt_uses_up_a_number(peer: Peer) -> None:
    before = await peer.run(modelless())
    await peer.http.post("/prompt", json={"prompt": {}})
    after = await peer.run(modelless())
    assert after["prompt"][0] == before["prompt"][0] + 2


async def test_a_chosen_id_is_not_idempotent(peer: Peer) -> None:
    await peer.run(modelless("a/x"), prompt_id=12345)
    entry = await peer.run(modelless("b/x"), prompt_id="12345")
    assert entry["outputs"]["2"]["images"][0]["subfolder"] == "b"
    assert list((await peer.http.get("/history")).json()) == ["12345"]


@pytest.mark.parametrize("root", ["", "/api"])
async def test_every_route_exists_twice(peer: Peer, root: str) -> None:
    for path in ("/prompt", "/queue", "/history", "/system_stats", "/object_info", "/features"):
        assert (await peer.http.get(root + path)).status_code == 200
    assert (await peer.http.get(f"{root}/history/unknown")).json() == {}
    assert (await peer.http.get(f"{root}/object_info/NoSuchNode")).json() == {}
    assert (await peer.http.get(f"{root}/models/nope")).status_code == 404
    assert (await peer.http.get(f"{root}/nope")).status_code == 404
    assert (await peer.http.delete(f"{root}/queue")).status_code == 405
    assert (await peer.http.options(f"{root}/prompt")).status_code == 200


async def test_foreign_origins_and_large_bodies_are_refused(peer: Peer) -> None:
    foreign = await peer.http.post("/prompt", headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, foreign.content) == (403, b"")
    url = peer.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"POST /prompt HTTP/1.1\r\nHost: x\r\nContent-Length: {101 * 2**20}\r\n\r\n".encode()
    )
    answer = await asyncio.wait_for(reader.readuntil(b"exceeded."), HUNG_SECONDS)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.endswith(b"Maximum request body size 104857600 exceeded.")


async def test_the_server_says_that_it_is_a_rehearsal_and_what_memory_it_pretends(
    peer: Peer,
) -> None:
    async def stats() -> dict[str, Any]:
        answer: dict[str, Any] = (await peer.http.get("/system_stats")).json()
        return answer

    before = await stats()
    await peer.run(txt2img())
    holding = (await stats())["devices"][0]
    await peer.http.post("/free", json={"unload_models": True})
    await peer.run(modelless())
    after = (await stats())["devices"][0]
    assert before["system"]["comfyui_version"] == "0.3.64"
    assert before["system"]["rehearsal"] is True
    assert "rehearsal" in before["devices"][0]["name"]
    assert holding["vram_free"] < before["devices"][0]["vram_free"] == after["vram_free"]


async def read_to_the_end(peer: Peer) -> None:
    """Unread frames would keep the end of the connection from view."""
    while True:
        await peer.socket.recv()


async def test_a_killed_server_loses_everything_but_its_files(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from anime.rehearsal.config import RehearsalConfig;"
        "from anime.rehearsal import server;"
        "import logging; logging.basicConfig(level=logging.INFO);"
        "server.run(RehearsalConfig(data_dir=Path(sys.argv[1]), port=0, step_seconds=1))"
    )
    (tmp_path / "temp").mkdir()
    (tmp_path / "temp/old.png").touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(HUNG_SECONDS):
        line = (await process.stderr.readline()).decode()
        url = next(word for word in line.split() if word.startswith("http")).rstrip(",")
        async with joined(url, tmp_path) as peer:
            await peer.submit(txt2img())
            os.kill(process.pid, signal.SIGTERM)
            with pytest.raises(ConnectionClosedError):
                await read_to_the_end(peer)
            assert peer.socket.close_code == 1006
        assert await process.wait() == 0
    assert not (tmp_path / "temp/old.png").exists()
    async with opened(tmp_path) as peer:
        assert (await peer.http.get("/queue")).json() == {"queue_running": [], "queue_pending": []}
        assert (await peer.http.get("/history")).json() == {}


async def test_a_taken_port_is_an_error_that_names_the_setting(
    rehearsal_server: tuple[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "temp").mkdir()
    (tmp_path / "temp/kept.png").touch()
    port = int(rehearsal_server[0].rsplit(":", 1)[1])
    with pytest.raises(ConfigurationError, match="ANIME_REHEARSAL_PORT"):
        async with serving(RehearsalConfig(data_dir=tmp_path, port=port)):
            pass
    assert (tmp_path / "temp/kept.png").exists()


async def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file/.* Choose a data folder"):
        async with serving(RehearsalConfig(data_dir=tmp_path / "file", port=0)):
            pass
