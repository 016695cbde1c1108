"""`anime backup`: makes backups, lists them, and shows by a drill that they are good."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.error_boundary import EXPECTED
from anime.cli.own_database import own_database_url
from anime.cli.terminal import as_json, counter, print_json, print_note, print_result, print_table

if TYPE_CHECKING:
    from anime.assets.backup.create import BackupReport
    from anime.core.backups import DrillReport
    from anime.settings import Settings

backup = typer.Typer(name="backup", help="Backups of database, library and settings.")
_TO = typer.Option("--to", metavar="FOLDER", help="Folder of backups; ANIME_BACKUP_DIR if unset.")
_JSON = typer.Option("--json", help="Print JSON.")


@backup.callback(invoke_without_command=True)
def make(
    context: typer.Context,
    to: Annotated[Path | None, _TO] = None,
    json: Annotated[bool, _JSON] = False,
) -> None:
    """Make a backup, while everything runs; the oldest beyond ANIME_KEEP_BACKUPS are removed."""
    if context.invoked_subcommand is not None:
        return
    from anime.settings import load_settings

    report = asyncio.run(_make(load_settings(), to))
    if json:
        print_json(report.model_dump(mode="json"))
        return
    print_result(report.backup)
    print_note(
        f"{report.rows:,} rows and {report.files:,} files ({report.size_bytes / 2**20:,.1f} MB) "
        f"in {report.seconds:g} s; {report.files_new:,} contents are new."
    )
    for path, why in report.unread.items():
        print_note(f"{path}: {why}.")
    for warning in report.warnings:
        print_note(f"→ {warning}")


@backup.command(name="list")
def list_all(to: Annotated[Path | None, _TO] = None, json: Annotated[bool, _JSON] = False) -> None:
    """List the backups, the newest first."""
    from anime.assets.backup.create import backup_folder
    from anime.assets.backup.folder import read_manifest
    from anime.settings import load_settings

    folder = backup_folder(load_settings(), to)
    manifests = {name: read_manifest(folder.root / name) for name in reversed(folder.names())}
    if json:
        print_json(as_json(manifests.values()))
    elif manifests:
        rows = [
            (name, f"{sum(each.tables.values()):,}", f"{each.files:,}", f"{each.files_unread:,}")
            for name, each in manifests.items()
        ]
        print_table(("backup", "rows", "files", "unread"), rows)
    else:
        print_note(f"There is no backup in {folder.root}.")


@backup.command()
def drill(to: Annotated[Path | None, _TO] = None, json: Annotated[bool, _JSON] = False) -> None:
    """Restore the last backup into a scratch database and compare; exit 1 if anything is wrong."""
    from anime.settings import load_settings

    report = asyncio.run(_drill(load_settings(), to))
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        print_table(("step", "seconds"), [(name, f"{s:g}") for name, s in report.seconds.items()])
        print_note(
            f"{report.backup}: {report.rows:,} rows restored, {report.files_hashed} files hashed, "
            f"{report.files_rebuilt} rows of {report.day or 'no day'} rebuilt."
        )
        for note in report.notes:
            print_note(note)
        for problem in report.problems:
            print_note(f"→ {problem}")
    if not report.is_green:
        raise typer.Exit(EXPECTED)


async def _make(settings: "Settings", to: Path | None) -> "BackupReport":
    from anime.assets.backup.create import backup_folder, make_backup
    from anime.db.session import Database

    folder = backup_folder(settings, to)
    async with own_database_url(settings) as url, Database(url) as database:
        with counter("files looked at") as progress:
            return await make_backup(settings, database, folder, progress=progress)


async def _drill(settings: "Settings", to: Path | None) -> "DrillReport":
    from anime.assets.backup.create import backup_folder
    from anime.assets.backup.drill import drill as drill_backup
    from anime.db.session import Database

    folder = backup_folder(settings, to)
    async with own_database_url(settings) as url, Database(url) as database:
        return await drill_backup(settings, database, folder)
