"""python -m benchmarks.sweep: measure sweeps and searches, print, write down."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url

from anime.cli.terminal import print_error
from anime.db.migrate import upgrade
from anime.errors import AnimeError
from anime.stack.postgres import embedded_postgres
from benchmarks import report
from benchmarks.report import Reach, Row
from benchmarks.search import add, fill, searched
from benchmarks.sweep.bare import BareDatabase
from benchmarks.sweep.effort import SweepEffort
from benchmarks.sweep.sweeping import Yard, measure_again, measure_known, measure_new, memory_rows

MOST_CHANGE = 1.2  # of a sweep's time by rows that it has nothing to do with
_USUAL = SweepEffort()
Show = Callable[[str, list[Row]], None]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def sweep(
    *,
    new_files: Annotated[int, typer.Option(min=100, help="New files.")] = _USUAL.new_files,
    kept_files: Annotated[int, typer.Option(min=100, help="Known files.")] = _USUAL.kept_files,
    rows: Annotated[int, typer.Option(min=1000, help="Rows to search in.")] = _USUAL.rows,
    rounds: Annotated[int, typer.Option(min=1, help="Times each is done.")] = _USUAL.rounds,
    folder: Annotated[Path | None, typer.Option(help="On the disk to measure; /tmp.")] = None,
) -> None:
    """Measure sweeps beside a bare script and `find`, their memory, and every kind of search."""
    effort = SweepEffort(new_files=new_files, kept_files=kept_files, rows=rows, rounds=rounds)
    found: dict[str, list[Row]] = {}

    def show(name: str, rows: list[Row]) -> None:
        found[name] = rows
        report.show(name, rows)

    yard = Path(tempfile.mkdtemp(prefix="anime-bench-sweep-", dir=folder))
    try:
        asyncio.run(_measure(yard, effort, show))
    finally:
        shutil.rmtree(yard, ignore_errors=True)
        if found:
            typer.echo(f"Written to {report.write(found, asdict(effort))}")


async def _measure(folder: Path, effort: SweepEffort, show: Show) -> None:
    async with embedded_postgres(folder / "postgresql") as urls:
        await upgrade(urls.database)
        bare_url = make_url(urls.database).set(drivername="postgresql")
        bare = BareDatabase(bare_url.render_as_string(hide_password=False))
        yard = Yard(folder, urls.database, bare)
        new, few = await measure_new(yard, effort)
        show("new files", new)
        known, many = await measure_known(yard, effort)
        show("known files", [*known, *memory_rows(few, many)])
        show("many rows", await _measure_among_rows(yard, effort, before=known[0].ours))


async def _measure_among_rows(yard: Yard, effort: SweepEffort, *, before: float) -> list[Row]:
    """Searches and the sweep that finds nothing, with very many rows, and with fresh ones."""
    await fill(yard.url, effort.rows)
    many = f"{effort.rows:,} rows"
    again, after = await measure_again(yard, effort, f" beside {many}")
    rows = [
        again,
        Row("the same, beside without them, s", after, before, Reach(MOST_CHANGE, by_ratio=True)),
        *await searched(yard.url),
    ]
    await add(yard.url, effort.rows, effort.late_rows)
    late = f", {effort.late_rows:,} rows later"
    again, later = await measure_again(yard, effort, late)
    change = Row("the same, beside before, s", later, after, Reach(MOST_CHANGE, by_ratio=True))
    return [*rows, again, change, *await searched(yard.url, late)]


if __name__ == "__main__":
    try:
        app(prog_name="python -m benchmarks.sweep")
    except AnimeError as error:
        print_error(error)
        sys.exit(1)
