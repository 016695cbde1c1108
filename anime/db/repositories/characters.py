"""Characters and their versions, of which one each is canonical."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, literal, or_, select, tuple_, update
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
from anime.core.references import MAX_REFERENCES, Reference, ReferenceRecord
from anime.db.character_models import Character, ReferenceRow
from anime.db.character_models import CharacterVersion as VersionRow
from anime.db.repositories.bulk import is_among
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.db.repositories.leases import NOW
from anime.errors import AlreadyExists, InvalidRequest, NotFound


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
        return _record(row, None, [])

    async def find(self, name: str, project_id: UUID | None = None) -> CharacterRecord:
        """The character of that name: the project's own, or else one of no project.

        Raises:
            NotFound: there is none.
        """
        own = or_(Character.project_id == project_id, Character.project_id.is_(None))
        named = _characters().where(is_among(Character.slug, slugs_of(name)), own)
        found = await self._records(named.order_by(Character.project_id.is_(None)))
        if not found:
            raise no_such_character(name)
        return found[0]

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
        before = await self._newest(character_id)
        row = await self._session.scalar(
            insert(VersionRow)
            .values(
                character_id=character_id,
                number=last + 1,
                is_canonical=is_canonical,
                created_by=new.by,
                **_approval(new.by if is_canonical else None),
                **new.model_dump(mode="json", exclude={"is_canonical", "keeps_references", "by"}),
            )
            .returning(VersionRow)
        )
        assert row is not None  # noqa: S101  what is inserted is returned
        if before is not None and new.keeps_references:
            await self._copy_references(before, row)
        return await self._with_references(row)

    async def add_reference(
        self, character_id: UUID, reference: Reference, *, source: str, by: str
    ) -> ReferenceRecord:
        """The picture, added to the newest version, or to a draft like it if that was approved.

        Adding it twice in one role is harmless: it is there once.

        Raises:
            NotFound: there is no such character.
            InvalidRequest: it has no version yet, or the version has too many pictures.
        """
        await self._lock(character_id)
        newest = await self._newest(character_id)
        if newest is None:
            raise InvalidRequest(
                "The character has no version that a picture could belong to.",
                "Add a version first: what describes them in a prompt.",
            )
        known = await self._references_of([newest.id])
        for each in known.get(newest.id, ()):
            if (each.role, each.sha256) == (reference.role, reference.sha256):
                return each
        if len(known.get(newest.id, ())) >= MAX_REFERENCES:
            raise InvalidRequest(
                f"Version {newest.number} has {MAX_REFERENCES} reference pictures already.",
                "Add a version that does not keep them, and those that count.",
            )
        version = newest if newest.approved_at is None else await self._draft_like(newest, by)
        self._session.add(
            ReferenceRow(
                version_id=version.id,
                position=len(known.get(newest.id, ())) + 1,
                role=reference.role,
                sha256=reference.sha256,
                path=reference.path,
                source=source,
                created_by=by,
            )
        )
        await self._session.flush()
        return (await self._references_of([version.id]))[version.id][-1]

    async def references(
        self, character_id: UUID, number: int | None = None
    ) -> list[ReferenceRecord]:
        """The pictures of that version, or of the newest one, in order.

        Raises:
            NotFound: there is no such character or version.
        """
        await self.get(character_id)
        row = await self._newest(character_id, number)
        if row is None and number is not None:
            raise _no_such_version(character_id, number)
        return [] if row is None else (await self._references_of([row.id])).get(row.id, [])

    async def make_canonical(
        self, character_id: UUID, number: int, *, by: str = "api"
    ) -> CharacterVersionRecord:
        """The version, which alone counts from now on. Doing it twice is harmless.

        Making the one canonical that was so before undoes it.

        Raises:
            NotFound: there is no such character or version.
        """
        await self._lock(character_id)
        row = await self._newest(character_id, number)
        if row is None:
            raise _no_such_version(character_id, number)
        if not row.is_canonical:
            await self._clear_canonical(character_id)
            row.is_canonical, row.approved_by = True, by
            row.approved_at = (await self._session.execute(select(NOW))).scalar_one()
            await self._session.flush()
        return await self._with_references(row)

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
        rows = (await self._session.scalars(found.limit(limit + 1))).all()
        references = await self._references_of([row.id for row in rows])
        return page_of(
            [_version(row, references.get(row.id, [])) for row in rows],
            limit,
            lambda version: PageCut(version.created_at, version.id),
        )

    async def reference(self, character_id: UUID, sha256: str) -> ReferenceRecord:
        """The picture with that hash, of the newest version that has it.

        Raises:
            NotFound: no version of the character has it.
        """
        found = await self._session.execute(
            select(ReferenceRow, VersionRow.number)
            .join(VersionRow, VersionRow.id == ReferenceRow.version_id)
            .where(VersionRow.character_id == character_id, ReferenceRow.sha256 == sha256)
            .order_by(VersionRow.number.desc(), ReferenceRow.position)
            .limit(1)
        )
        row = found.one_or_none()
        if row is None:
            raise NotFound(
                f"Character {character_id} has no picture with the hash {sha256[:64]}.",
                f"`GET /api/anime/characters/{character_id}/references` lists them.",
            )
        return _reference(*row)

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
        found = await self._session.execute(
            statement, execution_options={"populate_existing": True}
        )
        rows = found.all()
        references = await self._references_of([row[1].id for row in rows if row[1] is not None])
        return [
            _record(character, version, references.get(version.id, []) if version else [])
            for character, version in rows
        ]

    async def _newest(self, character_id: UUID, number: int | None = None) -> VersionRow | None:
        """The version of that number, or the newest one."""
        versions = select(VersionRow).where(VersionRow.character_id == character_id)
        if number is not None:
            versions = versions.where(VersionRow.number == number)
        newest: VersionRow | None = await self._session.scalar(
            versions.order_by(VersionRow.number.desc()).limit(1),
            execution_options={"populate_existing": True},
        )
        return newest

    async def _draft_like(self, version: VersionRow, by: str) -> VersionRow:
        """A draft that says what the version says, and has its pictures."""
        draft = VersionRow(
            character_id=version.character_id,
            number=version.number + 1,
            prompt=version.prompt,
            negative_prompt=version.negative_prompt,
            loras=version.loras,
            seed=version.seed,
            notes=version.notes,
            created_by=by,
        )
        self._session.add(draft)
        await self._session.flush()
        await self._copy_references(version, draft)
        return draft

    async def _copy_references(self, source: VersionRow, target: VersionRow) -> None:
        names = ("position", "role", "sha256", "path", "source", "created_at", "created_by")
        columns = [getattr(ReferenceRow, name) for name in names]
        await self._session.execute(
            insert(ReferenceRow).from_select(
                ["version_id", *names],
                select(literal(target.id), *columns).where(ReferenceRow.version_id == source.id),
            )
        )

    async def _with_references(self, row: VersionRow) -> CharacterVersionRecord:
        return _version(row, (await self._references_of([row.id])).get(row.id, []))

    async def _references_of(
        self, version_ids: Collection[UUID]
    ) -> dict[UUID, list[ReferenceRecord]]:
        if not version_ids:
            return {}
        rows = await self._session.execute(
            select(ReferenceRow, VersionRow.number)
            .join(VersionRow, VersionRow.id == ReferenceRow.version_id)
            .where(is_among(ReferenceRow.version_id, version_ids))
            .order_by(ReferenceRow.version_id, ReferenceRow.position)
        )
        found: dict[UUID, list[ReferenceRecord]] = {}
        for row, number in rows:
            found.setdefault(row.version_id, []).append(_reference(row, number))
        return found


def _taken(slug: str) -> AlreadyExists:
    return AlreadyExists(
        f"There is a character {slug} in this project already.", "Use it, or choose another name."
    )


def no_such_character(named: str) -> NotFound:
    """The error for an id without a row."""
    return NotFound(f"There is no character {named[:64]!r}.", "`anime characters list` has them.")


def _characters() -> Any:  # a Select of both rows, which SQLAlchemy 2.0 and 2.1 type differently
    """Each character with its canonical version, if it has one."""
    is_canonical = and_(VersionRow.character_id == Character.id, VersionRow.is_canonical)
    return select(Character, VersionRow).outerjoin(VersionRow, is_canonical)


def _record(
    row: Character, canonical: VersionRow | None, references: list[ReferenceRecord]
) -> CharacterRecord:
    return CharacterRecord(
        id=row.id,
        slug=row.slug,
        name=row.name,
        project_id=row.project_id,
        description=row.description,
        metadata=row.details,
        canonical=_version(canonical, references) if canonical is not None else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _version(row: VersionRow, references: list[ReferenceRecord]) -> CharacterVersionRecord:
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
        references=references,
        created_at=row.created_at,
        created_by=row.created_by,
        approved_at=row.approved_at,
        approved_by=row.approved_by,
    )


def _reference(row: ReferenceRow, version: int) -> ReferenceRecord:
    return ReferenceRecord(
        version=version,
        position=row.position,
        role=row.role,
        sha256=row.sha256,
        path=row.path,
        source=row.source,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _approval(by: str | None) -> dict[str, Any]:  # values by column
    """What a version says of its approval; nothing if it is a draft."""
    return {} if by is None else {"approved_at": NOW, "approved_by": by}


def _no_such_version(character_id: UUID, number: int) -> NotFound:
    return NotFound(
        f"Character {character_id} has no version {number}.",
        "`anime characters show` has them.",
    )
