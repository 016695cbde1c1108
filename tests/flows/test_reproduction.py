"""A file rendered again from its recorded graph."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anime.assets.store import AssetStore
from anime.core.paths import is_recorded
from anime.core.styles import NewStyle, ProjectStyle
from anime.db.repositories import ProjectRepository, StyleRepository
from anime.errors import InvalidRequest
from anime.jobs.reproduction import (
    MadeFile,
    ReproductionRequest,
    compare_files,
    file_named,
    read_made_file,
    reproduction_of,
    with_row,
)
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 1}


async def rendered_again(studio: RehearsalStudio, original: MadeFile) -> MadeFile:
    request = await reproduction_of(studio.database, AssetStore(studio.library), original)
    [path] = await generate(**request.model_dump(exclude_unset=True))
    return await with_row(studio.database, read_made_file(Path(path), studio.library))


async def test_a_picture_rendered_again_has_the_same_pixels_and_settings(
    studio: RehearsalStudio,
) -> None:
    await generate(prompt="a fox", seed=2**64 - 1, project="Rain", **SMALL)
    [row] = await studio.files()
    original = await file_named(studio.database, ReproductionRequest(file_id=row.id))
    again = await rendered_again(studio, original)
    found = compare_files(original, again)
    assert found.verdict == "Same pixels, in a file of other bytes."
    assert [each.setting for each in found.settings] == ["workflow"]
    assert (found.words, found.unchecked) == ([], ["model hash is not recorded"])
    job = await studio.newest_job()
    assert is_recorded(job.workflow)
    assert (job.seed, job.prompt, job.project) == (2**64 - 1, "a fox", "Rain")
    async with studio.database.session_scope() as session:
        project = await ProjectRepository(session).get("Rain")
        style = ProjectStyle(prompt_before="ink, ", steps=9)
        await StyleRepository(session).add(project.id, NewStyle(style=style))
    other = compare_files(again, await rendered_again(studio, again))
    assert (other.settings, other.verdict) == ([], found.verdict), "no style is laid over it"


async def test_a_foreign_picture_with_its_input_picture_is_rendered_again(
    studio: RehearsalStudio, tmp_path: Path
) -> None:
    handed_in = studio.library / ".inputs" / "sketch.png"
    handed_in.parent.mkdir()
    Image.new("RGB", (64, 64), "teal").save(handed_in)
    [path] = await generate(
        prompt="in ink", workflow="img2img", seed=3, inputs={"image": ".inputs/sketch.png"}
    )
    foreign = tmp_path / "foreign.png"
    with Image.open(path) as picture:
        from PIL.PngImagePlugin import PngInfo

        texts = PngInfo()
        texts.add_text("prompt", picture.info["prompt"])
        picture.save(foreign, pnginfo=texts)
    original = await with_row(studio.database, read_made_file(foreign, studio.library))
    assert "server" not in original.made
    again = await rendered_again(studio, original)
    assert compare_files(original, again).verdict == "Same pixels, in a file of other bytes."


async def test_a_picture_without_a_graph_is_refused(
    studio: RehearsalStudio, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    plain = read_made_file(tmp_path / "plain.png", studio.library)
    with pytest.raises(InvalidRequest, match="holds no graph"):
        await reproduction_of(studio.database, AssetStore(studio.library), plain)
