"""`anime doctor`: whether everything a generation needs is there."""

import asyncio
from typing import Annotated

import typer

from anime.cli.terminal import print_json, print_note, print_result


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every system a generation touches; exit 1 if one is not fit for work."""
    from anime.cli.checkup import check_up
    from anime.settings import load_settings

    findings = asyncio.run(check_up(load_settings()))
    if json:
        print_json([finding.model_dump(mode="json") for finding in findings])
    else:
        width = max(len(finding.system) for finding in findings)
        for finding in findings:
            mark = typer.style("ok  ", fg="green") if finding.ok else typer.style("FAIL", fg="red")
            print_result(f"{mark}  {finding.system:<{width}}  {finding.detail}")
            if finding.todo:
                print_result(f"      {'':<{width}}  → {finding.todo}")
    failed = sum(not finding.ok for finding in findings)
    if failed:
        print_note(f"{failed} of {len(findings)} checks failed.")
        raise typer.Exit(1)
