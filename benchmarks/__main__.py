"""python -m benchmarks [NAME …]: measure, print and save."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anime.cli.terminal import print_error
from anime.errors import AnimeError
from benchmarks import (
    backup,
    batch,
    corpus,
    cost,
    events,
    idle,
    latency,
    memory,
    report,
    search,
    shots,
    startup,
    status,
    submit,
    throughput,
    tracing,
    until_ended,
)
from benchmarks.against import checked_checkout, measure_against
from benchmarks.effort import FULL, CorpusPlace, Effort
from benchmarks.report import Row
from benchmarks.studio import Studio, open_studio

Benchmark: TypeAlias = Callable[[Studio, Effort], Awaitable[list[Row]]]

# In this order: idle before anything has run, those that leave much behind at the end.
BENCHMARKS: dict[str, Benchmark] = {
    "idle": idle.measure,
    "latency": latency.measure,
    "status": status.measure,
    "events": events.measure,
    "batch": batch.measure,
    "cost": cost.measure,
    "throughput": throughput.measure,
    "memory": memory.measure,
    "startup": startup.measure,
    "submit": submit.measure,
}
# Need no studio, but many minutes or files of yours: they run only if they are named.
STANDALONE: dict[str, Callable[[Effort], Awaitable[list[Row]]]] = {
    "search": lambda effort: search.measure(effort.rows),
    "shots": lambda _: shots.measure(),
    "backup": lambda effort: backup.measure(effort.rows),
    "tracing": tracing.measure,
    "corpus": lambda effort: corpus.measure(effort.corpus),
}
NAMES = ", ".join(BENCHMARKS | STANDALONE)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def benchmarks(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Of {NAMES}; all but the last five if none.")
    ] = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="In the sizes of the goals.")] = False,
    renders: Annotated[int | None, typer.Option(min=2, help="Renders in a batch.")] = None,
    seconds: Annotated[
        list[float] | None, typer.Option(min=0.05, help="Of one render in a batch; repeatable.")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=8, help="Separate runs for throughput.")] = None,
    generations: Annotated[int | None, typer.Option(min=10, help="For the memory.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="CHECKOUT", help="Another checkout, measured in turn with this one."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1000, help="Of files, for search and backup.")
    ] = None,
    templates: Annotated[
        str, typer.Option(metavar="FOLDER|PACKAGE==VERSION", help="Workflows, for the corpus.")
    ] = "",
    object_info: Annotated[
        str, typer.Option(metavar="FILE|URL", help="Node classes, for the corpus.")
    ] = "",
    samples: Annotated[
        str, typer.Option(metavar="FOLDER", help="What the editor exports, for the corpus.")
    ] = "",
) -> None:
    """Measure our path beside a bare client of the same ComfyUI (ANIME_COMFYUI_URL, or ours)."""
    chosen = [name for name in BENCHMARKS | STANDALONE if name in (names or BENCHMARKS)]
    if unknown := sorted(set(names or ()) - set(chosen)):
        raise typer.BadParameter(f"{', '.join(unknown)}: there is {NAMES}.")
    usual = FULL if full else Effort()
    effort = replace(
        usual,
        renders=renders or usual.renders,
        seconds=tuple(seconds or usual.seconds),
        runs=runs or usual.runs,
        generations=generations or usual.generations,
        rows=rows or usual.rows,
        corpus=CorpusPlace(templates, object_info, samples),
    )
    checkout = checked_checkout(against) if against else None
    until_ended.run(_measure(chosen, effort, checkout))


async def _measure(names: Sequence[str], effort: Effort, checkout: Path | None) -> None:
    """Measure one after the other, and save what there is even if one fails."""
    found: dict[str, list[Row]] = {}
    try:
        for name in [name for name in names if name in STANDALONE]:
            found[name] = await STANDALONE[name](effort)
            report.show(name, found[name])
        in_studio = [name for name in names if name in BENCHMARKS]
        if checkout is not None:
            for name in in_studio:
                found[name] = await measure_against(checkout, BENCHMARKS[name], effort)
                report.show(name, found[name])
        elif in_studio:
            async with open_studio() as studio:
                for name in in_studio:
                    found[name] = await BENCHMARKS[name](studio, effort)
                    report.show(name, found[name])
    finally:
        if found:
            typer.echo(f"Written to {report.write(found, asdict(effort))}")


if __name__ == "__main__":
    try:
        app(prog_name="python -m benchmarks")
    except AnimeError as error:
        print_error(error)
        sys.exit(1)
