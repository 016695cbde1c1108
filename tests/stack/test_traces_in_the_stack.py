"""One trace from a request to its row, under one id wherever a person may look."""

import asyncio
import json
from pathlib import Path

import httpx

from anime.assets.inspection.whole_file import inspect_file
from anime.core.png_metadata import read_stamp
from tests.stack.conftest import StackUnderTest
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.support.waiting import HUNG_SECONDS

PROMPT = "zwielicht ueber den daechern"
PROJECT, CHARACTER, LOOKS = "Dachgarten", "Nachtfalter", "schwarze fluegel"
OF_CLIENT = "0af7651916cd43dd8448eb211c80319c"
ORDER = {"prompt": PROMPT, "width": 64, "height": 64, "steps": 2}


async def make_character(api: httpx.AsyncClient) -> None:
    """Make a project with a character, whom prompts may name."""
    await api.post("/api/anime/projects", json={"name": PROJECT})
    character = {"name": CHARACTER, "project": PROJECT.lower()}
    made = (await api.post("/api/anime/characters", json=character)).json()
    looks = {"prompt": LOOKS}
    (await api.post(f"/api/anime/characters/{made['id']}/versions", json=looks)).raise_for_status()


def spans_of(spans: list[ReceivedSpan], trace_id: str) -> dict[str, ReceivedSpan]:
    return {each.name: each for each in spans if each.trace_id == trace_id}


async def test_a_request_is_one_trace_from_the_client_to_the_row(
    stack: StackUnderTest, traces: OtlpReceiver
) -> None:
    async with stack.api() as api:
        await make_character(api)
        asked = await api.post(
            "/api/anime/generate",
            json={**ORDER, "prompt": f"@{CHARACTER}, {PROMPT}", "project": PROJECT.lower()},
            headers={"traceparent": f"00-{OF_CLIENT}-b7ad6b7169203331-01"},
        )
        job = await stack.job(asked.json()["job_id"])
        composed = await api.get(f"/api/anime/jobs/{job['id']}/composition")
    assert LOOKS in composed.text
    assert job["trace_id"] == OF_CLIENT

    def is_whole(spans: list[ReceivedSpan]) -> bool:
        named = spans_of(spans, OF_CLIENT)  # the flow run ends last, and the API may tell later
        return {"generate", "dispatch run", "submit job", "POST /api/anime/generate"} <= set(named)

    named = spans_of(await asyncio.to_thread(traces.until, is_whole), OF_CLIENT)
    parents = {name: _parent_of(span, named) for name, span in named.items()}
    nodes = {name for name, parent in parents.items() if parent == "poll completion"}
    new = {"CLIPTextEncode", "KSampler", "VAEDecode", "SaveImage"}
    assert nodes - {"CheckpointLoaderSimple", "EmptyLatentImage"} == new  # ComfyUI may have cached
    assert {name: parent for name, parent in parents.items() if name not in nodes} == {
        "POST /api/anime/generate": None,
        "submit job": "POST /api/anime/generate",
        "dispatch run": "submit job",
        "generate": "dispatch run",
        "wait for slot": "generate",
        "check VRAM": "generate",
        "submit": "generate",
        "poll completion": "generate",
        "organise": "generate",
        "receive file": "organise",
        "record": "generate",
    }
    assert named["POST /api/anime/generate"].parent == "b7ad6b7169203331"
    assert {named[name].service for name in ("submit job", "record")} == {
        "anime-api",
        "anime-worker",
    }
    assert named["generate"].attributes["anime.job.id"] == job["id"]
    assert named["receive file"].attributes["anime.file.sha256"] == job["files"][0]["sha256"]
    assert named["KSampler"].started_ns < named["KSampler"].ended_ns
    stamp = read_stamp(inspect_file(job["files"][0]["file_path"]).texts)
    assert stamp is not None
    assert stamp.trace_id == OF_CLIENT
    for secret in (PROMPT, LOOKS, PROJECT, CHARACTER):
        assert secret.casefold().encode() not in traces.raw.lower()
    assert _logged(stack, "worker", job["id"]) == {OF_CLIENT}


async def test_a_failure_names_its_trace_and_no_span_says_what_was_asked_for(
    stack: StackUnderTest, traces: OtlpReceiver
) -> None:
    async with stack.api() as api:
        problem = (await api.get("/api/anime/jobs/zwielicht")).json()
        refused = await api.post("/api/anime/generate", json={**ORDER, "model": "zwielicht.st"})
    job = await stack.job(refused.json()["job_id"])
    assert (job["status"], job["error_kind"]) == ("failed", "invalid_workflow")
    spans = await asyncio.to_thread(
        traces.until,
        lambda spans: (
            "generate" in spans_of(spans, job["trace_id"])
            and problem["trace_id"] in {each.trace_id for each in spans}
        ),
    )
    failed = {each.name for each in spans if each.is_error and each.trace_id == job["trace_id"]}
    assert "generate" in failed
    assert b"zwielicht" not in traces.raw
    async with asyncio.timeout(HUNG_SECONDS):
        while problem["trace_id"] not in (stack.home / "logs" / "api.log").read_text():
            await asyncio.sleep(0.1)  # the API writes its log once a second


async def test_a_batch_is_one_trace_with_a_span_for_each_generation(
    stack: StackUnderTest, traces: OtlpReceiver, tmp_path: Path
) -> None:
    file = tmp_path / "dusk.yaml"
    common = {key: value for key, value in ORDER.items() if key != "prompt"}
    file.write_text(json.dumps({"prompts": [f"{PROMPT} {n}" for n in "12"], "common": common}))
    done = await stack.anime("batch", str(file), "--json")
    assert done.returncode == 0, done.stderr
    spans = await asyncio.to_thread(
        traces.until, lambda spans: "batch" in {each.name for each in spans}
    )
    [run] = [each for each in spans if each.name == "batch"]
    generations = [each for each in spans if each.name == "generation"]
    assert {each.parent for each in generations} == {run.span_id}
    assert {each.trace_id for each in generations} == {run.trace_id}
    jobs = {each.attributes["anime.job.id"] for each in generations}
    assert {(await stack.job(job_id))["trace_id"] for job_id in jobs} == {run.trace_id}
    steps = {each.parent for each in spans if each.name == "record"}
    assert len(jobs) == 2
    assert {each.span_id for each in generations} <= steps
    assert PROMPT.encode() not in traces.raw


def _parent_of(span: ReceivedSpan, named: dict[str, ReceivedSpan]) -> str | None:
    return next((name for name, each in named.items() if each.span_id == span.parent), None)


def _logged(stack: StackUnderTest, part: str, job_id: str) -> set[str]:
    """The traces that the part's log lines about a job name."""
    lines = (stack.home / "logs" / f"{part}.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]  # Prefect greets as text
    return {line["trace_id"] for line in told if line.get("job_id") == job_id}
