"""`anime shots`: imports, lists, shows, exports and renders the shots of a project."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.request_parsing import parse_options
from anime.cli.terminal import as_json, line_of, print_json, print_note, print_result, print_table
from anime.core.labels import shorten
from anime.core.shots import ImportedShots, ShotRecord, ShotState
from anime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anime.core.shot_list import ListRow
    from anime.db.repositories import ShotQuery
    from anime.db.session import Database
    from anime.jobs.shots import ShotBatch, ShotRender

shots = typer.Typer(name="shots", help="Shots of a project, from a shot list to their takes.")
Project = Annotated[str, typer.Option(help="Name or slug of the project.")]
Episode = Annotated[str | None, typer.Option(help="Only those of this episode.")]
Scene = Annotated[str | None, typer.Option(help="Only those of this scene.")]
Status = Annotated[str | None, typer.Option(help="Only those of which the studio says this.")]
State = Annotated[
    list[ShotState] | None, typer.Option(help="Only those that are so far. May be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@shots.command(name="import")
def import_list(
    file: Annotated[Path, typer.Argument(metavar="LIST", help="CSV, .xlsx, .yaml or .otio.")],
    project: Project,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the list and say what it would change.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEADING=FIELD", help="What a column is; kept for the project. May be repeated."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Add the shots of a list, and change those that are there; nothing is deleted."""
    from anime.assets.shot_lists import format_of, rows_of_upload

    rows = asyncio.run(rows_of_upload(_read(file), format_of(file.name)))
    columns = dict(_column(text) for text in column or ())
    done = asyncio.run(_import(project, rows, columns, only_tries=dry_run))
    if json:
        print_json(done.model_dump(mode="json"))
        return
    for heading, field in done.columns.items():
        print_note(f"{heading} → {field}")
    if done.ignored:
        print_note(f"Ignored: {', '.join(done.ignored)}. Say what one is: --column HEADING=FIELD.")
    for fault in done.faults:
        print_note(fault)
    would = "would be " if dry_run else ""
    print_result(
        f"{done.added} {would}added, {done.changed} {would}changed, {done.unchanged} unchanged."
    )


@shots.command(name="list")
def list_all(
    project: Project,
    episode: Episode = None,
    scene: Scene = None,
    status: Status = None,
    state: State = None,
    json: Json = False,
) -> None:
    """List the shots in order, with how far their takes are."""
    query = _query("list", episode=episode, scene=scene, status=status)
    found = [shot for shot in asyncio.run(_all(project, query)) if not state or shot.state in state]
    if json:
        print_json(as_json(found))
        return
    print_table(
        ("shot", "episode", "scene", "state", "takes", "under way", "failed", "description"),
        [_row(shot) for shot in found],
    )


@shots.command()
def show(
    code: Annotated[str, typer.Argument(help="The shot's code.")],
    project: Project,
    json: Json = False,
) -> None:
    """Show one shot in full."""
    [shot] = asyncio.run(_all(project, _query("show"), [code]))
    if json:
        print_json(shot.model_dump(mode="json"))
        return
    facts = shot.model_dump(mode="json", exclude_none=True)
    print_table(
        ("", ""), [(name.replace("_", " "), line_of(value)) for name, value in facts.items()]
    )


@shots.command()
def export(
    project: Project,
    episode: Episode = None,
    scene: Scene = None,
    status: Status = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv|.otio|.pdf",
            help="A list, a timeline with the picked takes, or a contact sheet; a list on stdout"
            " if unset.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, max=1000, help="Frames of a second; as the style says if unset."),
    ] = None,
) -> None:
    """Write the shots as a list that `anime shots import` and spreadsheets read, or as .otio, .pdf.

    Nothing is overwritten.
    """
    query = _query("export", episode=episode, scene=scene, status=status)
    for path in asyncio.run(_export(project, query, output, rate)):
        print_result(str(path))


@shots.command()
def render(
    project: Project,
    code: Annotated[
        list[str] | None, typer.Argument(help="Codes of shots; all that fit if none.")
    ] = None,
    episode: Episode = None,
    scene: Scene = None,
    status: Status = None,
    state: State = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Those without a take that is not rejected.")
    ] = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="Those whose picked take was made from something else.")
    ] = False,
    takes: Annotated[
        int, typer.Option(min=1, max=100, help="Of each shot; rejected ones do not count.")
    ] = 1,
    json: Json = False,
) -> None:
    """Render what is missing of the takes, and what was changed since; print the batch's run."""
    from anime.jobs.shots import ShotRender

    asked = parse_options(
        ShotRender,
        "shots render",
        project=project,
        codes=code or [],
        episode=episode,
        scene=scene,
        status=status,
        states=[
            *(state or []),
            *([ShotState.MISSING] if missing else []),
            *([ShotState.STALE] if stale else []),
        ],
        takes=takes,
    )
    batch = asyncio.run(_render(asked))
    if json:
        print_json(batch.model_dump(mode="json"))
        return
    if batch.without_prompt:
        print_note(f"Without a prompt, and left out: {', '.join(batch.without_prompt)}")
    print_note(f"{batch.shots} shots, {takes} take(s) each; `anime shots list` shows how far.")
    print_result(str(batch.flow_run_id))


