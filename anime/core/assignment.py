"""Which server renders what: the one where it is expected to be finished first.

The line is gone through in its order. Each render takes the server that is expected to finish it
first, by the work that is there already, the load of its model unless the server holds it, and
what such renders have taken there. If that server has no free slot, it waits for one there: its
time counts as work of that server, and the next in line may take a slot that is free elsewhere.
Nobody waits for a server that holds the model for longer than the load would take: what is in line
may be the beginning of a long batch, for which more servers are worth it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from uuid import UUID

UNKNOWN_RENDER_SECONDS = 10.0  # until a first render has told
UNKNOWN_LOAD_SECONDS = 5.0  # SDXL in fp16 from the page cache took 4.3 s
_NEW_WEIGHT = 0.2  # at least, of a new render in the mean


@dataclass(frozen=True, slots=True)
class RenderEstimate:
    """What a render is expected to take at one server, and the load of its model besides."""

    seconds: float
    load_seconds: float


@dataclass(frozen=True, slots=True)
class LearnedCost:
    """What renders of one kind have cost at one server; `load_seconds` None until it is known."""

    renders: int
    mean_seconds: float
    load_seconds: float | None = None
    peak_vram_mb: int | None = None


@dataclass(frozen=True, slots=True)
class WaitingRender:
    """A render in line. `estimates` are those of the servers that can run it, by address."""

    job_id: UUID
    model: str
    estimates: Mapping[str, RenderEstimate]
    waited_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """A server that may be given renders. `work_seconds`: until it has done what it has."""

    url: str
    free_slots: int
    work_seconds: float
    loaded_model: str | None = None

    def seconds_for(self, render: WaitingRender) -> float:
        """What that render takes here, without what is done before it."""
        estimate = render.estimates[self.url]
        return estimate.seconds + (0.0 if self.holds(render) else estimate.load_seconds)

    def finish_seconds(self, render: WaitingRender) -> float:
        """In how many seconds the render would be finished here."""
        return self.work_seconds + self.seconds_for(render)

    def holds(self, render: WaitingRender) -> bool:
        """Whether the model of the render is loaded when it begins."""
        return not render.model or self.loaded_model == render.model

    def with_render(self, render: WaitingRender) -> "ServerLoad":
        """The load once that render is there, in a slot or waiting for one."""
        return replace(
            self,
            free_slots=max(0, self.free_slots - 1),
            work_seconds=self.finish_seconds(render),
            loaded_model=render.model or self.loaded_model,
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """A free slot for a render in line. `expected_seconds` is the render alone, with its load."""

    job_id: UUID
    server: str
    model: str
    holds_model: bool
    expected_seconds: float
    reason: str


def assign(line: Sequence[WaitingRender], servers: Sequence[ServerLoad]) -> list[Assignment]:
    """Who gets which of the free slots, in the order of the line.

    >>> estimates = {"a": RenderEstimate(2, 5), "b": RenderEstimate(1, 5)}
    >>> render = WaitingRender(UUID(int=1), "sdxl", estimates)
    >>> [given] = assign([render], [ServerLoad("a", 1, 0, "sdxl"), ServerLoad("b", 1, 0)])
    >>> given.server, given.reason
    ('a', 'it holds sdxl; expected in 2 s')
    """
    loads = {server.url: server for server in servers}
    given = []
    for render, server in _placed(line, loads):
        if server.free_slots:
            given.append(_assignment(render, server))
        if not any(load.free_slots for load in loads.values()):
            break
    return given


def finish_times(line: Sequence[WaitingRender], servers: Sequence[ServerLoad]) -> dict[UUID, float]:
    """In how many seconds each of the line is expected to be finished, if one can render it."""
    loads = {server.url: server for server in servers}
    return {render.job_id: server.finish_seconds(render) for render, server in _placed(line, loads)}


def estimate_of(url: str, costs: Mapping[str, LearnedCost]) -> RenderEstimate:
    """What a render takes at that server; what is not known of it is the mean of the others."""
    own = costs.get(url)
    seconds = own.mean_seconds if own else _mean([cost.mean_seconds for cost in costs.values()])
    load = own.load_seconds if own else None
    if load is None:
        load = _mean([each for cost in costs.values() if (each := cost.load_seconds) is not None])
    return RenderEstimate(
        UNKNOWN_RENDER_SECONDS if seconds is None else seconds,
        UNKNOWN_LOAD_SECONDS if load is None else load,
    )


def learned(
    cost: LearnedCost | None, *, seconds: float, had_model: bool, peak_vram_mb: int | None = None
) -> LearnedCost:
    """What is known after one more render. A cold one tells of the load, and a first one of all."""
    peak = max((each for each in (cost and cost.peak_vram_mb, peak_vram_mb) if each), default=None)
    if cost is None:
        return LearnedCost(1, seconds, None, peak)
    if had_model:
        mean = _moved(cost.mean_seconds, seconds, cost.renders)
        return replace(cost, renders=cost.renders + 1, mean_seconds=mean, peak_vram_mb=peak)
    load = max(0.0, seconds - cost.mean_seconds)
    if cost.load_seconds is not None:
        load = _moved(cost.load_seconds, load, cost.renders)
    return replace(cost, load_seconds=load, peak_vram_mb=peak)


def cost_of_steps(steps: int, known: Mapping[int, LearnedCost]) -> LearnedCost:
    """What a render of so many steps costs, by those of as many or of the nearest number.

    0 are renders whose steps were not told apart: they count where there is nothing else. All need
    the same memory, and take as long to load.

    >>> cost_of_steps(40, {20: LearnedCost(3, 10.0), 0: LearnedCost(9, 2.0)}).mean_seconds
    20.0
    """
    nearest = min(known, key=lambda each: (each == 0, abs(each - steps)))
    cost, peaks = known[nearest], [each.peak_vram_mb for each in known.values()]
    loads = [each.load_seconds for each in known.values() if each.load_seconds is not None]
    return replace(
        cost,
        mean_seconds=cost.mean_seconds * (steps / nearest if steps and nearest else 1.0),
        load_seconds=_mean(loads) if cost.load_seconds is None else cost.load_seconds,
        peak_vram_mb=max((each for each in peaks if each), default=None),
    )


def _placed(
    line: Sequence[WaitingRender], loads: dict[str, ServerLoad]
) -> Iterator[tuple[WaitingRender, ServerLoad]]:
    """Each render with the server it takes, as that was before; `loads` follows along."""
    for render in line:
        able = [loads[url] for url in render.estimates if url in loads]
        if not able:
            continue
        best = min(able, key=lambda load: _preference(load, render))
        loads[best.url] = best.with_render(render)
        yield render, best


def _preference(load: ServerLoad, render: WaitingRender) -> tuple[float, int, str]:
    """Less is better: the end first, with a load that was not waited out; among equals, no other's
    model is driven out.
    """
    end = load.finish_seconds(render)
    if load.holds(render):
        return end, 0, load.url
    waited_out = min(render.waited_seconds, render.estimates[load.url].load_seconds)
    return end - waited_out, 1 if load.loaded_model is None else 2, load.url


def _assignment(render: WaitingRender, server: ServerLoad) -> Assignment:
    holds = server.holds(render)
    why = f"it {'holds' if holds else 'is to load'} {render.model}; " if render.model else ""
    return Assignment(
        job_id=render.job_id,
        server=server.url,
        model=render.model,
        holds_model=holds,
        expected_seconds=server.seconds_for(render),
        reason=f"{why}expected in {server.finish_seconds(render):.0f} s",
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _moved(mean: float, new: float, count: int) -> float:
    return mean + (new - mean) * max(1 / (count + 1), _NEW_WEIGHT)
