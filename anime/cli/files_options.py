"""The options of `anime files` and `anime sheet`. What each may be, the model they make checks."""

from typing import Annotated, Any, TypeAlias, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from anime.core.field_errors import field_errors_of
from anime.errors import InvalidRequest
from anime.schemas import MediaKind

Asked = TypeVar("Asked", bound=BaseModel)

Project: TypeAlias = Annotated[str | None, typer.Option(help="Name or slug of the project.")]
Character: TypeAlias = Annotated[str | None, typer.Option(help="Character, in any case.")]
Job: TypeAlias = Annotated[str | None, typer.Option(help="Id of the job that made them.")]
Kind: TypeAlias = Annotated[MediaKind | None, typer.Option(help="What they are.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option(metavar="DATE", help="Made on that day, or at that moment, or later.")
]
Until: TypeAlias = Annotated[
    str | None, typer.Option(metavar="DATE", help="Made until the end of that day, or before then.")
]
Text: TypeAlias = Annotated[
    str | None, typer.Option(help="Words that all stand in the prompt; `roof*` is a beginning.")
]
Seed: TypeAlias = Annotated[int | None, typer.Option(help="0 to 2^64-1.")]
Model: TypeAlias = Annotated[str | None, typer.Option(help="Checkpoint, in any case.")]
State: TypeAlias = Annotated[str | None, typer.Option(help="Such as present, missing, altered.")]
Limit: TypeAlias = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
Cursor: TypeAlias = Annotated[
    str | None, typer.Option(help="Where to go on, as the page before has said.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, with all metadata.")]


def read(
    asked_for: type[Asked],
    command: str,
    /,
    **asked: Any,  # values of any field, by name
) -> Asked:
    """What the options of that command ask for.

    Raises:
        InvalidRequest: one of them holds what it may not.
    """
    try:
        return asked_for(**asked)
    except ValidationError as fault:
        said = " ".join(map(str, field_errors_of(fault.errors())))
        raise InvalidRequest(said, f"`anime {command} --help` lists the options.") from None