async def _import(
    project: str, rows: "Iterable[ListRow]", columns: dict[str, str], *, only_tries: bool
) -> ImportedShots:
    from anime.jobs.service import connect_job_service
    from anime.jobs.shots import import_shots
    from anime.settings import load_settings

    async with connect_job_service(load_settings()) as service:
        return await import_shots(
            service.database, project, rows, columns, only_tries=only_tries, service=service
        )


async def _export(
    project: str, query: "ShotQuery", output: Path | None, rate: float | None
) -> list[Path]:
    """The files that were written; none if the list goes to stdout."""
    from anime.assets.store import write_new
    from anime.core.shot_list import write_shot_list
    from anime.jobs.shots import all_shots

    kind = output.suffix.lower() if output else ".csv"
    if kind not in {".csv", ".otio", ".pdf", ".png"}:
        raise InvalidRequest(
            f"Shots are not written as {kind or 'a file without a suffix'}.",
            "Let the name end in .csv, .otio, .pdf or .png.",
        )
    async with open_database() as database:
        found = await all_shots(database, project, query)
        if output is None:
            sys.stdout.buffer.write(write_shot_list(found))
            return []
        if kind in {".pdf", ".png"}:
            return await _draw_sheet(database, found, output)
        data = write_shot_list(found)
        if kind == ".otio":
            from anime.jobs.shot_export import timeline_of

            data = (await timeline_of(database, project, found, rate=rate)).encode()
        write_new(output, data)
        return [output]


async def _draw_sheet(database: "Database", found: list[ShotRecord], output: Path) -> list[Path]:
    from anime.assets.contact_sheet.make import SheetStyle
    from anime.jobs.shot_export import sheet_of_shots
    from anime.settings import load_settings

    settings = load_settings()
    style = SheetStyle(font=settings.caption_font)
    return await sheet_of_shots(database, found, output, library=settings.library, style=style)


async def _all(
    project: str, query: "ShotQuery", codes: list[str] | None = None
) -> list[ShotRecord]:
    from anime.assets.composer import Composer
    from anime.jobs.shots import all_shots
    from anime.settings import load_settings

    composer = Composer(load_settings())
    async with open_database() as database:
        return await all_shots(database, project, query, codes or (), composer=composer)


async def _render(asked: "ShotRender") -> "ShotBatch":
    from functools import partial
    from uuid import uuid4

    from anime.cli.outages import retry_while_busy
    from anime.jobs.service import connect_job_service
    from anime.jobs.shots import render_shots
    from anime.settings import load_settings

    async with connect_job_service(load_settings()) as service:
        return await retry_while_busy(partial(render_shots, service, asked, key=str(uuid4())))


def open_database() -> "Database":
    """The database of the settings."""
    from anime.db.session import Database
    from anime.settings import load_settings
    from anime.settings.addresses import database_address

    return Database(database_address(load_settings()))


def _query(command: str, **fields: str | None) -> "ShotQuery":
    from anime.db.repositories import ShotQuery

    return parse_options(ShotQuery, f"shots {command}", **fields)


def _read(file: Path) -> bytes:
    from anime.core.shot_list import MAX_BYTES

    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as fault:
        raise InvalidRequest(
            f"{file} cannot be read: {fault.strerror}.", "Give a file that you may read."
        ) from None


def _column(text: str) -> tuple[str, str]:
    heading, equals, field = text.rpartition("=")
    if not equals or not heading:
        raise InvalidRequest(
            f"--column {text[:80]} names no heading.", "Give it as HEADING=FIELD, such as Cut=code."
        )
    return heading, field


def _row(shot: ShotRecord) -> tuple[str, ...]:
    return (
        shot.code,
        shot.episode or "",
        shot.scene or "",
        str(shot.state),
        str(shot.takes),
        str(shot.under_way or ""),
        str(shot.failed or ""),
        shorten(shot.description or shot.prompt or ""),
    )
