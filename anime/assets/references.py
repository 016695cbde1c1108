"""Reference pictures of characters: copied into the library under the hash of their content."""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

from anime.assets.input_pictures import store_picture
from anime.assets.store import AssetStore, chunks_of
from anime.core.references import (
    NewReference,
    Reference,
    ReferenceRecord,
    ReferenceRole,
    TakeName,
)
from anime.core.takes import Verdict
from anime.db.repositories import (
    CharacterRepository,
    FileRepository,
    ProjectRepository,
    TakeRepository,
)
from anime.db.session import Database
from anime.errors import InvalidRequest
from anime.schemas import FileRecord


async def add_reference(
    database: Database, library: AssetStore, character_id: UUID, new: NewReference
) -> ReferenceRecord:
    """The reference picture, once its copy is in the library and its row written.

    Twice is harmless: a copy has its hash for a name.

    Raises:
        NotFound: there is no such character, file or take.
        InvalidRequest: the take is not approved, or the file is gone or was changed.
        UnusableFile: it is no picture, damaged or too large.
        StorageError: the library cannot store it.
    """
    if new.content is not None:
        return await add_uploaded_reference(
            database, library, character_id, _one(new.content), role=new.role, by=new.by
        )
    await _check_character(database, character_id)
    source, file = await _file_of(database, new)
    reference = await _copied(library, file, new.role)
    return await _added(database, character_id, reference, source=source, by=new.by)


async def add_uploaded_reference(
    database: Database,
    library: AssetStore,
    character_id: UUID,
    chunks: AsyncIterable[bytes],
    *,
    role: ReferenceRole,
    by: str,
    file_name: str | None = None,
) -> ReferenceRecord:
    """The reference picture whose content comes in piece by piece. Raises as `add_reference`."""
    await _check_character(database, character_id)
    reference = await _stored(library, chunks, role, file_name or "The picture")
    return await _added(database, character_id, reference, source=file_name or "upload", by=by)


async def add_reference_file(
    database: Database,
    library: AssetStore,
    character_id: UUID,
    path: Path,
    *,
    role: ReferenceRole,
    by: str,
) -> ReferenceRecord:
    """The reference picture from a file that is not in the library. Raises as `add_reference`."""
    return await add_uploaded_reference(
        database, library, character_id, _read(path), role=role, by=by, file_name=path.name
    )


async def _check_character(database: Database, character_id: UUID) -> None:
    """Make sure that there is such a character, before a picture is read."""
    async with database.session_scope() as session:
        await CharacterRepository(session).get(character_id)


async def _added(
    database: Database, character_id: UUID, reference: Reference, *, source: str, by: str
) -> ReferenceRecord:
    async with database.session_scope() as session:
        return await CharacterRepository(session).add_reference(
            character_id, reference, source=source, by=by
        )


async def _file_of(database: Database, new: NewReference) -> tuple[str, FileRecord]:
    """How the picture's source is named, and the file of the library that it is."""
    async with database.session_scope() as session:
        if new.take is None:
            file_id, source = new.file_id or 0, f"file {new.file_id}"
        else:
            project = await ProjectRepository(session).get(new.take.project)
            take = await TakeRepository(session).get(project.id, new.take.shot, new.take.number)
            if take.verdict is not Verdict.APPROVED:
                raise _not_approved(new.take)
            file_id, source = take.file_id, f"take {take.number} of {take.shot}"
        return source, await FileRepository(session).get(file_id)


async def _copied(library: AssetStore, file: FileRecord, role: ReferenceRole) -> Reference:
    path = Path(file.file_path)
    reference = await _stored(library, _read(path, library.chunks_of), role, file.filename)
    if file.sha256 not in (None, reference.sha256):
        raise InvalidRequest(
            f"{file.file_path} is not the picture any more that was recorded as file {file.id}.",
            "See `anime verify`; take another picture.",
        )
    return reference


async def _stored(
    library: AssetStore, chunks: AsyncIterable[bytes], role: ReferenceRole, name: str
) -> Reference:
    picture = await store_picture(library, chunks, name=name)
    return Reference(role, picture.name, picture.sha256)


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _read(
    path: Path, read: Callable[[Path], AsyncIterator[bytes]] = chunks_of
) -> AsyncIterator[bytes]:
    try:
        async for chunk in read(path):
            yield chunk
    except OSError as fault:
        raise InvalidRequest(
            f"{path} cannot be read: {fault.strerror}.", "Take a picture that is still there."
        ) from fault


def _not_approved(take: TakeName) -> InvalidRequest:
    return InvalidRequest(
        f"Take {take.number} of {take.shot} is not approved.",
        "`anime review approve` approves it; or take another one.",
    )
