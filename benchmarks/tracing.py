"""What traces cost: batches of a stack without them and of one that sends them, in turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from benchmarks.batch import render_by_batch
from benchmarks.cost import RENDER_SECONDS, Cost, Meter
from benchmarks.effort import Effort
from benchmarks.relay import Traffic
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio, open_studio
from tests.support.otlp_receiver import otlp_receiver

MOST = 1.03  # times the cost without traces
ROUNDS = 4
FIRST_PICTURES = 10  # the first import and compile


@dataclass
class Side:
    """One of the two stacks, and what each of its rounds cost."""

    studio: Studio
    costs: list[Cost] = field(default_factory=list)

    async def render(self, number: int) -> None:
        """Render a batch, and count what it costs."""
        with Meter(self.studio, self.studio, Traffic()).counting(number) as cost:
            await render_by_batch(self.studio, number, RENDER_SECONDS)
        self.costs.append(cost)

    @property
    def cpu_ms(self) -> float:
        """Of a generation, everything but ComfyUI counted."""
        return 1000 * median(cost.our_cpu_seconds for cost in self.costs)

    @property
    def a_second(self) -> float:
        """Generations a second."""
        return median(cost.pictures / cost.seconds for cost in self.costs)


async def measure(effort: Effort) -> list[Row]:
    """Processor time and speed of a generation with traces, beside the same without."""
    async with _both_sides() as (without, traced):
        for side in (without, traced):
            await render_by_batch(side.studio, FIRST_PICTURES, RENDER_SECONDS)
        for _ in range(ROUNDS):
            for side in (without, traced):
                await side.render(effort.cost_renders)
    size = f"batch of {effort.cost_renders} × {RENDER_SECONDS:g} s"
    note = f"the other column is without traces; medians of {ROUNDS} rounds"
    return [
        Row(
            f"{size}: CPU of a generation, ms",
            traced.cpu_ms,
            without.cpu_ms,
            Reach(MOST, by_ratio=True),
            note,
        ),
        Row(
            f"{size}: generations a second",
            traced.a_second,
            without.a_second,
            Reach(1 / MOST, at_least=True, by_ratio=True),
        ),
    ]


@asynccontextmanager
async def _both_sides() -> AsyncIterator[tuple[Side, Side]]:
    with otlp_receiver() as collector:
        async with (
            open_studio() as without,
            open_studio(ANIME_OTLP_ENDPOINT=collector.url) as traced,
        ):
            yield Side(without), Side(traced)
            if not collector.spans:
                raise AssertionError("No span has come: nothing was measured.")
