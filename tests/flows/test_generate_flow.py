"""The flow `generate`, from a prompt to files and rows."""

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any, TypeAlias, cast
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from redis.asyncio import Redis

from anime.assets.inspection.whole_file import inspect_file
from anime.assets.metadata.embedded_texts import exif_texts
from anime.assets.store import AssetStore, StoredFile
from anime.comfyui.server_facts import facts_about
from anime.comfyui.workflow_templates import load_template
from anime.core.ids import seed_of
from anime.core.job_status import FailureKind, JobStatus
from anime.core.png_metadata import read_stamp
from anime.core.servers import EVERYTHING
from anime.core.vram import FreedMemory
from anime.core.workflow_build import Template
from anime.db.repositories import JobRepository, PauseRepository, TimelineRepository
from anime.errors import (
    ComfyUIUnreachable,
    InsufficientVram,
    InvalidRequest,
    InvalidWorkflow,
    OutOfVram,
    PromptRejected,
    StorageError,
    StorageUnavailable,
)
from anime.progress.keys import job_hash, job_stream
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.retry_policies import RetryPolicy
from anime.settings import get_settings
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.support.dead_mount import give_up_soon, let_die
from tests.support.waiting import HUNG_SECONDS

SMALL: dict[str, Any] = {"width": 128, "height": 128, "steps": 3}  # any fields of a request


_Entries: TypeAlias = list[tuple[str, dict[str, str]]]  # redis-py types every protocol


async def paths_of(**parameters: Any) -> list[str]:  # any fields of a request
    return cast("list[str]", await generate(**parameters))


async def test_a_prompt_becomes_a_file_and_a_completed_job(studio: RehearsalStudio) -> None:
    paths = await paths_of(prompt="a girl on a rooftop at dusk", seed=7, **SMALL)
    job, [file] = await studio.newest_job(), await studio.files()
    assert [Path(path) for path in paths] == studio.library_files()
    assert job.status is JobStatus.COMPLETED
    assert (job.progress, job.seed, job.output_path) == (100, 7, paths[0])
    assert (file.file_path, file.job_id, file.width, file.height) == (paths[0], job.id, 128, 128)
    assert file.file_type == "image"
    assert file.file_size == Path(paths[0]).stat().st_size


async def test_the_row_tells_how_the_picture_came_about(studio: RehearsalStudio) -> None:
    await paths_of(prompt="snow", loras=[{"name": "rehearsal-ink.safetensors", "strength": 0.5}])
    [file] = await studio.files()
    known = file.metadata
    assert known["prompt"] == "snow"
    assert known["seed"] == str(seed_of(cast("UUID", file.job_id)))
    assert known["model"] == "rehearsal-sd15.safetensors"
    assert known["loras"][0]["name"] == "rehearsal-ink.safetensors"
    assert known["samplers"][0]["sampler"] == "euler"
    assert known["server"]["url"] == studio.comfyui_url
    assert known["timings"]["render_seconds"] >= 0
    assert {node["class_type"] for node in known["graph"].values()} >= {"KSampler", "LoraLoader"}


async def test_the_picture_itself_knows_its_job(studio: RehearsalStudio) -> None:
    seed = 2**64 - 1
    [path] = await paths_of(prompt="雪の森", seed=seed, project="Neon City", **SMALL)
    stamp = read_stamp(inspect_file(path).texts)
    assert stamp is not None
    assert (stamp.prompt, stamp.seed, stamp.project) == ("雪の森", str(seed), "Neon City")
    assert stamp.job_id == (await studio.newest_job()).id
    assert (await studio.newest_job()).seed == seed
    assert Path(path).is_relative_to(studio.library / "neon-city" / "images")


async def test_every_picture_of_a_batch_is_kept(studio: RehearsalStudio) -> None:
    paths = await paths_of(prompt="four takes", batch_size=4, **SMALL)
    files = await studio.files()
    assert len(set(paths)) == len(studio.library_files()) == len(files) == 4
    assert len({file.sha256 for file in files}) == 4


