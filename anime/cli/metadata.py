"""`anime metadata`: how files were made, as they say themselves. It needs no stack."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from anime.cli.error_boundary import EXPECTED
from anime.cli.terminal import line_of, print_error, print_json, print_result
from anime.errors import AnimeError

_RAW = ("graph", "editor_workflow", "parameters", "texts")


def metadata(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Pictures, films, sounds, 3D models.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Also print the texts in each file, as they are.")
    ] = False,
) -> None:
    """Show how files were made, as they say themselves; exit 1 if any cannot be read."""
    shown: list[JsonValue] = []
    has_failed = False
    for file in files:
        try:
            facts, remark = _metadata_of(file, is_raw=raw)
        except AnimeError as fault:
            has_failed = True
            facts, remark = {"error": fault.what}, None
            if not json:
                print_error(fault)
        shown.append({"file": str(file), **facts})
        if not json and "error" not in facts:
            _print(file, facts, remark)
    if json:
        print_json(shown)
    if has_failed:
        raise typer.Exit(EXPECTED)


def _metadata_of(file: Path, *, is_raw: bool) -> tuple[dict[str, JsonValue], str | None]:
    """The keys that a row of the file would have, and with them its type, size and hash.

    Then what there is to say of a file that does not tell how it was made.
    """
    from anime.assets.inspection.whole_file import describe_foreign

    described = describe_foreign(file)
    found = described.facts
    facts: dict[str, JsonValue] = {
        "media_type": found.media_type,
        "size_bytes": found.size_bytes,
        "sha256": found.sha256,
        **{name: value for name, value in described.made.items() if name not in _RAW},
    }
    if is_raw:
        facts["raw"] = dict(found.texts)
    return facts, None if described.made["source"] else _remark_on(found.texts, described.made)


def _remark_on(texts: Mapping[str, str], said: Mapping[str, JsonValue]) -> str:
    if said.get("editor_workflow"):
        return "It holds only the editor's workflow, which is not what ran; --raw prints it."
    if texts:
        return (
            "It says nothing of how it was made: its texts are of no kind that is known; "
            "--raw prints them."
        )
    return "It says nothing of how it was made."


def _print(file: Path, facts: dict[str, JsonValue], remark: str | None) -> None:
    """A line for each thing that is known."""
    print_result(str(file))
    texts = facts.pop("raw", {})
    for name, value in facts.items():
        if value not in (None, [], ()):
            line = line_of(value).replace("\n", "\n    ")
            print_result(f"  {name.replace('_', ' ')}: {line}")
    if remark:
        print_result(f"  {remark}")
    for name, text in texts.items() if isinstance(texts, dict) else ():
        print_result(f"--- {name}\n{text}")
