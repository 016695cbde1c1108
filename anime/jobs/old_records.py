"""Brings projects and characters of older services into the tables of today."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.foreign_json import read_json
from anime.core.old_records import (
    ImportedRecord,
    OldCharacter,
    character_in,
    project_in,
    records_in,
)
from anime.db.repositories import CharacterRepository, OldRecordRepository, ProjectRepository
from anime.db.session import Database
from anime.errors import AlreadyExists, InvalidRequest, NotFound

_MAX_FILE_BYTES = 1024 * 1024
_MOST_FILES = 10_000
_Sourced = tuple[str, Mapping[str, JsonValue] | str]  # where from, and the record or what is wrong


async def import_old_records(
    database: Database, folder: Path | None, *, only_tries: bool = False
) -> list[ImportedRecord]:
    """What became, or would become, of each record; records stay where they are.

    Twice is harmless: what is there already stays as it is.

    Args:
        database: Has the tables that were set aside, and gets what they say.
        folder: A folder of `*.json`, each with a character or several.
        only_tries: Change nothing.

    Raises:
        InvalidRequest: the folder cannot be read.
    """
    files = await asyncio.to_thread(lambda: list(_files_of(folder)) if folder else [])
    async with database.session_scope() as session:
        done, ids = await _import_projects(session)
        rows = await OldRecordRepository(session).rows("characters")
        for source, record in [*_sourced("characters", rows), *files]:
            done.append(await _import_character(session, source, record, ids))
        if only_tries:
            await session.rollback()
    return done


async def _import_projects(
    session: AsyncSession,
) -> tuple[list[ImportedRecord], dict[str, UUID]]:
    """What became of each project, and today's ids by the old ones."""
    done, ids = [], {}
    old = OldRecordRepository(session)
    for source, record in _sourced("projects", await old.rows("projects")):
        try:
            new = project_in(record)
        except ValueError as fault:
            done.append(_unreadable("project", record, source, fault))
            continue
        known = await ProjectRepository(session).keys_of(new.name)
        project_id, outcome = (known[0].id, "there already") if known else (None, "added")
        if project_id is None and (own := _uuid_of(record.get("id"))) is not None:
            project_id = await old.keep_project(new, own)
        if project_id is None:
            project_id = (await ProjectRepository(session).create(new)).id
        ids[str(record.get("id"))] = project_id
        done.append(ImportedRecord(kind="project", name=new.name, source=source, outcome=outcome))
    return done, ids


async def _import_character(
    session: AsyncSession,
    source: str,
    record: Mapping[str, JsonValue] | str,
    ids: Mapping[str, UUID],
) -> ImportedRecord:
    if isinstance(record, str):
        return ImportedRecord(
            kind="character", name="", source=source, outcome="unreadable", reason=record
        )
    try:
        old = character_in(record)
        project_id = await _project_of(session, old, ids)
    except (ValueError, NotFound) as fault:
        return _unreadable("character", record, source, fault)
    characters, outcome = CharacterRepository(session), "added"
    try:
        made = await characters.create(old.new, project_id)
        if old.version is not None:
            await characters.add_version(made.id, old.version)
    except AlreadyExists:
        outcome = "there already"
    return ImportedRecord(kind="character", name=old.new.name, source=source, outcome=outcome)


async def _project_of(
    session: AsyncSession, old: OldCharacter, ids: Mapping[str, UUID]
) -> UUID | None:
    """The project of today; that of a name that nobody has is made.

    Raises:
        NotFound: it is an id of the old tables that none of their rows has.
    """
    if old.project is None:
        return None
    if old.project in ids:
        return ids[old.project]
    if old.project.isdecimal() or _uuid_of(old.project) is not None:
        return (await ProjectRepository(session).get(old.project)).id
    return (await ProjectRepository(session).get_or_create(old.project)).id


def _sourced(
    kind: str, rows: Iterable[Mapping[str, JsonValue]]
) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    for number, row in enumerate(rows, start=1):
        yield f"{kind}_before_adoption, row {row.get('id') or number}", row


def _files_of(folder: Path) -> Iterator[_Sourced]:
    """The records of a folder's files, or what is wrong with a file."""
    try:
        paths = sorted(folder.glob("*.json"))[:_MOST_FILES]
        if not folder.is_dir():
            raise NotADirectoryError(20, "it is no folder")
    except OSError as fault:
        raise InvalidRequest(
            f"{folder} cannot be read: {fault.strerror}.", "Give the folder of the *.json files."
        ) from None
    for path in paths:
        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_FILE_BYTES + 1)
            value = read_json(data.decode("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as fault:
            yield path.name, f"cannot be read: {fault}"
            continue
        if len(data) > _MAX_FILE_BYTES:
            yield path.name, f"has more than {_MAX_FILE_BYTES:,} bytes"
        elif value is None:
            yield path.name, "is no JSON object or list"
        else:
            for record in records_in(value):
                yield path.name, record


def _unreadable(
    kind: str, record: Mapping[str, JsonValue], source: str, fault: Exception
) -> ImportedRecord:
    return ImportedRecord(
        kind=kind,
        name=str(record.get("name") or "")[:120],
        source=source,
        outcome="unreadable",
        reason=str(fault),
    )


def _uuid_of(value: JsonValue) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
