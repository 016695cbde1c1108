"""`anime takes` and `anime review`: the takes of shots, and what people say of them."""

import asyncio
import getpass
from typing import Annotated

import typer

from anime.cli.request_parsing import parse_options
from anime.cli.shots import Json, Project, open_database
from anime.cli.terminal import as_json, print_json, print_table
from anime.core.takes import NewReview, ReviewAction, TakeNote, TakeRecord


def takes(
    project: Project,
    code: Annotated[
        list[str] | None, typer.Argument(help="Codes of shots; those of all if none.")
    ] = None,
    json: Json = False,
) -> None:
    """List the takes of shots, with what was said of them."""
    found = asyncio.run(_takes(project, code or []))
    if json:
        print_json(as_json(found))
    else:
        print_table(
            ("shot", "take", "verdict", "reason", "by", "note", "path"),
            [_row(take) for take in found],
        )


def review(
    action: Annotated[ReviewAction, typer.Argument(help="What to say of the take.")],
    code: Annotated[str, typer.Argument(help="The shot's code.")],
    take: Annotated[int, typer.Argument(min=1, help="The take's number.")],
    project: Project,
    reason: Annotated[str | None, typer.Option(help="Why it is rejected.")] = None,
    note: Annotated[str | None, typer.Option(help="Anything else.")] = None,
    point: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y", help="Where in the picture the note is about: 0,0 to 1,1, from top left."
        ),
    ] = None,
    retake: Annotated[
        bool, typer.Option("--retake", help="Render a rejected take anew, with another seed.")
    ] = False,
    prompt: Annotated[
        str | None, typer.Option(help="The shot's prompt from now on, for the retake.")
    ] = None,
    max_retakes: Annotated[
        int | None, typer.Option(help="How many retakes the shot may have.")
    ] = None,
    json: Json = False,
) -> None:
    """Approve, reject or pick a take, leave a note, or undo the last of these."""
    said = parse_options(
        NewReview,
        "review",
        project=project,
        shot=code,
        take=take,
        action=action,
        reason=reason,
        note=note,
        point=None if point is None else dict(zip("xy", point.split(","), strict=False)),
        by=getpass.getuser(),
        retake=retake,
        prompt=prompt,
        max_retakes=max_retakes,
    )
    found = asyncio.run(_review(said))
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        print_table(("shot", "take", "verdict", "reason", "by", "note", "path"), [_row(found)])


async def _takes(project: str, codes: list[str]) -> list[TakeRecord]:
    from anime.db.repositories import ShotQuery
    from anime.jobs.shots import takes_of

    async with open_database() as database:
        return await takes_of(database, project, ShotQuery(), codes)


async def _review(said: NewReview) -> TakeRecord:
    from anime.jobs.service import connect_job_service
    from anime.jobs.shots import review_and_retake
    from anime.settings import load_settings

    async with connect_job_service(load_settings()) as service:
        return await review_and_retake(service, said, waits=True)


def _row(take: TakeRecord) -> tuple[str, ...]:
    verdict = "picked" if take.is_picked else str(take.verdict or "")
    return (
        take.shot,
        str(take.number),
        verdict,
        take.reason,
        take.reviewed_by or "",
        "; ".join(map(_note, take.notes)),
        take.path or "",
    )


def _note(note: TakeNote) -> str:
    return f"{note.text} ({note.point.x:g},{note.point.y:g})" if note.point else note.text
