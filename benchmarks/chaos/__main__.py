"""python -m benchmarks.chaos: run, print the report; exit 1 if an invariant does not hold."""

import shutil
import sys
import tempfile
from collections import Counter
from math import inf
from pathlib import Path
from secrets import randbelow
from typing import Annotated

import typer

from anime.cli.terminal import print_error
from anime.errors import AnimeError
from benchmarks import until_ended
from benchmarks.chaos.invariants import jobs_by_prompt
from benchmarks.chaos.run import ChaosOptions, ChaosReport, chaos

SEEDS = 1_000_000
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    generations: Annotated[int, typer.Option(min=4)] = 1000,
    seed: Annotated[int | None, typer.Option(help="Any if unset; it is printed.")] = None,
    servers: Annotated[int, typer.Option(min=1, max=64)] = 3,
    every_seconds: Annotated[float, typer.Option(min=0.5, help="Between disturbances.")] = 4.0,
    render_seconds: Annotated[float, typer.Option(min=0.1, help="Of one render.")] = 1.5,
    *,
    disturbing_seconds: Annotated[
        float, typer.Option(min=1, help="Then all is left alone; until the last end if unset.")
    ] = inf,
    keep: Annotated[bool, typer.Option("--keep", help="Keep logs and files in any case.")] = False,
) -> None:
    """Generations over rehearsal servers while every part is killed, stopped and cut off."""
    options = ChaosOptions(
        seed=randbelow(SEEDS) if seed is None else seed,
        generations=generations,
        servers=servers,
        every_seconds=every_seconds,
        render_seconds=render_seconds,
        disturbing_seconds=disturbing_seconds,
    )
    typer.echo(f"Seed {options.seed}: {generations} generations, {servers} servers")
    folder = Path(tempfile.mkdtemp(prefix="anime-chaos-"))
    report = until_ended.run(chaos(options, folder, typer.echo))
    typer.echo(as_text(report))
    if keep or report.violations:
        typer.echo(f"Logs and files: {folder}")
    else:
        shutil.rmtree(folder)
    raise typer.Exit(bool(report.violations))


def as_text(report: ChaosReport) -> str:
    """The report as it is printed."""
    options, outcome = report.options, report.outcome
    done = Counter(f"{each.action} {each.part}" for each in report.done)
    states = Counter(job.status for job in outcome.jobs)
    ours = jobs_by_prompt(job.id for job in outcome.jobs)  # others are canaries
    ends = Counter(
        line.server
        for line in outcome.prompts
        if line.event == "succeeded" and line.prompt_id in ours
    )
    lines = [
        f"Seed {options.seed}: {options.generations} generations in {report.seconds:.0f} s",
        f"Disturbances: {len(report.done)} ({_counts(done)})",
        f"Jobs: {_counts(states)}",
        f"Rendered to the end: {sum(ends.values())} ({_counts(ends)})",
        *(f"VIOLATED  {violation}" for violation in report.violations),
        "Every invariant holds." if not report.violations else "Repeat it with this seed.",
    ]
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counter.items()))


if __name__ == "__main__":
    try:
        app(prog_name="python -m benchmarks.chaos")
    except AnimeError as error:
        print_error(error)
        sys.exit(1)
