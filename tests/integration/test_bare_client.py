"""The bare client of the benchmarks, against a rehearsal server."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from anime.comfyui.workflow_templates import load_template
from anime.core.graphs import Graph
from anime.core.workflow_build import build
from anime.errors import ComfyUIError
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.rehearsal.server import serving
from anime.schemas import GenerationRequest
from anime.settings import SHIPPED_WORKFLOWS
from benchmarks.bare_client import BareClient
from benchmarks.timing import busy_seconds, render_span, wall_seconds

MODEL = "rehearsal-sd15.safetensors"
TIMEOUT_SECONDS = 30


def graph(seed: int, **fields: int) -> Graph:
    request = GenerationRequest(prompt="a lighthouse", model=MODEL, width=64, height=64, steps=2)
    template = load_template("txt2img", SHIPPED_WORKFLOWS)
    wanted = request.model_copy(update=fields)
    return build(template, wanted, seed=seed, filename_prefix=f"bare/{seed}")


@pytest_asyncio.fixture
async def comfyui_url(tmp_path: Path) -> AsyncIterator[str]:
    """A rehearsal server whose renders of two steps take a tenth of a second."""
    config = RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.05)
    async with serving(config) as url:
        yield url


async def test_every_prompt_is_rendered_and_every_file_fetched(
    comfyui_url: str, tmp_path: Path
) -> None:
    async with BareClient(comfyui_url, tmp_path / "bare") as bare:
        renders = await bare.render([graph(1), graph(2, batch_size=2)], TIMEOUT_SECONDS)
    assert [len(render.files) for render in renders] == [1, 2]
    for path in (file for render in renders for file in render.files):
        with Image.open(path) as picture:
            assert picture.size == (64, 64)


async def test_it_keeps_comfyui_busy_and_tells_when_each_file_was_here(
    comfyui_url: str, tmp_path: Path
) -> None:
    async with BareClient(comfyui_url, tmp_path / "bare") as bare:
        renders = await bare.render([graph(seed) for seed in range(4)], TIMEOUT_SECONDS)
    async with httpx.AsyncClient(base_url=comfyui_url) as http:
        history = (await http.get("/history")).json()
    spans = [span for render in renders if (span := render_span(history[render.prompt_id]))]
    assert len(spans) == 4
    assert busy_seconds(spans) / wall_seconds(spans) > 0.9
    for render, span in zip(renders, spans, strict=True):
        assert render.sent_at - 0.001 <= span.start < span.end <= render.fetched_at


async def test_it_renders_one_series_after_another(comfyui_url: str, tmp_path: Path) -> None:
    async with BareClient(comfyui_url, tmp_path / "bare") as bare:
        first = await bare.render([graph(1)], TIMEOUT_SECONDS)
        second = await bare.render([graph(2)], TIMEOUT_SECONDS)
    assert first[0].fetched_at < second[0].sent_at


async def test_a_failing_prompt_ends_the_series(tmp_path: Path) -> None:
    faults = Faults(out_of_memory_at=frozenset({"KSampler"}))
    config = RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, faults=faults)
    async with serving(config) as url, BareClient(url, tmp_path / "bare") as bare:
        with pytest.raises(ComfyUIError, match="failed"):
            await bare.render([graph(1)], TIMEOUT_SECONDS)
