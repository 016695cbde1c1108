"""What a generation costs: processor time of everything, and what ComfyUI is asked for."""

import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from benchmarks.bare_client import BareClient
from benchmarks.batch import render_by_batch
from benchmarks.effort import Effort
from benchmarks.floor import floor_in
from benchmarks.relay import Traffic, relay_to
from benchmarks.report import Row
from benchmarks.studio import Studio, open_studio, seconds_allowed

RENDER_SECONDS = 0.05
SINGLE_PICTURES = 5
COMMAND, COMFYUI, REHEARSAL = "anime batch", "ComfyUI", "rehearsal"
EMPTY_FLOWS = 60
PREFECT_PARTS = ("prefect", "postgresql")
FETCHES = "view"  # the path at which pictures are fetched


@dataclass
class Cost:
    """What rendering so many pictures took. `cpu_seconds` by the part that spent them."""

    pictures: int
    seconds: float = 0.0
    cpu_seconds: Counter[str] = field(default_factory=Counter)
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def our_cpu_seconds(self) -> float:
        """Of all parts but ComfyUI, for one picture."""
        return (self.cpu_seconds.total() - self.cpu_seconds[COMFYUI]) / self.pictures

    @property
    def requests(self) -> float:
        """To ComfyUI for one picture, without those that fetch it."""
        asked = self.traffic.requests
        return (asked.total() - asked[FETCHES]) / self.pictures

    @property
    def answers_kb(self) -> float:
        """What ComfyUI sends for one picture beside it, in kB."""
        answered = self.traffic.answered_bytes
        return (answered.total() - answered[FETCHES]) / self.pictures / 1000


@dataclass(frozen=True)
class Meter:
    """What is counted: the parts of `watched`, and the ComfyUI behind `traffic`, of `studio`."""

    studio: Studio
    watched: Studio
    traffic: Traffic

    @contextmanager
    def counting(self, pictures: int) -> Iterator[Cost]:
        """What the block costs, complete when it has ended."""
        cost, began = Cost(pictures), time.monotonic()
        cpu, traffic = self._cpu_seconds(), self.traffic.copy()
        yield cost
        cost.seconds = time.monotonic() - began
        cost.cpu_seconds = self._cpu_seconds()
        cost.cpu_seconds.subtract(cpu)
        cost.traffic = self.traffic.since(traffic)

    def _cpu_seconds(self) -> Counter[str]:
        record, comfyui = self.watched.stack.record, self.studio.stack.record.parts[REHEARSAL]
        parts = {name: cpu_seconds(part.pid) for name, part in record.parts.items()}
        commands = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = {COMMAND: commands.ru_utime + commands.ru_stime, COMFYUI: cpu_seconds(comfyui.pid)}
        return Counter(parts | ended)


def cpu_seconds(pid: int) -> float:
    """What the process, its descendants, and those that have ended have used; 0 once it is gone."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """A batch, single pictures and the bare client, all through a relay that counts."""
    number = effort.cost_renders
    allowed = seconds_allowed(number, RENDER_SECONDS)
    async with (
        relay_to(studio.stack.record.settings["comfyui_url"]) as relay,
        open_studio(studio.stack.checkout, ANIME_COMFYUI_URL=relay.url) as watched,
        BareClient(relay.url, watched.stack.folder / "bare") as bare_client,
    ):
        meter = Meter(studio, watched, relay.traffic)
        await _single_pictures(watched)  # the first imports and compiles
        with meter.counting(number) as batch:
            await render_by_batch(watched, number, RENDER_SECONDS)
        with meter.counting(SINGLE_PICTURES) as single:
            await _single_pictures(watched)
        graphs = [watched.graph(RENDER_SECONDS) for _ in range(number)]
        with meter.counting(number) as bare:
            await bare_client.render(graphs, allowed)
        with meter.counting(EMPTY_FLOWS) as empty:
            flow_seconds = await floor_in(watched, EMPTY_FLOWS)
    return [*_rows(batch, single, bare), _floor_row(empty, flow_seconds)]


async def _single_pictures(studio: Studio) -> None:
    for _ in range(SINGLE_PICTURES):
        job = await studio.submit(studio.request(RENDER_SECONDS))
        await studio.endings.wait_for([job.job_id], seconds_allowed(1, RENDER_SECONDS))


def _rows(batch: Cost, single: Cost, bare: Cost) -> list[Row]:
    size = f"batch of {batch.pictures} × {RENDER_SECONDS:g} s"
    parts = batch.cpu_seconds.keys() - {COMFYUI}
    return [
        Row(f"{size}: generations a second", batch.pictures / batch.seconds),
        Row(
            f"{size}: CPU of a generation, everything but ComfyUI, ms", batch.our_cpu_seconds * 1e3
        ),
        *(
            Row(f"   of it {name}, ms", batch.cpu_seconds[name] / batch.pictures * 1e3)
            for name in sorted(parts)
        ),
        _comfyui_row(size, batch, bare),
        *_traffic_rows("a picture of the batch", batch, bare),
        _comfyui_row("single pictures", single, bare),
        *_traffic_rows("a single picture", single, bare),
    ]


def _floor_row(empty: Cost, flow_seconds: float) -> Row:
    """What Prefect takes for itself, so that ours can be seen beside it."""
    of_server = sum(empty.cpu_seconds[part] for part in PREFECT_PARTS)
    cost_ms = (flow_seconds + of_server) / empty.pictures * 1e3
    return Row("an empty flow with five tasks, by Prefect alone: CPU of one, ms", cost_ms)


def _comfyui_row(what: str, cost: Cost, bare: Cost) -> Row:
    ours, other = (each.cpu_seconds[COMFYUI] / each.pictures * 1e3 for each in (cost, bare))
    return Row(f"{what}: CPU of ComfyUI's process for one, ms", ours, other)


def _traffic_rows(what: str, cost: Cost, bare: Cost) -> list[Row]:
    asked = ", ".join(
        f"{path} {n / cost.pictures:.1f}" for path, n in cost.traffic.requests.items()
    )
    return [
        Row(f"{what}: requests to ComfyUI", cost.requests, bare.requests, None, f"{what}: {asked}"),
        Row(
            f"{what}: connections to it",
            cost.traffic.connections / cost.pictures,
            bare.traffic.connections / bare.pictures,
        ),
        Row(f"{what}: answers beside the picture, kB", cost.answers_kb, bare.answers_kb),
    ]
