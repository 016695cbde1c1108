"""The options of `anime files` and `anime sheet`; their values are checked by a model."""

from typing import Annotated, TypeAlias

import typer

from anime.schemas import MediaKind

Project: TypeAlias = Annotated[str | None, typer.Option(help="Name or slug of the project.")]
Character: TypeAlias = Annotated[str | None, typer.Option(help="Character, in any case.")]
Job: TypeAlias = Annotated[str | None, typer.Option(help="Id of the job that made the files.")]
Kind: TypeAlias = Annotated[MediaKind | None, typer.Option(help="Image, video or audio.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option(metavar="DATE", help="Made on that day or at that moment, or later.")
]
Until: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Made before the end of that day, or that moment."),
]
Text: TypeAlias = Annotated[
    str | None, typer.Option(help="Words that the prompt has; `roof*` is the beginning of one.")
]
Seed: TypeAlias = Annotated[int | None, typer.Option(help="0 to 2^64-1.")]
Model: TypeAlias = Annotated[str | None, typer.Option(help="Model in any spelling, or its hash.")]
State: TypeAlias = Annotated[str | None, typer.Option(help="Such as present, missing, altered.")]
Shot: TypeAlias = Annotated[str | None, typer.Option(help="Code of the shot they are takes of.")]
Review: TypeAlias = Annotated[
    str | None, typer.Option(help="Takes that are approved, rejected or picked.")
]
Limit: TypeAlias = Annotated[int, typer.Option(min=1, max=1000, help="Files at most.")]
Cursor: TypeAlias = Annotated[
    str | None, typer.Option(help="Where to continue, as the previous page says.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, with all metadata.")]
