"""One picture on an idle stack: how long we hold it up on its way in and out."""

import asyncio
from dataclasses import dataclass

from anime.errors import StackError
from benchmarks.effort import Effort
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio, seconds_allowed
from benchmarks.timing import Span, percentile

RENDER_SECONDS = 1.0
PAUSE_SECONDS = 1.2
# Whatever polls once a second is met at another moment each time.
PAUSE_SHIFT_SECONDS = 0.37


@dataclass(frozen=True, slots=True)
class Way:
    """One picture's way, in milliseconds."""

    to_comfyui: float
    to_end: float
    whole: float


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """Request by request, ours and bare in turn."""
    ours, bare = [], []
    await _our_way(studio)  # the first one ever imports and compiles
    for number in range(effort.requests):
        bare.append(await _bare_way(studio))
        await asyncio.sleep(PAUSE_SECONDS + number * PAUSE_SHIFT_SECONDS % 1)
        ours.append(await _our_way(studio))
    return _rows(ours, bare)


async def _our_way(studio: Studio) -> Way:
    """Through the API, up to the terminal event.

    Raises:
        StackError: the event came before the row was committed.
    """
    job = await studio.submit(studio.request(RENDER_SECONDS))
    ended = await studio.endings.of([job.job_id], seconds_allowed(1, RENDER_SECONDS))
    if not await studio.is_completed(job.job_id):
        raise StackError(f"The end of job {job.job_id} was told before it was written down.")
    span = await studio.span_of_job(job.job_id)
    return _way(job.sent_at, job.accepted_at, span, ended[job.job_id])


async def _bare_way(studio: Studio) -> Way:
    """Straight to ComfyUI, up to the file; nobody accepts it before ComfyUI does."""
    graphs = [studio.graph(RENDER_SECONDS)]
    [render] = await studio.bare.render(graphs, seconds_allowed(1, RENDER_SECONDS))
    span = await studio.span_of_prompt(render.prompt_id)
    return _way(render.sent_at, render.sent_at, span, render.fetched_at)


def _way(sent_at: float, accepted_at: float, span: Span, kept_at: float) -> Way:
    return Way(
        to_comfyui=(span.start - accepted_at) * 1000,
        to_end=(kept_at - span.end) * 1000,
        whole=(kept_at - sent_at) * 1000,
    )


def _rows(ours: list[Way], bare: list[Way]) -> list[Row]:
    def row(what: str, name: str, percent: float, limit: float | None = None) -> Row:
        mine, other = (
            percentile([getattr(way, name) for way in ways], percent) for ways in (ours, bare)
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
