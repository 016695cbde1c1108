"""Generations of a project with a style and characters, from the request to the sent graph."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anime.assets.inspection.whole_file import inspect_file
from anime.assets.rebuild import rebuild
from anime.assets.references import add_reference
from anime.assets.store import AssetStore
from anime.core.catalogue import NewCharacter, NewProject, NewVersion
from anime.core.job_status import FailureKind, JobStatus
from anime.core.png_metadata import read_stamp
from anime.core.references import NewReference
from anime.core.styles import NewStyle, ProjectStyle
from anime.db.repositories import (
    CharacterRepository,
    ProjectRepository,
    StyleRepository,
    TakeRepository,
)
from anime.jobs.shots import import_shots
from anime.rehearsal.config import RehearsalConfig
from anime.settings import get_settings
from flows.batch import batch
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.integration.old_client import execute
from tests.support.jobs import newest_jobs

PROJECT = "Neon City"
STYLE = ProjectStyle(
    workflow="edit", steps=2, prompt_before="flat colours", naming="{shot}_{workflow}"
)


MODELS = (
    "diffusion_models/qwen_image_edit_2511_fp8mixed.safetensors",
    "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "vae/qwen_image_vae.safetensors",
)


@pytest.fixture
def rehearsal_config(rehearsal_config: RehearsalConfig) -> RehearsalConfig:
    """A server with the models of the workflow `edit`."""
    return rehearsal_config.model_copy(update={"models": MODELS})


async def cast(studio: RehearsalStudio, *characters: tuple[str, str]) -> list[str]:
    """A project with a style, and characters with a face each; the names of the faces' copies."""
    faces = []
    async with studio.database.session_scope() as session:
        project = await ProjectRepository(session).create(NewProject(name=PROJECT))
        await StyleRepository(session).add(project.id, NewStyle(style=STYLE))
    for name, colour in characters:
        async with studio.database.session_scope() as session:
            repository = CharacterRepository(session)
            made = await repository.create(NewCharacter(name=name, project=PROJECT), project.id)
            await repository.add_version(
                made.id, NewVersion(prompt=f"{colour} coat", is_canonical=False)
            )
        picture = NewReference.model_validate({"role": "face", "content": face(colour)})
        added = await add_reference(studio.database, AssetStore(studio.library), made.id, picture)
        faces.append(Path(added.path).name)
    return faces


def face(colour: str) -> bytes:
    """A picture in base64."""
    stream = BytesIO()
    Image.new("RGB", (64, 64), colour).save(stream, "PNG")
    return base64.b64encode(stream.getvalue())


def loaded(graph: dict[str, Any]) -> list[str]:
    """The pictures that a sent graph loads."""
    nodes = graph.values()
    return [node["inputs"]["image"] for node in nodes if node["class_type"] == "LoadImage"]


async def test_two_characters_with_pictures_are_in_the_graph_that_is_sent(
    studio: RehearsalStudio,
) -> None:
    mei, ken = await cast(studio, ("Mei", "red"), ("Ken", "blue"))
    [path] = await generate(prompt="@mei meets @ken", project=PROJECT, seed=7)
    job, [file] = await studio.newest_job(), await studio.files()
    assert (job.status, job.workflow, job.prompt) == (
        JobStatus.COMPLETED,
        "edit",
        "@mei meets @ken",
    )
    composed = (
        "flat colours, Mei is Picture 1, red coat, Ken is Picture 2, blue coat, Mei meets Ken"
    )
    graph = file.metadata["graph"]
    assert loaded(graph) == [mei, ken]
    assert composed in [node["inputs"].get("prompt") for node in graph.values()]
    assert {node["inputs"].get("steps") for node in graph.values()} == {None, 2}
    stamp = read_stamp(inspect_file(path).texts)
    assert stamp is not None
    assert stamp.prompt == composed


async def test_a_batch_renders_what_its_children_became_and_a_take_knows_its_style(
    studio: RehearsalStudio, database_url: str
) -> None:
    [mei] = await cast(studio, ("Mei", "red"))
    await import_shots(studio.database, PROJECT, "code,prompt\nsc1,a roof\n")
    requests = [{"prompt": "@mei", "project": PROJECT, "shot": "sc1"}]
    await batch(name="takes", requests=requests)
    [file] = await studio.files()
    assert loaded(file.metadata["graph"]) == [mei]
    async with studio.database.session_scope() as session:
        project = await ProjectRepository(session).get(PROJECT)
        take = await TakeRepository(session).get(project.id, "sc1", 1)
    assert take.style_version == 1
    [path] = studio.library_files()
    assert path.name == f"sc1_edit_anime_{take.job_id}_00001_.png"
    source = "SELECT source_path FROM anime_api.anime_files"
    before = await execute(database_url, source)
    await execute(database_url, "DELETE FROM anime_api.anime_files")
    await rebuild(studio.database, studio.library, zone=get_settings().zone)
    assert await execute(database_url, source) == before


async def test_a_child_that_cannot_be_composed_fails_alone_and_says_why(
    studio: RehearsalStudio,
) -> None:
    await cast(studio, ("Mei", "red"))
    async with studio.database.session_scope() as session:
        repository = CharacterRepository(session)
        [mei], _ = await repository.page(limit=1)
        lora = {"name": "flux.safetensors", "architecture": "flux"}
        flux = NewVersion.model_validate({"prompt": "red coat", "loras": [lora]})
        await repository.add_version(mei.id, flux)
    prompts = ["@mei", "a roof"]
    await batch(
        name="takes",
        prompts=prompts,
        common={"project": PROJECT, "workflow": "sdxl", "width": 64, "height": 64},
        return_state=True,
    )
    ended = {job.prompt: job for job in await newest_jobs(studio.database)}
    assert ended["a roof"].status is JobStatus.COMPLETED
    assert ended["@mei"].error_kind is FailureKind.INVALID_WORKFLOW
    assert "is for flux, workflow sdxl for sdxl" in str(ended["@mei"].error)
