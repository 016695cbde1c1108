"""`anime verify`: compares the rows of files with the files."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.error_boundary import EXPECTED
from anime.cli.terminal import counter, print_json, print_note, print_table

if TYPE_CHECKING:
    from anime.assets.verify import VerifyReport
    from anime.settings import Settings


def verify(
    quick: Annotated[
        bool, typer.Option("--quick", help="Read only files whose size or time has changed.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Fetch missing files from their sources and from quarantine."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find missing, altered and moved files, and files without a row; exit 1 if there are any."""
    from anime.settings import load_settings

    report = asyncio.run(_verify(load_settings(), is_quick=quick, repairs=repair))
    if json:
        print_json(asdict(report))
    else:
        _print_report(report)
    if not report.is_well:
        raise typer.Exit(EXPECTED)


async def _verify(settings: "Settings", *, is_quick: bool, repairs: bool) -> "VerifyReport":
    from anime.assets.verify import verify as verify_rows
    from anime.db.session import Database
    from anime.settings.addresses import database_address

    async with Database(database_address(settings)) as database:
        with counter("rows checked") as progress:
            return await verify_rows(
                database,
                settings.library,
                archive=settings.archive_dir,
                is_quick=is_quick,
                repair_from=settings.folders_of_comfyui if repairs else None,
                progress=progress,
            )


def _print_report(report: "VerifyReport") -> None:
    """Print the counts, each file that is wrong, and what to do."""
    print_table(
        ("files", ""),
        [
            (name.replace("_", " "), f"{count:,}")
            for name, count in asdict(report).items()
            if isinstance(count, int)
        ],
    )
    wrong = [
        *(("missing", path) for path in report.missing_files),
        *(("altered", path) for path in report.altered_files),
        *(("without row", path) for path in report.files_without_row),
        *((f"fetched from {source}", path) for path, source in report.repaired_files.items()),
        *((f"now {new}", old) for old, new in report.relinked_files.items()),
    ]
    if wrong:
        print_table(("state", "path"), wrong)
    if report.without_row:
        print_note("→ `anime rebuild` inserts the missing rows.")
    if report.missing:
        print_note("→ `anime verify --repair` fetches missing files whose source is still there.")
    if report.out_of_reach:
        print_note("→ Mount the archive at ANIME_ARCHIVE_DIR, and verify again.")
    if report.missing or report.altered:
        print_note("→ Restore files from a backup, and verify again.")
