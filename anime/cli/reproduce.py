"""`anime reproduce` and `anime diff`: a file rendered again, and how two files differ."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from anime.cli.terminal import line_of, print_json, print_lines, print_note, print_result
from anime.errors import InvalidRequest

if TYPE_CHECKING:
    from anime.core.comparison import FileComparison
    from anime.jobs.reproduction import MadeFile

_NAMED = "FILE|JOB"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _new_png(picture: Path | None) -> Path | None:
    """The path, before a render is made for it. Raises InvalidRequest: no PNG can be new there."""
    if picture is not None and picture.suffix.lower() != ".png":
        raise InvalidRequest(f"The picture {picture} would be a PNG.", "End its name in .png.")
    if picture is not None and picture.exists():
        raise InvalidRequest(f"{picture} is there already.", "Give another name.")
    return picture


Picture = Annotated[
    Path | None,
    typer.Option(
        "--picture",
        metavar="FILE.png",
        callback=_new_png,
        help="Also write a picture of where they differ: black is the same.",
    ),
]


def reproduce(
    named: Annotated[
        str, typer.Argument(metavar=_NAMED, help="A file with a graph, the id of a file or a job.")
    ],
    picture: Picture = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Print the job's id and compare nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Render a file again from its recorded graph, and say how far the result is the same."""
    found = asyncio.run(_reproduce(named, picture, waits=not no_wait))
    if isinstance(found, UUID):
        print_json({"job_id": str(found)}) if json else print_result(str(found))
    else:
        _print(found, is_json=json)


def diff(
    first: Annotated[str, typer.Argument(metavar=_NAMED, help="One file, or a job's first one.")],
    second: Annotated[str, typer.Argument(metavar=_NAMED, help="The other one.")],
    picture: Picture = None,
    json: Json = False,
) -> None:
    """Say how two files differ: settings, words of the prompts, pictures they use, pixels."""
    from anime.jobs.reproduction import compare_files, write_difference

    one, other = asyncio.run(_both(first, second))
    found = compare_files(one, other)
    if picture is not None:
        write_difference(one, other, picture)
    _print(found, is_json=json)


async def _reproduce(named: str, picture: Path | None, *, waits: bool) -> "FileComparison | UUID":
    from anime.assets.store import AssetStore
    from anime.cli.generate import raise_for, watch
    from anime.cli.outages import retry_while_busy
    from anime.jobs.reproduction import (
        MadeFile,
        nearest,
        reproduction_of,
        with_row,
        write_difference,
    )
    from anime.jobs.service import connect_job_service
    from anime.settings import load_settings
    from anime.settings.addresses import redis_address

    settings = load_settings()
    async with connect_job_service(settings) as jobs:
        original = await with_row(jobs.database, await _made_file(named))
        library = AssetStore.of(settings)
        request = await reproduction_of(jobs.database, library, original)
        where = (
            request.server or "any server: none is like the one that made it, or that is unknown"
        )
        print_note(f"Rendered again at {where}.")
        job = await retry_while_busy(lambda: jobs.submit_and_dispatch(request))
        if not waits:
            return job.id
        job, files = await watch(job, jobs.database, redis_address(settings))
    raise_for(job)
    made = [MadeFile.of_row(file) for file in files]
    found = await asyncio.to_thread(nearest, original, made)
    if picture is not None:
        same = next(each for each in made if each.name == found.second)
        await asyncio.to_thread(write_difference, original, same, picture)
    return found


async def _both(first: str, second: str) -> "tuple[MadeFile, MadeFile]":
    return await _made_file(first), await _made_file(second)


async def _made_file(named: str) -> "MadeFile":
    """The file at that path; else the file or job of the library with that id."""
    from anime.cli.shots import open_database
    from anime.jobs.reproduction import ReproductionRequest, file_named, read_made_file
    from anime.settings import load_settings

    path = Path(named)
    if path.is_file():
        return await asyncio.to_thread(read_made_file, path, load_settings().library)
    if named.isascii() and named.isdigit() and 0 < int(named) < 2**31:
        asked = ReproductionRequest(file_id=int(named))
    else:
        try:
            asked = ReproductionRequest(job_id=UUID(named))
        except ValueError:
            raise InvalidRequest(
                f"{named[:200]} is no file that is there, and no id.",
                "Give the path of a file, the id of a file of the library, or that of a job.",
            ) from None
    async with open_database() as database:
        return await file_named(database, asked)


def _print(found: "FileComparison", *, is_json: bool) -> None:
    if is_json:
        print_json(found.model_dump(mode="json"))
        return
    print_result(f"{found.first}\n{found.second}\n{found.verdict}")
    print_lines(
        [
            *(
                f"  {each.setting}: {line_of(each.first)} → {line_of(each.second)}"
                for each in found.settings
            ),
            *(
                " ".join(
                    [f"  {each.text}:", *_marked("-", each.removed), *_marked("+", each.added)]
                )
                for each in found.words
            ),
            *(f"  unchecked: {each}" for each in found.unchecked),
        ]
    )


def _marked(mark: str, words: list[str]) -> list[str]:
    return [f"{mark}{word}" for word in words]
