"""Servers and pauses over HTTP, and by command."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.server import serving
from anime.settings import Settings
from tests.integration.api_client import opened_api, problem_in
from tests.integration.test_cli_commands import Commands
from tests.support.waiting import HUNG_SECONDS

NOWHERE = "http://127.0.0.1:9"
SERVERS = "/api/anime/servers"


@pytest_asyncio.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with serving(RehearsalConfig(data_dir=tmp_path / "comfyui", port=0)) as url:
        yield url


@pytest_asyncio.fixture
async def studio(api_settings: Settings, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API of a studio with one server."""
    async with opened_api(api_settings, comfyui_url=url) as client:
        yield client


async def alive_server(studio: httpx.AsyncClient) -> dict[str, Any]:  # JSON
    """The studio's server, once it is looked at: no canary prompt is there any more."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            [server] = (await studio.get(SERVERS)).json()["items"]
            if server["health"] == "alive":
                return dict(server)
            await asyncio.sleep(0.05)


async def test_a_server_is_added_checked_drained_resumed_and_removed(
    studio: httpx.AsyncClient, url: str
) -> None:
    new = {"url": f"{NOWHERE}/", "name": "gpu-b", "labels": ["xl"]}
    added = await studio.post(SERVERS, json=new)
    assert added.status_code == 201
    assert added.headers["Location"] == f"{SERVERS}/gpu-b"
    assert added.json()["url"] == NOWHERE
    assert problem_in(await studio.post(SERVERS, json=new), 409)
    assert [each["url"] for each in (await studio.get(SERVERS)).json()["items"]] == [url, NOWHERE]
    found = (await studio.post(f"{SERVERS}/gpu-b/check")).json()
    assert (found["answers"], found["renders"]) == (False, None)
    assert (await studio.post(f"{SERVERS}/gpu-b/drain")).json()["is_drained"]
    assert not (await studio.post(f"{SERVERS}/gpu-b/resume")).json()["is_drained"]
    paused = await studio.post("/api/anime/pause", json={"server": "gpu-b"})
    assert [each["scope"] for each in paused.json()["items"]] == [f"server:{NOWHERE}"]
    assert (await studio.delete(f"{SERVERS}/gpu-b")).status_code == 204
    assert (await studio.get("/api/anime/pauses")).json()["items"] == []
    assert problem_in(await studio.get(f"{SERVERS}/gpu-b"), 404)
    assert problem_in(await studio.get(f"{SERVERS}/%00"), 404)


async def test_a_check_shows_what_a_server_can_do(studio: httpx.AsyncClient, url: str) -> None:
    server = await alive_server(studio)
    found = (await studio.post(f"{SERVERS}/{server['name']}/check")).json()
    assert found["answers"]
    assert found["renders"]
    assert found["detail"] == "It answers and renders."
    assert found["server"]["fingerprint"]["version"] == "0.33.0"
    assert "rehearsal-sdxl.safetensors" in found["server"]["offers"]["checkpoints"]


async def test_addresses_that_cannot_be_used_are_refused(studio: httpx.AsyncClient) -> None:
    for bad in ("gpu-b", "ftp://gpu-b", "http://artist:secret@gpu-b:8188"):
        problem = problem_in(await studio.post(SERVERS, json={"url": bad}), 422)
        assert "secret" not in str(problem)
    [server] = (await studio.get(SERVERS)).json()["items"]
    removed = problem_in(await studio.delete(f"{SERVERS}/{server['name']}"), 422)
    assert "ANIME_COMFYUI_URL" in removed["todo"]


async def test_a_server_is_known_by_its_address_in_any_spelling(
    studio: httpx.AsyncClient, url: str
) -> None:
    host = url.removeprefix("http://")
    named_so = {"url": NOWHERE, "name": "localhost"}
    assert (await studio.post(SERVERS, json=named_so)).status_code == 201
    for spelled in (host, f" {url}/ ", host.replace("127.0.0.1", "LOCALHOST"), host.upper()):
        for how, body in (("pause", [f"server:{url}"]), ("resume", [])):
            told = await studio.post(f"/api/anime/{how}", json={"server": spelled})
            assert [each["scope"] for each in told.json()["items"]] == body
    assert (await studio.get(f"{SERVERS}/{host}")).json()["url"] == url
    for named in ("localhost", "LOCALHOST"):
        assert (await studio.get(f"{SERVERS}/{named}")).json()["url"] == NOWHERE
    for none in ("ftp://gpu-b", "http://", f"https://{host}", ":", "a b"):
        told = await studio.post("/api/anime/pause", json={"server": none})
        assert "There is no ComfyUI server" in problem_in(told, 404)["detail"]


async def test_pauses_are_set_listed_and_ended(studio: httpx.AsyncClient, url: str) -> None:
    await studio.post("/api/anime/projects", json={"name": "Neon City"})
    await studio.post("/api/anime/pause", json={"project": "Neon City", "reason": "colours"})
    await studio.post("/api/anime/pause", json={"server": url.replace("127.0.0.1", "LOCALHOST")})
    await studio.post("/api/anime/pause", json={})
    found = (await studio.get("/api/anime/pauses")).json()["items"]
    scopes = ["project:neon-city", f"server:{url}", "all"]
    assert [each["scope"] for each in found] == scopes
    left = await studio.post("/api/anime/resume", json={"project": "neon-city"})
    assert [each["scope"] for each in left.json()["items"]] == scopes[1:]
    both = {"project": "neon-city", "server": url}
    assert problem_in(await studio.post("/api/anime/pause", json=both), 422)
    assert problem_in(await studio.post("/api/anime/pause", json={"project": "none"}), 404)


async def test_the_commands_do_the_same(
    api_settings: Settings, database_url: str, url: str, tmp_path: Path
) -> None:
    anime = Commands(
        {
            "ANIME_HOME": str(tmp_path / "home"),
            "ANIME_DATABASE_URL": database_url,
            "ANIME_COMFYUI_URL": url,
        }
    )
    listed = await anime.call("servers")
    assert url in listed.out
    assert "unknown" in listed.out
    assert (await anime.call("servers", "list")).out == listed.out
    checked = await anime.call("servers", "check", url.upper())
    assert (checked.code, checked.err) == (0, "")
    assert "It answers and renders." in checked.out
    again = await anime.call("servers", "check", url.removeprefix("http://"))
    assert (again.code, again.err) == (0, "")
    added = await anime.call("servers", "add", NOWHERE, "--name", "gpu-b", "--label", "xl")
    assert added.code == 1
    assert "gpu-b: ComfyUI at http://127.0.0.1:9 cannot be reached" in added.out
    assert "drained" in (await anime.call("servers", "drain", "gpu-b")).out
    assert "unknown, drained" in (await anime.call("servers")).out
    assert (await anime.call("servers", "resume", "gpu-b")).code == 0
    assert (await anime.call("servers", "remove", "gpu-b")).code == 0
    assert "anime servers" in (await anime.call("servers", "drain", "gpu-b")).err
    unlabelled = await anime.call("servers", "add", NOWHERE)
    assert (unlabelled.code, unlabelled.err) == (1, "")
    assert "127.0.0.1-9: ComfyUI at http://127.0.0.1:9 cannot be reached" in unlabelled.out
    assert (await anime.call("servers", "remove", "127.0.0.1-9")).code == 0
    assert "anime projects list" in (await anime.call("pause", "--project", "none")).err
    paused = await anime.call("pause", "--reason", "moving house")
    assert paused.out == "All new renders are paused: moving house.\n"
    assert "moving house" in (await anime.call("servers")).err
    assert (await anime.call("resume")).out == "Nothing is paused.\n"


async def test_doctor_warns_of_servers_that_differ(
    api_settings: Settings, database_url: str, url: str, tmp_path: Path
) -> None:
    old = RehearsalConfig(data_dir=tmp_path / "old", port=0, profile=Profile.V0_3_64)
    async with serving(old) as other:
        anime = Commands(
            {
                "ANIME_HOME": str(tmp_path / "home"),
                "ANIME_DATABASE_URL": database_url,
                "ANIME_COMFYUI_URL": f"{url},{other}",
            }
        )
        for each in (url, other):
            assert (await anime.call("servers", "check", each)).code == 0
        told = (await anime.call("doctor")).out
    [line] = [line for line in told.splitlines() if line.split()[1:2] == ["servers"]]
    assert line.startswith("warn")
    assert "ComfyUI (" in line
    assert "0.3.64" in line
