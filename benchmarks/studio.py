"""The studio under measurement: a stack of its own, its clients, and equal work for both sides."""

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import httpx

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.workflow_templates import load_template
from anime.core.graphs import Graph
from anime.core.ids import prompt_id_of
from anime.core.workflow_build import Template, build
from anime.errors import StackError
from anime.schemas import Accepted, GenerationRequest
from anime.settings import PROJECT_DIR, SHIPPED_WORKFLOWS, load_settings
from benchmarks.bare_client import BareClient
from benchmarks.endings import Endings, listen_for_endings
from benchmarks.timing import Span, render_span
from tests.support.stack import RunningStack, running

STEP_SECONDS = 0.05  # of the rehearsal server; a render takes as many as make its time
SIZE_PX = 64  # the smallest size: drawing costs CPU time that a GPU would not
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request that the API accepted; times in seconds since the epoch."""

    job_id: UUID
    sent_at: float
    accepted_at: float


@dataclass(frozen=True)
class Studio:
    """A running stack and the clients of a benchmark. `seeds` never repeat one."""

    stack: RunningStack
    http: httpx.AsyncClient
    comfyui: httpx.AsyncClient
    bare: BareClient
    endings: Endings
    template: Template
    model: str
    seeds: Iterator[int] = field(default_factory=lambda: count(1))

    def request(self, seconds: float) -> GenerationRequest:
        """A new request, whose render takes that long on the rehearsal server."""
        return GenerationRequest(
            prompt="a lighthouse keeper counting the seconds between two flashes",
            model=self.model,
            width=SIZE_PX,
            height=SIZE_PX,
            steps=max(1, round(seconds / STEP_SECONDS)),
            seed=next(self.seeds),
        )

    def graph(self, seconds: float) -> Graph:
        """The graph of such a request, for the bare client."""
        request = self.request(seconds)
        prefix = f"bare/{uuid4().hex}"
        return build(self.template, request, seed=request.seed or 0, filename_prefix=prefix)

    async def submit(self, request: GenerationRequest) -> Submitted:
        """The job that the API makes of it."""
        sent_at = time.time()
        reply = await self.http.post(
            "/api/anime/generate", json=request.model_dump(mode="json", exclude_defaults=True)
        )
        accepted_at = time.time()
        accepted = Accepted.model_validate_json(reply.raise_for_status().content)
        return Submitted(accepted.job_id, sent_at, accepted_at)

    async def is_completed(self, job_id: UUID) -> bool:
        """Whether the job's row says that it is completed."""
        job = (await self.http.get(f"/api/anime/jobs/{job_id}")).raise_for_status().json()
        return bool(job["status"] == "completed")

    async def span_of_job(self, job_id: UUID) -> Span:
        """When ComfyUI worked on the job's first attempt."""
        return await self.span_of_prompt(str(prompt_id_of(job_id, 1)))

    async def span_of_prompt(self, prompt_id: str) -> Span:
        """When ComfyUI worked on the prompt.

        Raises:
            StackError: its history has no successful end of it.
        """
        entries = (await self.comfyui.get(f"/history/{prompt_id}")).raise_for_status().json()
        span = render_span(entries.get(prompt_id, {}))
        if span is None:
            raise StackError(f"Prompt {prompt_id} did not end well.", "See ComfyUI's log.")
        return span

    async def newest_spans(self, number: int) -> dict[str, Span]:
        """When ComfyUI worked on its last prompts, by their ids, if they succeeded."""
        reply = await self.comfyui.get("/history", params={"max_items": number})
        spans = {key: render_span(entry) for key, entry in reply.raise_for_status().json().items()}
        return {key: span for key, span in spans.items() if span}


def new_stack(folder: Path, checkout: Path = PROJECT_DIR, **more: str) -> RunningStack:
    """A stack in that folder, not yet started, on the ComfyUI of the environment or its own."""
    settings = load_settings(home=folder)  # so that no running stack of the caller is found
    given = {"ANIME_REHEARSAL_STEP_SECONDS": str(STEP_SECONDS)}
    if settings.comfyui_url:
        given["ANIME_COMFYUI_URL"] = settings.comfyui_urls[0]
    return RunningStack(folder, {**given, **more}, checkout=checkout)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, deleted after the block; if the block fails, it stays for its logs."""
    folder = Path(tempfile.mkdtemp(prefix="anime-bench-"))
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def open_studio(checkout: Path = PROJECT_DIR, **more: str) -> AsyncIterator[Studio]:
    """A studio, whose stack of that checkout runs as long as the block lasts."""
    with scratch_folder() as folder:
        async with (
            running(new_stack(folder, checkout, **more)) as stack,
            _client(stack.record.parts["api"].url) as http,
            _client(stack.record.settings["comfyui_url"]) as comfyui,
            listen_for_endings(stack.record.settings["redis_url"]) as endings,
            BareClient(stack.record.settings["comfyui_url"], folder / "bare") as bare,
        ):
            yield Studio(
                stack=stack,
                http=http,
                comfyui=comfyui,
                bare=bare,
                endings=endings,
                template=load_template("txt2img", SHIPPED_WORKFLOWS),
                model=await _first_checkpoint(stack.record.settings["comfyui_url"]),
            )


def seconds_allowed(renders: int, seconds: float) -> float:
    """A time-out for that many renders of that many seconds each, even by a slow worker."""
    return 60 + renders * (seconds + 8)


def _client(url: str | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url or "", timeout=TIMEOUT_SECONDS, trust_env=False)


async def _first_checkpoint(url: str) -> str:
    async with ComfyUIClient(url) as comfyui:
        names = await comfyui.checkpoints()
    if not names:
        raise StackError(f"ComfyUI at {url} has no checkpoint.", "Put one into its models folder.")
    return names[0]
