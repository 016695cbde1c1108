"""python -m benchmarks.sweep: measure sweeps and searches, print and save."""

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
from benchmarks import report, until_ended
from benchmarks.report import Reach, Row
from benchmarks.search import insert_more_rows, insert_rows, measure_searches
from benchmarks.sweep.bare import BareDatabase
from benchmarks.sweep.effort import SweepEffort
from benchmarks.sweep.sweeping import (
    Workspace,
    measure_again,
    measure_known,
    measure_new,
    memory_rows,
)
from tests.support.embedded import embedded_postgres

MAX_CHANGE = 1.2  # of a sweep's time by rows that do not concern it
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

    workspace = Path(tempfile.mkdtemp(prefix="anime-bench-sweep-", dir=folder))
    try:
        until_ended.run(_measure(workspace, effort, show))
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
        if found:
            typer.echo(f"Written to {report.write(found, asdict(effort))}")


async def _measure(folder: Path, effort: SweepEffort, show: Show) -> None:
    async with embedded_postgres(folder / "postgresql") as urls:
        await upgrade(urls.database)
        bare_url = make_url(urls.database).set(drivername="postgresql")
        bare = BareDatabase(bare_url.render_as_string(hide_password=False))
        workspace = Workspace(folder, urls.database, bare)
        new, few = await measure_new(workspace, effort)
        show("new files", new)
        known, many = await measure_known(workspace, effort)
        show("known files", [*known, *memory_rows(few, many)])
        show("many rows", await _measure_among_rows(workspace, effort, before=known[0].ours))


async def _measure_among_rows(
    workspace: Workspace, effort: SweepEffort, *, before: float
) -> list[Row]:
    """Searches and a sweep that finds nothing, with very many rows, and with rows not vacuumed."""
    await insert_rows(workspace.url, effort.rows)
    many = f"{effort.rows:,} rows"
    again, after = await measure_again(workspace, effort, f" beside {many}")
    rows = [
        again,
        Row("the same, beside without them, s", after, before, Reach(MAX_CHANGE, by_ratio=True)),
        *await measure_searches(workspace.url),
    ]
    await insert_more_rows(workspace.url, effort.rows, effort.late_rows)
    late = f", {effort.late_rows:,} rows later"
    again, later = await measure_again(workspace, effort, late)
    change = Row("the same, beside before, s", later, after, Reach(MAX_CHANGE, by_ratio=True))
    return [*rows, again, change, *await measure_searches(workspace.url, late)]


if __name__ == "__main__":
    try:
        app(prog_name="python -m benchmarks.sweep")
    except AnimeError as error:
        print_error(error)
        sys.exit(1)
