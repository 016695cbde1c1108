"""`anime files`: what is in the library."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from anime.cli import files_options as opt
from anime.cli.event_loop import run_async
from anime.cli.jobs import parse_job_id
from anime.cli.request_parsing import parse_options
from anime.cli.terminal import print_json, print_note, print_table
from anime.core.dates import begin_of, end_of

if TYPE_CHECKING:
    from anime.core.file_query import FilePage, FileQuery
    from anime.schemas import FileRecord
    from anime.settings import Settings


def files(
    project: opt.Project = None,
    character: opt.Character = None,
    job: opt.Job = None,
    kind: opt.Kind = None,
    since: opt.Since = None,
    until: opt.Until = None,
    text: opt.Text = None,
    seed: opt.Seed = None,
    model: opt.Model = None,
    state: opt.State = None,
    shot: opt.Shot = None,
    review: opt.Review = None,
    limit: opt.Limit = 20,
    cursor: opt.Cursor = None,
    json: opt.Json = False,
) -> None:
    """List the files of the library that match, newest first."""
    from anime.core.file_query import FileQuery
    from anime.settings import load_settings

    settings = load_settings()
    query = parse_options(
        FileQuery,
        "files",
        project=project,
        character=character,
        job_id=parse_job_id(job) if job else None,
        kind=kind,
        since=begin_of(since, settings.zone) if since else None,
        until=end_of(until, settings.zone) if until else None,
        text=text,
        seed=seed,
        model=model,
        state=state,
        shot=shot,
        review=review,
    )
    page = _page(settings, query, limit, cursor)
    if query.project and not page.files:
        from anime.cli.projects import note_unknown

        note_unknown(query.project)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    print_table(
        ("file", "kind", "size", "bytes", "made", "state", "path"),
        [_row(file, settings.zone) for file in page.files],
    )
    if page.next_cursor:
        print_note(f"More: --cursor {page.next_cursor}")


def _page(settings: "Settings", query: "FileQuery", limit: int, cursor: str | None) -> "FilePage":
    from anime.api.paging import MAX_ITEMS, Page
    from anime.core.file_query import FilePage
    from anime.net.running_api import RunningApi
    from anime.schemas import FileRecord

    api = RunningApi.of_stack(settings) if limit <= MAX_ITEMS else None
    asked = {"job": query.job_id, "limit": limit, "cursor": cursor}
    if api and (answer := api.get("/files", query.model_copy(update={"job_id": None}), **asked)):
        found = Page[FileRecord].model_validate_json(answer)
        return FilePage(files=found.items, next_cursor=found.next_cursor)
    return run_async(_search(settings, query, limit, cursor))


async def _search(
    settings: "Settings", query: "FileQuery", limit: int, cursor: str | None
) -> "FilePage":
    from anime.db.repositories import FileSearch
    from anime.db.session import Database
    from anime.settings.addresses import database_address

    async with (
        Database(database_address(settings)) as database,
        database.session_scope() as session,
    ):
        return await FileSearch(session).page(query, limit=limit, cursor=cursor)


def _row(file: "FileRecord", zone: tzinfo) -> tuple[str, ...]:
    return (
        str(file.id),
        file.file_type,
        f"{file.width}×{file.height}" if file.width and file.height else "",
        f"{file.file_size:,}",
        f"{file.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        file.state,
        file.file_path,
    )
