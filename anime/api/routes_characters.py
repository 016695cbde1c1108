"""Characters and their versions, which say how they are drawn."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response, status
from fastapi.responses import FileResponse
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from anime.api.app_state import CallerDependency, StateDependency
from anime.api.error_documentation import problems
from anime.api.file_responses import send_file
from anime.api.middleware import JsonRoute
from anime.api.paging import Page, Paging
from anime.api.routes_files import documented_responses
from anime.assets.references import add_reference, add_uploaded_reference
from anime.core.catalogue import (
    CharacterChange,
    CharacterRecord,
    CharacterVersionRecord,
    NewCharacter,
    NewVersion,
)
from anime.core.paths import media_type_of
from anime.core.references import (
    MAX_REFERENCE_BYTES,
    NewReference,
    ReferenceList,
    ReferenceRecord,
    ReferenceRole,
)
from anime.db.repositories import CharacterRepository, ProjectRepository
from anime.db.repositories.characters import no_such_character
from anime.errors import NotFound
from anime.schemas import GivenName, Name

UPLOADS = {"/references/upload": MAX_REFERENCE_BYTES}  # routes whose body is a file
router = APIRouter(prefix="/characters", tags=["characters"], route_class=JsonRoute)

CharacterId = Annotated[str, Path(max_length=120, description="Id, a UUID.")]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]  # PostgreSQL's integer


Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Hash of its content.")]


class CharacterListParameters(Paging):
    """Which characters, and which page of them."""

    project: GivenName | None = Field(default=None, description="Id, slug or name of the project.")


@router.get("", responses=problems(404))
async def characters(
    parameters: Annotated[CharacterListParameters, Query()], state: StateDependency
) -> Page[CharacterRecord]:
    """The characters, newest first, each with its canonical version."""
    async with state.database.session_scope() as session:
        items, next_cursor = await CharacterRepository(session).page(
            limit=parameters.limit,
            cursor=parameters.cursor,
            project_id=await _project_id(parameters.project, session),
        )
    return Page(items=items, next_cursor=next_cursor)


@router.post("", status_code=status.HTTP_201_CREATED, responses=problems(404, 409))
async def create_character(
    new: NewCharacter, state: StateDependency, request: Request, response: Response
) -> CharacterRecord:
    """Create a character."""
    async with state.database.session_scope() as session:
        project_id = await _project_id(new.project, session)
        character = await CharacterRepository(session).create(new, project_id)
    response.headers["Location"] = request.app.url_path_for(
        "character_by_id", character_id=str(character.id)
    )
    return character


@router.get("/{character_id}", responses=problems(404))
async def character_by_id(character_id: CharacterId, state: StateDependency) -> CharacterRecord:
    """One character, with its canonical version."""
    async with state.database.session_scope() as session:
        return await CharacterRepository(session).get(_as_id(character_id))


@router.patch("/{character_id}", responses=problems(404))
async def change_character(
    character_id: CharacterId, change: CharacterChange, state: StateDependency
) -> CharacterRecord:
    """Change a character's description or metadata. How they are drawn is a new version."""
    async with state.database.session_scope() as session:
        return await CharacterRepository(session).change(_as_id(character_id), change)


@router.get("/{character_id}/versions", responses=problems(404))
async def versions(
    character_id: CharacterId, paging: Annotated[Paging, Query()], state: StateDependency
) -> Page[CharacterVersionRecord]:
    """The versions of a character, newest first."""
    async with state.database.session_scope() as session:
        items, next_cursor = await CharacterRepository(session).versions(
            _as_id(character_id), limit=paging.limit, cursor=paging.cursor
        )
    return Page(items=items, next_cursor=next_cursor)


@router.post(
    "/{character_id}/versions",
    status_code=status.HTTP_201_CREATED,
    responses=problems(404),
)
async def add_version(
    character_id: CharacterId, new: NewVersion, state: StateDependency, caller: CallerDependency
) -> CharacterVersionRecord:
    """Add a version: how the character is drawn from now on."""
    async with state.database.session_scope() as session:
        return await CharacterRepository(session).add_version(
            _as_id(character_id), caller.sign(new)
        )


@router.put("/{character_id}/versions/{number}/canonical", responses=problems(404))
async def make_canonical(
    character_id: CharacterId,
    number: VersionNumber,
    state: StateDependency,
    caller: CallerDependency,
    by: Annotated[Name, Query(description="Who says it.")] = "api",
) -> CharacterVersionRecord:
    """Make that version the canonical one, instead of the one that was."""
    async with state.database.session_scope() as session:
        characters = CharacterRepository(session)
        return await characters.make_canonical(_as_id(character_id), number, by=caller.signs(by))


@router.get("/{character_id}/references", responses=problems(404))
async def references(
    character_id: CharacterId,
    state: StateDependency,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Its number.")] = None,
) -> ReferenceList:
    """The reference pictures of a version, by default of the newest one."""
    async with state.database.session_scope() as session:
        found = await CharacterRepository(session).references(_as_id(character_id), version)
    return ReferenceList(items=found)


@router.post(
    "/{character_id}/references",
    status_code=status.HTTP_201_CREATED,
    responses=problems(404),
)
async def add_reference_picture(
    character_id: CharacterId, new: NewReference, state: StateDependency, caller: CallerDependency
) -> ReferenceRecord:
    """Add a reference picture to the newest version; to a new draft like it if it was approved."""
    return await add_reference(state.database, state.store, _as_id(character_id), caller.sign(new))


@router.post(
    "/{character_id}/references/upload",
    status_code=status.HTTP_201_CREATED,
    responses=problems(404),
    openapi_extra={"requestBody": {"required": True, "content": {"image/*": {}}}},
)
async def upload_reference_picture(
    character_id: CharacterId,
    request: Request,
    state: StateDependency,
    caller: CallerDependency,
    role: Annotated[ReferenceRole, Query(description="face, body, outfit or style.")],
    by: Annotated[Name, Query(description="Who says it.")] = "api",
) -> ReferenceRecord:
    """Add the picture that is the body, of 32 MB at most, as `POST …/references` does."""
    return await add_uploaded_reference(
        state.database,
        state.store,
        _as_id(character_id),
        request.stream(),
        role=role,
        by=caller.signs(by),
    )


@router.get(
    "/{character_id}/references/{sha256}/content",
    response_class=FileResponse,
    responses=documented_responses("image/*"),
)
async def reference_content(
    character_id: CharacterId, sha256: Sha256, request: Request, state: StateDependency
) -> Response:
    """The reference picture itself, or the part of it that Range asks for."""
    async with state.database.session_scope() as session:
        found = await CharacterRepository(session).reference(_as_id(character_id), sha256)
    file = await state.library.find(state.library.root / found.path)
    if file is None:
        raise NotFound(
            f"{found.path} is no longer in the library.",
            "Restore it there, or add a version of the character without it.",
        )
    return send_file(
        file,
        request,
        media_type=media_type_of(file.path.name),
        filename=file.path.name,
        etag=found.sha256,
    )


def _as_id(text: str) -> UUID:
    """The id in an address.

    Raises:
        NotFound: the text is no id.
    """
    try:
        return UUID(text)
    except ValueError:
        raise no_such_character(text) from None


async def _project_id(named: str | None, session: AsyncSession) -> UUID | None:
    return (await ProjectRepository(session).get(named)).id if named is not None else None
