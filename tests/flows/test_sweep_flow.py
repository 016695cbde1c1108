"""The flow `sweep`: what it brings in, and what a person sees of it in Prefect."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from PIL import Image
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
)
from prefect.context import FlowRunContext
from sqlalchemy import text

from anime.assets.render_result import RenderResult
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.errors import NotFound
from anime.runs.render import render_files
from anime.settings import get_settings
from anime.settings.tokens import is_signed_address
from flows.generate import generate
from flows.sweep import NO_FOLDER, NOT_ALONE, sweep
from tasks.files import OrganisedOutputs
from tasks.sweep import INTERVAL, is_late
from tests.flows.conftest import RehearsalStudio
from tests.integration.import_folder import picture

TOKEN = "a token of the API that is long enough"


@pytest.fixture
def output(studio: RehearsalStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rehearsal server's output folder, as the one that sweeps look through."""
    folder = tmp_path / "rehearsal" / "output"
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("ANIME_COMFYUI_OUTPUT_DIR", str(folder))
    monkeypatch.setenv("ANIME_SWEEP_SETTLE_SECONDS", "0")
    get_settings.cache_clear()
    return folder


async def swept(**parameters: object) -> str:
    """The message that the run ended with."""
    run = cast("Any", sweep)  # its overloads do not know return_state with keywords
    state: State[None] = await run(**parameters, return_state=True)
    assert state.is_completed()
    return str(state.message)


async def shown() -> dict[str, Any]:  # JSON of each kind
    """The artifacts of the newest sweep, by type."""
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["sweep"])),
            limit=1,
            sort=cast("Any", "EXPECTED_START_TIME_DESC"),  # an enum Prefect takes by its word
        )
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[runs[0].id]))
        )
    return {str(artifact.type): artifact.data for artifact in found}


async def test_renders_of_others_come_in_and_our_own_are_known(
    studio: RehearsalStudio, output: Path
) -> None:
    await generate(prompt="ours", width=64, height=64, steps=2)
    [ours] = await studio.files()
    (output / "theirs.png").write_bytes(picture(1))
    assert (await swept()).startswith("1 organised, 1 already in the library")
    assert {file.filename for file in await studio.files()} == {ours.filename, "theirs.png"}
    assert (await swept()).startswith("nothing new")


@pytest.mark.parametrize("unkept", [(), ("text of node 23",)])
async def test_what_a_run_has_made_whose_job_was_deleted_meanwhile_comes_in_with_a_sweep(
    studio: RehearsalStudio, output: Path, monkeypatch: pytest.MonkeyPatch, unkept: tuple[str, ...]
) -> None:
    async def render(*given: Any) -> tuple[RenderResult, OrganisedOutputs]:
        result, outputs = await render_files(*given)
        async with studio.database.session_scope() as session:
            await session.execute(text("DELETE FROM anime_api.production_jobs"))
        return result, outputs._replace(unkept=unkept)

    monkeypatch.setattr("anime.runs.generation.render_files", render)
    with pytest.raises(NotFound, match="There is no job"):
        await generate(prompt="ours", width=64, height=64, steps=2)
    assert await studio.files() == []
    placed = studio.library_files()
    assert (await swept()).startswith("1 organised")
    [ours] = await studio.files()
    assert [Path(ours.file_path)] == placed == studio.library_files()


async def test_a_run_shows_a_bar_a_table_and_a_sheet_of_the_new_pictures(
    studio: RehearsalStudio, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_API_TOKEN", TOKEN)
    get_settings.cache_clear()
    for number in range(3):
        (output / f"{number}.png").write_bytes(picture(number))
    (output / "empty.png").write_bytes(b"")
    await swept()
    artifacts = await shown()
    assert artifacts["progress"] == 100
    rows = {row["file"]: row for row in json.loads(artifacts["table"])}
    assert rows["0.png"]["where"] in {str(path) for path in studio.library_files()}
    assert rows["empty.png"]["is"] == "quarantined"
    [sheet] = (studio.library / ".sheets").iterdir()
    shown_at = urlsplit(artifacts["image"])
    assert shown_at.path == f"/api/anime/sheets/{sheet.name}"
    assert is_signed_address(f"{shown_at.path}?{shown_at.query}", [TOKEN])
    with Image.open(sheet) as drawn:
        assert drawn.width > 600


async def test_a_dry_run_shows_the_plan_and_does_nothing(
    studio: RehearsalStudio, output: Path
) -> None:
    (output / "a.png").write_bytes(picture(1))
    assert (await swept(dry_run=True)).startswith("Would be: 1 organised")
    [row] = json.loads((await shown())["table"])
    assert row["where"].startswith("unorganized/images/")
    assert (await studio.files(), list(studio.library.iterdir())) == ([], [])


async def test_the_second_of_two_at_once_ends_at_once(
    studio: RehearsalStudio, output: Path
) -> None:
    (output / "a.png").write_bytes(picture(1))
    async with advisory_lock(studio.database.address, SWEEP):
        assert await swept() == NOT_ALONE
    assert await studio.files() == []


async def test_without_a_folder_it_says_so(studio: RehearsalStudio) -> None:
    assert await swept() == NO_FOLDER


@pytest.mark.parametrize(
    ("age", "is_scheduled", "late"),
    [
        (INTERVAL * 2, True, True),
        (INTERVAL * 2, False, False),
        (timedelta(seconds=30), True, False),
    ],
)
async def test_only_a_scheduled_run_can_come_too_late(
    prefect_server: None, age: timedelta, is_scheduled: bool, late: bool
) -> None:
    found: list[bool] = []

    @flow
    async def look() -> None:
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        run = cast("Any", context.flow_run)  # its times are Pendulum's, and take any
        run.auto_scheduled = is_scheduled
        run.expected_start_time = datetime.now(UTC) - age
        found.append(is_late())

    await look()
    assert found == [late]
