"""One picture on an idle stack: how long we delay it before and after its render."""

import asyncio
from dataclasses import dataclass

from anime.errors import StackError
from benchmarks.effort import Effort
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio, seconds_allowed
from benchmarks.timing import Span, percentile

RENDER_SECONDS = 1.0
PAUSE_SECONDS = 1.2
# Each time at another moment between two polls of whatever polls once a second.
PAUSE_SHIFT_SECONDS = 0.37


@dataclass(frozen=True, slots=True)
class Latency:
    """The delays of one picture, in milliseconds."""

    to_comfyui: float
    to_end: float
    whole: float


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """One request after another, ours and bare in turn."""
    ours, bare = [], []
    await _our_render(studio)  # the first render imports and compiles
    for number in range(effort.requests):
        bare.append(await _bare_render(studio))
        await asyncio.sleep(PAUSE_SECONDS + number * PAUSE_SHIFT_SECONDS % 1)
        ours.append(await _our_render(studio))
    return _rows(ours, bare)


async def _our_render(studio: Studio) -> Latency:
    """Through the API, up to the terminal event.

    Raises:
        StackError: the event came before the row was committed.
    """
    job = await studio.submit(studio.request(RENDER_SECONDS))
    ended = await studio.endings.wait_for([job.job_id], seconds_allowed(1, RENDER_SECONDS))
    if not await studio.is_completed(job.job_id):
        raise StackError(f"The end of job {job.job_id} was published before it was committed.")
    span = await studio.span_of_job(job.job_id)
    return _latency(job.sent_at, job.accepted_at, span, ended[job.job_id])


async def _bare_render(studio: Studio) -> Latency:
    """Directly to ComfyUI, up to the file; nobody accepts it before ComfyUI does."""
    graphs = [studio.graph(RENDER_SECONDS)]
    [render] = await studio.bare.render(graphs, seconds_allowed(1, RENDER_SECONDS))
    span = await studio.span_of_prompt(render.prompt_id)
    return _latency(render.sent_at, render.sent_at, span, render.fetched_at)


def _latency(sent_at: float, accepted_at: float, span: Span, kept_at: float) -> Latency:
    return Latency(
        to_comfyui=(span.start - accepted_at) * 1000,
        to_end=(kept_at - span.end) * 1000,
        whole=(kept_at - sent_at) * 1000,
    )


def _rows(ours: list[Latency], bare: list[Latency]) -> list[Row]:
    def row(what: str, name: str, percent: float, limit: float | None = None) -> Row:
        mine, other = (
            percentile([getattr(latency, name) for latency in latencies], percent)
            for latencies in (ours, bare)
        )
        return Row(f"{what}, p{percent:g}, ms", mine, other, Reach(limit) if limit else None)

    start, end = "accepted → prompt at ComfyUI", "ComfyUI finished → terminal event"
    whole = f"one render of {RENDER_SECONDS:g} s: submitted → recorded"
    return [
        row(start, "to_comfyui", 50, 400),
        row(start, "to_comfyui", 95, 1000),
        row(end, "to_end", 50, 300),
        row(end, "to_end", 95),
        row(whole, "whole", 50),
    ]
