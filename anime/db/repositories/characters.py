"""Characters and their versions, of which one each is canonical."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.catalogue import (
    CatalogueLora,
    CharacterChange,
    CharacterRecord,
    CharacterVersionRecord,
    NewCharacter,
    NewVersion,
)
from anime.core.paths import slugs_of
from anime.db.character_models import Character
from anime.db.character_models import CharacterVersion as VersionRow
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.db.repositories.leases import NOW
from anime.errors import AlreadyExists, NotFound


class CharacterRepository:
    """The characters in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def create(self, new: NewCharacter, project_id: UUID | None) -> CharacterRecord:
        """The new character, still without a version.

        Raises:
            AlreadyExists: the project has one of that name.
        """
        slug, *former = slugs_of(new.name)
        is_former = and_(
            Character.project_id.is_not_distinct_from(project_id), Character.slug.in_(former)
        )
        if await self._session.scalar(select(Character.id).where(is_former)):
            raise _taken(slug)
        row = await self._session.scalar(
            insert(Character)
            .values(
                project_id=project_id,
                slug=slug,
                name=new.name,
                description=new.description,
                details=new.metadata,
            )
            .on_conflict_do_nothing()
            .returning(Character)
        )
        if row is None:
            raise _taken(slug)
        return _record(row, None)

    async def get(self, character_id: UUID) -> CharacterRecord:
        """That character.

        Raises:
            NotFound: there is none with that id.
        """
        found = await self._records(_characters().where(Character.id == character_id))
        if not found:
            raise no_such_character(str(character_id))
        return found[0]

    async def change(self, character_id: UUID, change: CharacterChange) -> CharacterRecord:
        """The character as it is after the change.

        Raises:
            NotFound: there is none with that id.
        """
        values = change.model_dump(exclude_none=True)
        if "metadata" in values:
            values["details"] = values.pop("metadata")
        await self._session.execute(
            update(Character).where(Character.id == character_id).values(updated_at=NOW, **values)
        )
        return await self.get(character_id)

    async def page(
        self, *, limit: int, cursor: str | None = None, project_id: UUID | None = None
    ) -> tuple[list[CharacterRecord], str | None]:
        """At most `limit` characters, newest first, and the cursor of the next page.

        Raises:
            InvalidRequest: the cursor is not one of this list.
        """
        found = _characters().order_by(Character.created_at.desc(), Character.id.desc())
        if project_id is not None:
            found = found.where(Character.project_id == project_id)
        if cursor is not None:
            found = found.where(tuple_(Character.created_at, Character.id) < cut_at(cursor, UUID))
        records = await self._records(found.limit(limit + 1))
        return page_of(records, limit, lambda record: PageCut(record.created_at, record.id))

    async def add_version(self, character_id: UUID, new: NewVersion) -> CharacterVersionRecord:
        """The new version, under the next number; the first one is canonical.

        Raises:
            NotFound: there is no such character.
        """
        last = await self._lock(character_id)
        is_canonical = new.is_canonical if new.is_canonical is not None else last == 0
        if is_canonical:
            await self._clear_canonical(character_id)
        row = await self._session.scalar(
            insert(VersionRow)
            .values(
                character_id=character_id,
                number=last + 1,
                is_canonical=is_canonical,
                **new.model_dump(mode="json", exclude={"is_canonical"}),
            )
            .returning(VersionRow)
        )
        assert row is not None  # noqa: S101  what is inserted is returned
        return _version(row)

    async def make_canonical(self, character_id: UUID, number: int) -> CharacterVersionRecord:
        """The version, which alone counts from now on. Doing it twice is harmless.

        Raises:
            NotFound: there is no such character or version.
        """
        await self._lock(character_id)
        await self._clear_canonical(character_id)
        row = await self._session.scalar(
            update(VersionRow)
            .where(VersionRow.character_id == character_id, VersionRow.number == number)
            .values(is_canonical=True)
            .returning(VersionRow),
            execution_options={"populate_existing": True},
        )
        if row is None:
            raise NotFound(
                f"Character {character_id} has no version {number}.",
                f"`GET /api/anime/characters/{character_id}/versions` lists them.",
            )
        return _version(row)

    async def versions(
        self, character_id: UUID, *, limit: int, cursor: str | None = None
    ) -> tuple[list[CharacterVersionRecord], str | None]:
        """At most `limit` versions, newest first, and the cursor of the next page.

        Raises:
            NotFound: there is no such character.
            InvalidRequest: the cursor is not one of this list.
        """
        await self.get(character_id)
        found = (
            select(VersionRow)
            .where(VersionRow.character_id == character_id)
            .order_by(VersionRow.created_at.desc(), VersionRow.id.desc())
        )
        if cursor is not None:
            found = found.where(tuple_(VersionRow.created_at, VersionRow.id) < cut_at(cursor, UUID))
        rows = await self._session.scalars(found.limit(limit + 1))
        return page_of(
            [_version(row) for row in rows], limit, lambda v: PageCut(v.created_at, v.id)
        )

    async def _lock(self, character_id: UUID) -> int:
        """The number of the last version; nobody else adds one until this transaction ends."""
        locked = await self._session.scalar(
            select(Character.id).where(Character.id == character_id).with_for_update()
        )
        if locked is None:
            raise no_such_character(str(character_id))
        last = await self._session.scalar(
            select(func.max(VersionRow.number)).where(VersionRow.character_id == character_id)
        )
        return last or 0

    async def _clear_canonical(self, character_id: UUID) -> None:
        # On its own: in one UPDATE both could be canonical for a moment, which the index refuses.
        await self._session.execute(
            update(VersionRow)
            .where(VersionRow.character_id == character_id, VersionRow.is_canonical)
            .values(is_canonical=False)
        )

    async def _records(self, statement: Any) -> list[CharacterRecord]:  # as _characters
        rows = await self._session.execute(statement, execution_options={"populate_existing": True})
        return [_record(character, version) for character, version in rows]


def _taken(slug: str) -> AlreadyExists:
    return AlreadyExists(
        f"There is a character {slug} in this project already.", "Use it, or choose another name."
    )


def no_such_character(named: str) -> NotFound:
    """The error for an id without a row."""
    return NotFound(
        f"There is no character {named[:64]!r}.", "`GET /api/anime/characters` lists them."
    )


def _characters() -> Any:  # a Select of both rows, which SQLAlchemy 2.0 and 2.1 type differently
    """Each character with its canonical version, if it has one."""
    is_canonical = and_(VersionRow.character_id == Character.id, VersionRow.is_canonical)
    return select(Character, VersionRow).outerjoin(VersionRow, is_canonical)


def _record(row: Character, canonical: VersionRow | None) -> CharacterRecord:
    return CharacterRecord(
        id=row.id,
        slug=row.slug,
        name=row.name,
        project_id=row.project_id,
        description=row.description,
        metadata=row.details,
        canonical=_version(canonical) if canonical is not None else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _version(row: VersionRow) -> CharacterVersionRecord:
    return CharacterVersionRecord(
        id=row.id,
        character_id=row.character_id,
        number=row.number,
        prompt=row.prompt,
        negative_prompt=row.negative_prompt,
        loras=[CatalogueLora.model_validate(choice) for choice in row.loras],
        seed=row.seed,
        notes=row.notes,
        is_canonical=row.is_canonical,
        created_at=row.created_at,
    )