async def test_a_video_is_an_animation_among_the_videos(studio: RehearsalStudio) -> None:
    [path] = await paths_of(
        prompt="petals", type="video", width=128, height=128, steps=2, inputs={"frames": 4}
    )
    assert Path(path).is_relative_to(studio.library / "unorganized" / "videos")
    with Image.open(path) as animation:
        assert getattr(animation, "n_frames", 1) == 4
        stamp = read_stamp(exif_texts(animation.getexif()))
    assert stamp is not None
    assert stamp.prompt == "petals"


async def test_a_picture_handed_in_is_where_img2img_begins_whatever_ails_its_mount(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_in = studio.library / ".inputs" / "sketch.png"
    handed_in.parent.mkdir()
    Image.new("RGB", (64, 64), "teal").save(handed_in)
    faults = [OSError(errno.ESTALE, "Stale file handle")]

    def read(path: Path) -> bytes:
        if path == handed_in and faults:
            raise faults.pop()
        return path.open("rb").read()

    monkeypatch.setattr(Path, "read_bytes", read)
    [path] = await paths_of(
        prompt="the same in ink", workflow="img2img", inputs={"image": ".inputs/sketch.png"}
    )
    assert Path(path).is_file()
    stored = (await studio.files())[0].metadata["graph"].values()
    [loader] = [node for node in stored if node["class_type"] == "LoadImage"]
    assert loader["inputs"]["image"] == "sketch.png"
    assert faults == []


async def test_the_take_is_one_node_s_and_pictures_of_a_list_are_uploaded(
    studio: RehearsalStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow of the studio's own: two pictures or three beside each other, and a draft."""

    def node(class_type: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": class_type, "inputs": inputs}

    graph = {
        **{str(number): node("LoadImage", image="") for number in (1, 2, 3)},
        "4": node("BatchImagesNode", **{f"images.image{n}": [str(n + 1), 0] for n in range(3)}),
        "5": node("SaveImage", filename_prefix="draft", images=["1", 0]),
        "6": node("SaveImage", filename_prefix="take", images=["4", 0]),
    }
    places = ", ".join(f'{{ id = "{number}", input = "image" }}' for number in (1, 2, 3))
    binding = f"""
        title = "Mine"
        output = "image"
        output_node = {{ id = "6" }}
        needs_prompt = false
        inputs.pictures = {{ kind = "images", unused = "delete", places = [{places}] }}
    """
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.json").write_text(json.dumps(graph))
    (own / "mine.toml").write_text(binding)
    monkeypatch.setenv("ANIME_WORKFLOWS_DIR", str(own))
    get_settings.cache_clear()
    handed_in = studio.library / ".inputs"
    handed_in.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (64, 64), "teal").save(handed_in / f"{name}.png")
    paths = await paths_of(
        prompt="side by side",
        workflow="mine",
        inputs={"pictures": [".inputs/a.png", ".inputs/b.png"]},
    )
    assert len(paths) == len(await studio.files()) == 2
    stored = (await studio.files())[0].metadata["graph"]
    assert [stored[each]["inputs"]["image"] for each in ("1", "2")] == ["a.png", "b.png"]
    assert set(stored) == {"1", "2", "4", "5", "6"}
    [draft] = (await studio.files())[0].metadata["not_kept"]
    assert draft.endswith(".png of node 5 (not the take)")
    job_id = (await studio.newest_job()).id
    assert f"2 file(s) made; not kept: {draft}" in await events_of(studio, job_id)
    async with studio.database.session_scope() as session:
        timeline = await TimelineRepository(session).of_job(job_id)
    assert any(draft in entry.message for entry in timeline)
    async with get_client() as client:
        shown = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[job_id]))
        )
    assert any(draft in str(artifact.description) for artifact in shown)


async def events_of(studio: RehearsalStudio, job_id: UUID) -> str:
    """All that was published of a job, as text."""
    async with Redis.from_url(studio.redis_url) as redis:
        return str(cast("_Entries", await redis.xrange(job_stream(job_id))))


