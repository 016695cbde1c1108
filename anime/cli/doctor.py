"""`anime doctor`: whether everything that a generation needs is there."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import print_json, print_note, print_result

if TYPE_CHECKING:
    from anime.jobs.probes import CheckResult


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every system that a generation needs; exit 1 if one of them fails."""
    from anime.cli.doctor_checks import run_checks
    from anime.settings import load_settings

    results = asyncio.run(run_checks(load_settings()))
    if json:
        print_json([result.model_dump(mode="json") for result in results])
    else:
        width = max(len(result.system) for result in results)
        for result in results:
            print_result(f"{_mark(result)}  {result.system:<{width}}  {result.detail}")
            if result.todo:
                print_result(f"      {'':<{width}}  → {result.todo}")
    failed = sum(not result.ok for result in results)
    if failed:
        print_note(f"{failed} of {len(results)} checks failed.")
        raise typer.Exit(1)


def _mark(result: "CheckResult") -> str:
    if not result.ok:
        return typer.style("FAIL", fg="red")
    return typer.style("warn", fg="yellow") if result.todo else typer.style("ok  ", fg="green")
