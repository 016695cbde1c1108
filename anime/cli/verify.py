"""`anime verify`: the rows of files held against the files."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.error_boundary import EXPECTED
from anime.cli.terminal import counting, print_json, print_note, print_table

if TYPE_CHECKING:
    from anime.assets.verify import VerifyReport
    from anime.settings import Settings


def verify(
    quick: Annotated[
        bool, typer.Option("--quick", help="Read only files whose size or time is another.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find files that are missing, altered or moved, and files without a row; 1 if any is wrong."""
    from anime.settings import load_settings

    report = asyncio.run(_verify(load_settings(), is_quick=quick))
    if json:
        print_json(asdict(report))
    else:
        _give(report)
    if not report.is_well:
        raise typer.Exit(EXPECTED)


async def _verify(settings: "Settings", *, is_quick: bool) -> "VerifyReport":
    from anime.assets.verify import verify as verify_rows
    from anime.db.session import Database
    from anime.settings.addresses import database_address

    async with Database(database_address(settings)) as database:
        with counting("rows checked") as progress:
            return await verify_rows(
                database, settings.library, is_quick=is_quick, progress=progress
            )


def _give(report: "VerifyReport") -> None:
    """The counts, what is wrong one by one, and what to do about it."""
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
        *((f"now {new}", old) for old, new in report.relinked_files.items()),
    ]
    if wrong:
        print_table(("state", "path"), wrong)
    if report.without_row:
        print_note("→ `anime rebuild` writes the rows of files that have none.")
    if report.missing or report.altered:
        print_note("→ Bring missing and altered files back from a backup, and verify again.")
