"""The flows `contact_sheet` and `retention`: what they make, and what a page of Prefect shows."""

import os
from uuid import UUID

import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact
from prefect.client.schemas.sorting import FlowRunSort

from anime.core.retention import RetentionReport
from anime.settings import get_settings
from flows.contact_sheet import contact_sheet
from flows.generate import generate
from flows.retention import retention
from tests.flows.conftest import RehearsalStudio


async def artifacts_of(run_id: UUID) -> list[Artifact]:
    async with get_client() as client:
        return await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )


async def run_of(name: str) -> UUID:
    """The id of the newest run of that flow."""
    async with get_client() as client:
        runs = await client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=5)
        flows = {run.id: (await client.read_flow(run.flow_id)).name for run in runs}
    return next(run_id for run_id, found in flows.items() if found == name)


async def test_a_sheet_of_what_was_rendered_is_shown_in_prefect(studio: RehearsalStudio) -> None:
    await generate(prompt="a fox", project="Rain", seed=7, width=64, height=64, steps=1)
    pages = await contact_sheet(project="rain", text="fox")
    [name] = pages
    with Image.open(studio.library / ".sheets" / name) as sheet:
        assert min(sheet.size) > 300
    shown = await artifacts_of(await run_of("contact_sheet"))
    assert [artifact.type for artifact in shown] == ["image"]
    assert name in str(shown[0].data)
    assert await contact_sheet(project="nothing") == []
    [book] = await contact_sheet(format="pdf")
    assert (studio.library / ".sheets" / book).read_bytes().startswith(b"%PDF-")


async def test_retention_does_nothing_unless_something_is_set(studio: RehearsalStudio) -> None:
    thumbnail = studio.library / ".thumbnails/ab/ab.webp"
    thumbnail.parent.mkdir(parents=True)
    thumbnail.write_bytes(b"x")
    os.utime(thumbnail, (0, 0))
    assert await retention() == RetentionReport(is_dry_run=False)
    assert thumbnail.exists()
    assert await artifacts_of(await run_of("retention")) == []


async def test_retention_shows_what_became_of_what(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnail = studio.library / ".thumbnails/ab/ab.webp"
    thumbnail.parent.mkdir(parents=True)
    thumbnail.write_bytes(b"x")
    os.utime(thumbnail, (0, 0))
    monkeypatch.setenv("ANIME_KEEP_THUMBNAILS_DAYS", "30")
    get_settings.cache_clear()
    planned = await retention(dry_run=True)
    assert planned.thumbnails.files == 1
    assert thumbnail.exists()
    assert (await retention()).thumbnails == planned.thumbnails
    assert not thumbnail.exists()
    [table] = await artifacts_of(await run_of("retention"))
    assert "thumbnails" in str(table.data)