async def test_an_input_picture_outside_the_library_is_refused(studio: RehearsalStudio) -> None:
    with pytest.raises(InvalidRequest, match="is no picture in"):
        await generate(
            prompt="steal", workflow="img2img", inputs={"image": ".inputs/../../secret.png"}
        )


async def test_running_a_completed_job_again_makes_nothing_new(studio: RehearsalStudio) -> None:
    job_id = uuid4()
    first = await paths_of(prompt="once", job_id=job_id, **SMALL)
    again = await paths_of(prompt="once", job_id=job_id, **SMALL)
    assert first == again
    assert len(studio.library_files()) == len(await studio.files()) == 1
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        assert len((await http.get("/history")).json()) == 1


@pytest.mark.parametrize(("beat_seconds", "bars"), [(0.0, [100]), (3600.0, [])])
async def test_a_run_shows_the_pictures_a_table_and_a_bar_if_it_outlasts_a_heartbeat(
    studio: RehearsalStudio,
    monkeypatch: pytest.MonkeyPatch,
    beat_seconds: float,
    bars: list[int],
) -> None:
    monkeypatch.setattr("anime.runs.execution._HEARTBEAT_SECONDS", beat_seconds)
    await generate(prompt="seen", project="Neon", **SMALL)
    job = await studio.newest_job()
    async with get_client() as client:
        run = await client.read_flow_run(job.id)
        artifacts = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
    by_type = {artifact.type: artifact for artifact in artifacts}
    assert run.name == "Neon / seen"
    assert {"project:Neon", "image"} <= set(run.tags)
    assert job.id == job.flow_run_id == run.id
    assert [each.data for each in artifacts if each.type == "progress"] == bars
    assert by_type["image"].data == "http://127.0.0.1:8330/api/anime/files/1/content"
    assert job.output_path is not None
    assert job.output_path in str(by_type["table"].data)


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"model": "nope.safetensors"}, PromptRejected, "rehearsal-sd15.safetensors"),
        ({"sampler": "eulr"}, PromptRejected, 'did you mean "euler"'),
        ({"workflow": "txt2imgg"}, InvalidWorkflow, "txt2img"),
        ({"inputs": {"frames": 3}}, InvalidRequest, "frames"),
    ],
)
async def test_f13_what_cannot_be_rendered_fails_at_once_and_says_why(
    studio: RehearsalStudio, parameters: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        await generate(prompt="impossible", **parameters)
    job = await studio.newest_job()
    assert (job.status, job.error_kind) == (JobStatus.FAILED, FailureKind.INVALID_WORKFLOW)
    assert said in str(job.error)
    assert studio.library_files() == []


async def test_a_lost_library_stops_the_job_before_the_gpu_works(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_LIBRARY_DIR", str(studio.library / "unmounted"))
    get_settings.cache_clear()
    with pytest.raises(StorageError, match="ANIME_LIBRARY_DIR"):
        await generate(prompt="nowhere to go", **SMALL)
    assert (await studio.newest_job()).error_kind is FailureKind.STORAGE
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        assert (await http.get("/history")).json() == {}


async def test_f44_a_library_that_dies_after_the_render_is_waited_for_once_and_nothing_is_lost(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount whose server is gone. Requeued when it is back, the job takes in its picture."""
    receive, job_id, tries = AssetStore.receive, uuid4(), 0

    with monkeypatch.context() as dead:
        is_back = threading.Event()

        async def die_first(store: AssetStore, chunks: AsyncIterable[bytes]) -> StoredFile:
            nonlocal is_back, tries
            tries += 1
            if tries == 1:
                is_back = let_die(studio.library, dead, seconds=HUNG_SECONDS)
                give_up_soon(dead)
            return await receive(store, chunks)

        dead.setattr(AssetStore, "receive", die_first)
        with pytest.raises(StorageUnavailable, match=f"library {studio.library} has not answered"):
            await generate(prompt="back soon", job_id=job_id, **SMALL)
        is_back.set()
    assert tries == 1
    job = await studio.newest_job()
    assert (job.status, job.error_kind) == (JobStatus.FAILED, FailureKind.STORAGE)
    async with studio.database.session_scope() as session:
        assert await JobRepository(session).requeue(job_id)
    paths = await paths_of(prompt="back soon", job_id=job_id, **SMALL)
    assert [Path(path) for path in paths] == studio.library_files()
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        assert len((await http.get("/history")).json()) == 1


@pytest.mark.parametrize("dies_in", ["check", "receive"])
async def test_f44_a_job_waits_for_a_dead_library_while_renders_are_paused_for_it(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    """Before its render, or after."""
    call, is_back, tries = getattr(AssetStore, dies_in), threading.Event(), 0
    waits = asyncio.Event()

    async def die_first(*arguments: Any) -> Any:  # as it takes and gives them
        nonlocal is_back, tries
        tries += 1
        if tries == 1:
            is_back = let_die(studio.library, monkeypatch, seconds=HUNG_SECONDS)
            give_up_soon(monkeypatch)
            async with studio.database.session_scope() as session:
                await PauseRepository(session).set(EVERYTHING, "no answer", is_automatic=True)
        return await call(*arguments)

    class Watch(RetryPolicy):
        async def wait(self, retry: int = 0) -> None:
            waits.set()
            await super().wait(retry)

    monkeypatch.setattr(AssetStore, dies_in, die_first)
    watch = Watch(first_seconds=0.05, longest_seconds=0.05)
    monkeypatch.setattr("anime.runs.execution.PAUSE_WATCH", watch)
    rendering = asyncio.create_task(paths_of(prompt="back soon", **SMALL))
    try:
        waiting = asyncio.create_task(waits.wait())
        await asyncio.wait({rendering, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert not rendering.done()
        assert (await studio.newest_job()).status is JobStatus.PROCESSING
    finally:
        is_back.set()
        async with studio.database.session_scope() as session:
            await PauseRepository(session).clear(EVERYTHING)
    assert [Path(path) for path in await rendering] == studio.library_files()
    assert tries == 2
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        assert len((await http.get("/history")).json()) == 1


async def test_f01_a_comfyui_that_stays_away_is_said_to_be_unreachable(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_COMFYUI_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANIME_COMFYUI_WAIT_SECONDS", "0.5")
    get_settings.cache_clear()
    with pytest.raises(ComfyUIUnreachable, match=r"127\.0\.0\.1:9"):
        await generate(prompt="hello?", **SMALL)
    assert (await studio.newest_job()).error_kind is FailureKind.COMFYUI_UNREACHABLE


class TestBrokenRoute:
    """A server that answers its check, and nothing about its node classes."""

    @pytest.fixture
    def rehearsal_config(self, rehearsal_config: RehearsalConfig) -> RehearsalConfig:
        faults = Faults(server_errors_at="/object_info/")
        return rehearsal_config.model_copy(update={"faults": faults})

    async def test_f01_it_counts_as_unreachable_and_the_message_names_the_route(
        self, studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_once = RetryPolicy(first_seconds=0, longest_seconds=0, attempts=2)
        monkeypatch.setattr("anime.runs.preflight.TASK", at_once)
        with pytest.raises(ComfyUIUnreachable, match=r"GET /object_info/\w+ with 500"):
            await generate(prompt="hello?", **SMALL)
        job = await studio.newest_job()
        assert job.error_kind is FailureKind.COMFYUI_UNREACHABLE
        assert "/object_info/" in str(job.error)


async def test_a_folder_of_workflows_that_does_not_answer_for_a_moment_fails_no_job(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = [StorageUnavailable("The folder does not answer.")]

    def load_later(*named: Any) -> Template:
        if stale:
            raise stale.pop()
        return load_template(*named)

    at_once = RetryPolicy(first_seconds=0, longest_seconds=0, attempts=2)
    monkeypatch.setattr("anime.runs.preflight.TASK", at_once)
    monkeypatch.setattr("anime.runs.preflight.load_template", load_later)
    assert len(await paths_of(prompt="a moment later", **SMALL)) == 1
    assert not stale


async def test_redis_that_is_not_there_fails_nothing(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_REDIS_URL", "redis://127.0.0.1:9/1")
    get_settings.cache_clear()
    assert len(await paths_of(prompt="in silence", **SMALL)) == 1
    assert (await studio.newest_job()).status is JobStatus.COMPLETED


async def test_comfyuis_output_folder_is_read_where_it_is_in_reach(
    studio: RehearsalStudio, rehearsal_config: RehearsalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = rehearsal_config.folders["output"]
    monkeypatch.setenv("ANIME_COMFYUI_OUTPUT_DIR", str(output))
    get_settings.cache_clear()
    [path] = await paths_of(prompt="next door", **SMALL)
    [source] = [entry for entry in output.rglob("*.png") if entry.is_file()]
    assert source.read_bytes() == Path(path).read_bytes()


class TestStepByStep:
    """A server whose steps take long enough to be told apart."""

    @pytest.fixture
    def rehearsal_config(self, tmp_path: Path) -> RehearsalConfig:
        return RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.03)

    async def test_progress_is_published_and_never_goes_back(self, studio: RehearsalStudio) -> None:
        await paths_of(prompt="steps", width=128, height=128, steps=12)
        job = await studio.newest_job()
        async with Redis.from_url(studio.redis_url, decode_responses=True) as redis:
            entries = cast(
                "list[tuple[str, dict[str, str]]]", await redis.xrange(job_stream(job.id))
            )
            snapshot = await redis.hgetall(job_hash(job.id))
        events = [json.loads(fields["event"]) for _, fields in entries]
        percents = [event["progress"] for event in events]
        assert percents == sorted(percents)
        assert len(set(percents)) > 5
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        stages = list(dict.fromkeys(event["stage"] for event in events if event["stage"]))
        assert stages == ["checking_vram", "submitting", "rendering", "organizing", "recording"]
        assert (events[-1]["status"], events[-1]["progress"]) == ("completed", 100)
        assert snapshot["status"] == "completed"
        assert json.loads(snapshot["params"])["prompt"] == "steps"


class TestOnASmallCard:
    """The rehearsal server says that its GPU has 6000 MB."""

    @pytest.fixture
    def rehearsal_config(self, tmp_path: Path) -> RehearsalConfig:
        return RehearsalConfig(
            data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.0, vram_total_mb=6000
        )

    async def test_a_workflow_that_can_never_fit_is_refused(self, studio: RehearsalStudio) -> None:
        with pytest.raises(InsufficientVram, match="6000 MB"):
            await generate(prompt="too big", required_vram_mb=8000, **SMALL)
        assert (await studio.newest_job()).error_kind is FailureKind.INSUFFICIENT_VRAM

    async def test_a_smaller_need_fits(self, studio: RehearsalStudio) -> None:
        assert len(await paths_of(prompt="fits", required_vram_mb=4000, **SMALL)) == 1


class TestWithoutMemory:
    """The sampler of this server runs out of memory."""

    @pytest.fixture
    def rehearsal_config(self, tmp_path: Path) -> RehearsalConfig:
        faults = Faults(out_of_memory_at=frozenset({"KSampler"}))
        return RehearsalConfig(
            data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.0, faults=faults
        )

    async def test_the_job_says_that_memory_ran_out(self, studio: RehearsalStudio) -> None:
        facts = facts_about(studio.comfyui_url)
        facts.freed = FreedMemory(given_back_mb=6_600, free_after_mb=10_800)
        with pytest.raises(OutOfVram, match="Sampler"):
            await generate(prompt="greedy", **SMALL)
        assert (await studio.newest_job()).error_kind is FailureKind.OUT_OF_MEMORY
        assert facts.freed is None  # others may hold what ComfyUI once gave back


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_library_is_a_storage_failure(studio: RehearsalStudio) -> None:
    studio.library.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            await generate(prompt="no entry", **SMALL)
    finally:
        studio.library.chmod(0o700)
