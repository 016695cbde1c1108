"""Files in a running stack: made for a project, found, swept in, watched for, and verified."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.stack.conftest import StackUnderTest
from tests.support.waiting import HUNG_SECONDS


async def search(stack: StackUnderTest, **wanted: str) -> list[dict[str, Any]]:
    """The first page of the files that fit, over HTTP."""
    async with stack.api() as api:
        answer = await api.get("/api/anime/files", params=wanted)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_what_is_made_for_a_project_over_http_is_found_by_it(stack: StackUnderTest) -> None:
    async with stack.api() as api:
        project = await api.post("/api/anime/projects", json={"name": "Harbour Lights"})
        character = await api.post(
            "/api/anime/characters", json={"name": "Mei", "project": "harbour-lights"}
        )
        assert (project.status_code, character.status_code) == (201, 201)
        asked = await api.post(
            "/api/anime/projects/harbour-lights/generate",
            json={"prompt": "a lantern on the pier", "character": "Mei", "width": 64, "height": 64},
        )
        job = await stack.job(asked.json()["job_id"])
        history = (await api.get("/api/anime/projects/harbour-lights/history")).json()["items"]
    [found] = await search(stack, project="harbour-lights", text="lantern pier")
    assert (found["job_id"], found["project_id"]) == (job["id"], project.json()["id"])
    assert "harbour-lights/images" in found["file_path"]
    assert Path(found["file_path"]).is_file()
    assert [each["id"] for each in history] == [job["id"]]
    assert await search(stack, project="harbour-lights", character="mei") == [found]
    assert await search(stack, project="harbour-lights", text="submarine") == []


async def test_a_sheet_of_a_project_is_drawn(stack: StackUnderTest, tmp_path: Path) -> None:
    await stack.anime("generate", "a gull", "--project", "Sheet Trial", "--steps", "2")
    sheet = tmp_path / "trial.png"
    done = await stack.anime("sheet", "--project", "sheet-trial", "--output", str(sheet))
    assert (done.returncode, done.stdout.split()) == (0, [str(sheet)]), done.stderr
    with Image.open(sheet) as drawn:
        assert min(drawn.size) > 100


async def test_a_picture_is_rendered_again_and_compared(
    stack: StackUnderTest, tmp_path: Path
) -> None:
    made = await stack.anime("generate", "a heron", "--width", "64", "--height", "64")
    drawn = tmp_path / "difference.png"
    [path] = made.stdout.split()
    again = await stack.anime("reproduce", path, "--picture", str(drawn), "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert found["verdict"] == "Same pixels, in a file of other bytes."
    assert [each["setting"] for each in found["settings"]] == ["workflow"]
    with Image.open(drawn) as picture:
        assert picture.getextrema() == ((0, 0),) * 3


async def swept(stack: StackUnderTest, folder: Path) -> Any:  # JSON
    """What `anime sweep` has done, as soon as no sweep of the stack's own is under way."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            done = json.loads((await stack.anime("sweep", str(folder), "--json")).stdout)
            if not done["is_another_running"]:
                return done


async def test_a_sweep_first_tells_its_plan_and_then_does_it(
    stack: StackUnderTest, tmp_path: Path
) -> None:
    put(tmp_path, "moth.png", "a moth at the window", seed=41)
    planned = json.loads((await stack.anime("sweep", str(tmp_path), "--dry-run", "--json")).stdout)
    assert planned["counts"]["organised"] == 1
    assert await search(stack, text="moth window") == []
    done = await swept(stack, tmp_path)
    assert done["counts"]["organised"] == 1
    [row] = await search(stack, text="moth window", seed="41")
    assert Path(row["file_path"]).is_file()
    again = await swept(stack, tmp_path)
    assert "organised" not in again["counts"]


async def test_a_sweep_ordered_in_prefect_brings_a_foreign_picture_in_and_shows_it(
    stack: StackUnderTest, tmp_path: Path
) -> None:
    put(tmp_path, "heron.png", "a heron in the reeds", seed=42)
    order = {"parameters": {"folder": str(tmp_path)}}
    async with stack.prefect() as prefect:
        deployment = (await prefect.get("/deployments/name/sweep/sweep")).json()
        ordered = await prefect.post(f"/deployments/{deployment['id']}/create_flow_run", json=order)
        run = await stack.ended_run(ordered.json()["id"])
        shown = await prefect.post(
            "/artifacts/filter",
            json={"artifacts": {"flow_run_id": {"any_": [run["id"]]}}},
        )
    assert run["state"]["message"].startswith("1 organised"), run["state"]
    [row] = await search(stack, text="heron reeds", seed="42")
    assert Path(row["file_path"]).is_file()
    kinds = {artifact["type"]: artifact["data"] for artifact in shown.json()}
    assert {"progress", "table", "image"} <= set(kinds)
    assert "heron.png" in kinds["table"]


async def test_a_new_file_is_in_the_library_soon_and_nobody_has_asked(
    stack: StackUnderTest,
) -> None:
    put(stack.output, "swallow.png", "a swallow under the eaves", seed=43, is_new=True)
    async with asyncio.timeout(HUNG_SECONDS):
        while not (found := await search(stack, text="swallow eaves")):
            await asyncio.sleep(0.2)
    assert Path(found[0]["file_path"]).is_file()


async def test_a_file_moved_by_hand_is_missed_and_found_again(stack: StackUnderTest) -> None:
    asked = await stack.anime("generate", "an anchor", "--steps", "2", "--json")
    [file] = json.loads(asked.stdout)["files"]
    path = Path(file["file_path"])
    before = await verify(stack)
    away = stack.folder / path.name
    path.rename(away)
    without = await verify(stack)
    elsewhere = path.parent / "by hand" / path.name
    elsewhere.parent.mkdir()
    away.rename(elsewhere)
    after = await verify(stack)
    async with stack.api() as api:
        content = await api.get(f"/api/anime/files/{file['id']}/content")
    assert (before["exit"], before["missing"]) == (0, 0), before
    assert (without["exit"], without["missing"]) == (1, 1)
    assert (after["exit"], after["relinked"], after["missing"]) == (0, 1, 0)
    assert content.content == elsewhere.read_bytes()


def put(folder: Path, name: str, prompt: str, *, seed: int, is_new: bool = False) -> None:
    """A picture as another program renders it, with what it says of its making."""
    text = PngInfo()
    text.add_text("parameters", f"{prompt}\nSteps: 20, Sampler: Euler, Seed: {seed}, Size: 64x64")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    Image.new("RGB", (64, 64), (seed, 90, 120)).save(path, pnginfo=text)
    if not is_new:
        an_hour_ago = path.stat().st_mtime - 3600
        os.utime(path, (an_hour_ago, an_hour_ago))


async def verify(stack: StackUnderTest) -> dict[str, Any]:
    """What `anime verify` prints, and how it exits."""
    done = await stack.anime("verify", "--json", timeout_seconds=HUNG_SECONDS)
    return {**json.loads(done.stdout), "exit": done.returncode}
