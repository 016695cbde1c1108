"""Output of commands: results on stdout, everything else on stderr.

So `$(anime generate …)` is the paths of the files and nothing else.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from pydantic import BaseModel, JsonValue

from anime.errors import AnimeError, StackError

if TYPE_CHECKING:
    from rich.console import Console

FILE_COLUMNS = 240  # width of a table in a file or a pipe


def print_note(line: str) -> None:
    """Write a line on stderr."""
    typer.echo(line, err=True)


def print_error(error: AnimeError) -> None:
    """Write on stderr what failed and, on the next line, what to do."""
    if isinstance(error, StackError) and error.log_tail:
        print_note(error.log_tail.rstrip())
    typer.secho(error.what, err=True, fg="red")
    if error.todo:
        print_note(f"→ {error.todo}")


def print_result(line: str) -> None:
    """Write a line of the result on stdout."""
    typer.echo(line)


def print_lines(lines: Iterable[str]) -> None:
    """Write lines of the result on stdout."""
    for line in lines:
        print_result(line)


def print_json(value: JsonValue) -> None:
    """Write the result as JSON on stdout."""
    print_result(json.dumps(value, indent=2, ensure_ascii=False))


def as_json(models: Iterable[BaseModel]) -> list[JsonValue]:
    """The models as JSON values; a seed stays a whole number."""
    return [model.model_dump(mode="json") for model in models]


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table on stdout; its cells are text, never markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    _console().print(table)


def line_of(value: object) -> str:
    """A value of JSON in words.

    >>> line_of([{"name": "ink", "strength": 0.7, "hash": None}, "glow"])
    'name ink; strength 0.7, glow'
    """
    if isinstance(value, list):
        return ", ".join(map(line_of, value))
    if isinstance(value, dict):
        known = ((name, each) for name, each in value.items() if each is not None)
        return "; ".join(f"{name} {line_of(each)}" for name, each in known)
    return str(value)


@contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """A function that shows a number on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"0 {what}") as status:
        yield lambda number: status.update(f"{number:,} {what}")


def _console() -> "Console":
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else FILE_COLUMNS)
