"""A batch: how busy ComfyUI is from its first frame to its last."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from anime.errors import StackError
from benchmarks.effort import Effort
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio, seconds_allowed
from benchmarks.through_api import render_through_api
from benchmarks.timing import Span, busy_seconds, wall_seconds

RenderAll = Callable[[Studio, int, float], Awaitable[None]]
REACHES = {1.0: 0.98, 0.25: 0.90}


@dataclass
class Series:
    """What one side did in all rounds; times in seconds."""

    busy: float = 0.0
    wall: float = 0.0
    whole: float = 0.0
    gaps: int = 0

    def add(self, spans: list[Span], whole: float) -> None:
        """Count one more round."""
        self.busy += busy_seconds(spans)
        self.wall += wall_seconds(spans)
        self.whole += whole
        self.gaps += len(spans) - 1

    @property
    def busy_ratio(self) -> float:
        """The share of the time that ComfyUI was busy."""
        return self.busy / self.wall

    @property
    def gap_ms(self) -> float:
        """How long it waited between two renders, on average, in milliseconds."""
        return (self.wall - self.busy) / self.gaps * 1000


@dataclass
class Comparison:
    """Both sides of one series."""

    ours: Series = field(default_factory=Series)
    bare: Series = field(default_factory=Series)


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """Busy time by wall time, for each length of a render."""
    render_all, path = await _our_path(studio)
    rows = []
    for seconds in effort.seconds:
        comparison = Comparison()
        for _ in range(effort.rounds):
            await _one_round(studio, comparison, render_all, effort.renders, seconds)
        rows += _rows(comparison, effort, seconds, path)
    return rows


async def _one_round(
    studio: Studio, comparison: Comparison, render_all: RenderAll, number: int, seconds: float
) -> None:
    """Render the same number of pictures both ways, one way after the other."""

    async def bare(studio: Studio, number: int, seconds: float) -> None:
        graphs = [studio.graph(seconds) for _ in range(number)]
        await studio.bare.render(graphs, seconds_allowed(number, seconds))

    for series, work in ((comparison.bare, bare), (comparison.ours, render_all)):
        before = await studio.newest_spans(number)
        began = time.monotonic()
        await work(studio, number, seconds)
        whole = time.monotonic() - began
        after = await studio.newest_spans(number)
        spans = [span for key, span in after.items() if key not in before]
        if len(spans) != number:
            raise StackError(
                f"ComfyUI has {len(spans)} new renders in its history, not {number}.",
                "Measure on a server that nobody else uses.",
            )
        series.add(spans, whole)


async def _our_path(studio: Studio) -> tuple[RenderAll, str]:
    """How we render many, and its name: one batch, or single requests where it is not known."""
    known = await studio.stack.anime("batch", "--help")
    return (
        (render_by_batch, "anime batch")
        if known.returncode == 0
        else (_by_requests, "single POSTs")
    )


async def render_by_batch(studio: Studio, number: int, seconds: float) -> None:
    """Render through `anime batch`.

    Raises:
        StackError: the command failed.
    """
    requests = [studio.request(seconds) for _ in range(number)]
    file = studio.stack.folder / "batch.yaml"  # JSON is YAML
    listed = [request.model_dump(mode="json", exclude_defaults=True) for request in requests]
    file.write_text(json.dumps({"requests": listed}))
    allowed = seconds_allowed(number, seconds)
    done = await studio.stack.anime("batch", str(file), timeout_seconds=allowed)
    if done.returncode:
        raise StackError(f"`anime batch` failed: {done.stderr}", "See the log of the worker.")


async def _by_requests(studio: Studio, number: int, seconds: float) -> None:
    """Render through as many requests to the API."""
    await render_through_api(studio, number, seconds)


def _rows(comparison: Comparison, effort: Effort, seconds: float, path: str) -> list[Row]:
    ours, bare = comparison.ours, comparison.bare
    limit = REACHES.get(seconds)
    size = f"{effort.renders} × {seconds:g} s"
    return [
        Row(
            f"batch of {size}: ComfyUI busy / wall",
            ours.busy_ratio,
            bare.busy_ratio,
            Reach(limit, at_least=True) if limit else None,
            path,
        ),
        Row(f"batch of {size}: idle between two renders, ms", ours.gap_ms, bare.gap_ms),
        Row(
            f"batch of {size}: asked → last file kept, s",
            ours.whole / effort.rounds,
            bare.whole / effort.rounds,
        ),
    ]
