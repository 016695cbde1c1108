"""The client against the rehearsal server: whole renders, over HTTP and websocket."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.failures import failure_of
from anime.comfyui.models import (
    Event,
    ExecutionFailed,
    HistoryEntry,
    NodeProgressed,
    OutputFile,
    PreviewFrame,
)
from anime.comfyui.prompt_cancellation import CancelResult
from anime.core.graphs import Graph
from anime.core.prompt_state import Absent, Finished
from anime.errors import ConfigurationError, NotFound, OutOfVram, PromptInterrupted, PromptRejected
from anime.jobs.probes import check_comfyui
from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.rehearsal.server import serving
from tests.support.waiting import HUNG_SECONDS

Followed = list[Event | Finished[HistoryEntry]]


def txt2img(prompt: str = "a girl on a rooftop", steps: int = 3, model: str | None = None) -> Graph:
    model = model or "rehearsal-sd15.safetensors"
    return {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 128, "height": 128, "batch_size": 2},
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
                "seed": 2**64 - 1,
                "steps": steps,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
            "_meta": {"title": "Draw"},
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {
            "class_type": "SaveImage",
            "inputs": {"images": ["8", 0], "filename_prefix": f"jobs/{uuid4()}/frame"},
        },
    }


@pytest.fixture
async def client(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[ComfyUIClient]:
    """A client of a fresh server; parametrize indirectly to configure that."""
    options: dict[str, Any] = getattr(request, "param", {})  # fields of RehearsalConfig
    config = RehearsalConfig(**{"step_seconds": 0.01, **options}, data_dir=tmp_path, port=0)
    async with serving(config) as url, ComfyUIClient(url) as client:
        yield client


def configured(**options: Any) -> pytest.MarkDecorator:  # fields of RehearsalConfig
    return pytest.mark.parametrize("client", [options], indirect=True)


async def rendered(client: ComfyUIClient, graph: Graph, prompt_id: UUID | None = None) -> Followed:
    prompt_id = prompt_id or uuid4()
    await client.submit(graph, prompt_id=prompt_id, client_id=str(prompt_id))
    return await followed(client, prompt_id)


async def followed(client: ComfyUIClient, prompt_id: UUID) -> Followed:
    return [event async for event in following(client, prompt_id)]


async def following(
    client: ComfyUIClient, prompt_id: UUID
) -> AsyncGenerator[Event | Finished[HistoryEntry], None]:
    async with client.listening(str(prompt_id), prompt_id) as listener:
        async for event in client.follow(
            prompt_id,
            listener,
            poll_seconds=2.0 * HUNG_SECONDS,
            stall_timeout_seconds=HUNG_SECONDS,
            silence_timeout_seconds=HUNG_SECONDS,
            unreachable_timeout_seconds=HUNG_SECONDS,
        ):
            yield event


def entry_of(events: Followed) -> HistoryEntry:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.entry


async def test_a_render_is_followed_step_by_step_and_its_files_are_read(
    client: ComfyUIClient,
) -> None:
    events = await rendered(client, txt2img(steps=8))
    steps = [event.value for event in events if isinstance(event, NodeProgressed)]
    assert steps == sorted(steps)
    assert steps[-1] == 8
    entry = entry_of(events)
    assert len(entry.saved) == 2
    async with client.view(entry.saved[0]) as chunks:
        content = b"".join([chunk async for chunk in chunks])
    assert Image.open(io.BytesIO(content)).size == (128, 128)


async def test_extra_png_info_is_in_the_picture(client: ComfyUIClient) -> None:
    prompt_id = uuid4()
    await client.submit(
        txt2img(),
        prompt_id=prompt_id,
        client_id=str(prompt_id),
        extra_pnginfo={"anime": {"job": "7"}},
    )
    entry = entry_of(await followed(client, prompt_id))
    async with client.view(entry.saved[0]) as chunks:
        content = b"".join([chunk async for chunk in chunks])
    assert '"7"' in Image.open(io.BytesIO(content)).info["anime"]


async def test_the_end_of_a_render_is_known_long_before_the_next_poll(
    client: ComfyUIClient,
) -> None:
    ended_ms = entry_of(await rendered(client, txt2img(steps=10))).ended_ms
    assert ended_ms is not None
    assert time.time() - ended_ms / 1000 < HUNG_SECONDS


async def test_many_prompts_are_followed_at_once_each_with_its_own_events(
    client: ComfyUIClient,
) -> None:
    runs = await asyncio.gather(*(rendered(client, txt2img(f"no {n}")) for n in range(10)))
    for events in runs:
        assert entry_of(events).succeeded
        assert {event.prompt_id for event in events if isinstance(event, Event)} <= {
            entry_of(events).prompt_id
        }


async def test_an_unknown_checkpoint_is_refused_with_the_one_that_was_meant(
    client: ComfyUIClient,
) -> None:
    with pytest.raises(PromptRejected) as caught:
        await rendered(client, txt2img(model="rehearsal-sd1.safetensors"))
    assert "nearest: 'rehearsal-sd15.safetensors'" in caught.value.problems[0]
    assert (await client.queue()).running == ()


@configured(load_seconds=0.3, faults=Faults(out_of_memory_at=frozenset({"KSampler"})))
async def test_a_node_out_of_memory_ends_the_prompt_and_is_named(client: ComfyUIClient) -> None:
    events = await rendered(client, txt2img())
    assert any(isinstance(event, ExecutionFailed) for event in events)
    error = failure_of(entry_of(events))
    assert isinstance(error, OutOfVram)
    assert error.node == "“Draw” (KSampler, node 3)"


@configured(faults=Faults(history_delay_seconds=0.2))
async def test_a_history_that_comes_late_is_waited_for(client: ComfyUIClient) -> None:
    assert entry_of(await asyncio.wait_for(rendered(client, txt2img()), HUNG_SECONDS)).succeeded


@configured(step_seconds=0.2)
async def test_a_running_prompt_is_cancelled_and_nobody_elses(client: ComfyUIClient) -> None:
    ours, waiting, theirs = uuid4(), uuid4(), uuid4()
    for prompt_id in (ours, waiting, theirs):
        await client.submit(
            txt2img(str(prompt_id), steps=500), prompt_id=prompt_id, client_id=str(prompt_id)
        )
    async with asyncio.timeout(HUNG_SECONDS), aclosing(following(client, ours)) as events:
        await anext(events)
    assert await client.cancel(waiting, timeout_seconds=HUNG_SECONDS) is CancelResult.REMOVED
    assert await client.cancel(ours, timeout_seconds=HUNG_SECONDS) is CancelResult.INTERRUPTED
    found = await client.find(ours)
    assert isinstance(found, Finished)
    assert isinstance(failure_of(found.entry), PromptInterrupted)
    assert await client.find(waiting) == Absent()
    assert await client.cancel(theirs, timeout_seconds=HUNG_SECONDS) in {
        CancelResult.INTERRUPTED,
        CancelResult.REMOVED,
    }


@configured(previews=True)
async def test_previews_name_their_prompt_and_node(client: ComfyUIClient) -> None:
    prompt_id = uuid4()
    events = await rendered(client, txt2img(steps=20), prompt_id)
    previews = [event for event in events if isinstance(event, PreviewFrame)]
    assert previews
    assert {(frame.prompt_id, frame.node) for frame in previews} == {(str(prompt_id), "3")}


async def test_an_upload_of_other_bytes_gets_another_name(client: ComfyUIClient) -> None:
    names = [await client.upload_image("pose.png", content) for content in (b"one", b"two", b"one")]
    assert names == ["pose.png", "pose (1).png", "pose.png"]


async def test_the_server_says_what_it_has(client: ComfyUIClient) -> None:
    info = await client.object_info(["KSampler", "NoSuchNode", "KSampler"])
    assert list(info) == ["KSampler"]
    assert await client.replaced_classes(["KSampler", "NoSuchNode"]) == {}
    assert "euler" in info["KSampler"].inputs["sampler_name"].choices
    assert "rehearsal-sd15.safetensors" in await client.checkpoints()
    stats = await client.system_stats()
    assert stats.devices[0].vram_total >= stats.devices[0].vram_free > 0
    await client.free()


async def test_a_server_is_ready_with_models_of_any_kind(tmp_path: Path) -> None:
    """Checkpoints, or diffusion models that are loaded apart from their text encoder."""
    config = RehearsalConfig(data_dir=tmp_path, port=0, checkpoints=())
    async with serving(config) as url:
        found = await check_comfyui(url, HUNG_SECONDS)
    assert found.endswith("0 checkpoint(s), 1 diffusion model(s)")
    async with serving(config.model_copy(update={"profile": Profile.V0_3_64})) as url:
        with pytest.raises(ConfigurationError, match="has no model"):
            await check_comfyui(url, HUNG_SECONDS)


async def test_a_file_that_is_gone_is_not_found(client: ComfyUIClient) -> None:
    with pytest.raises(NotFound, match=r"gone\.png"):
        async with client.view(OutputFile(filename="gone.png")):
            pass
