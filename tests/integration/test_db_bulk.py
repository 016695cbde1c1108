"""Many values as one parameter."""

from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import select

from anime.db.models import AnimeFile
from anime.db.repositories.bulk import insert_missing, is_among
from anime.db.session import Database

NOW = datetime(2026, 2, 3, 4, 5, 6, 789, UTC)


def _row(name: str, **values: object) -> dict[str, object]:
    return {
        "filename": name,
        "file_path": f"/library/{name}",
        "job_id": None,
        "details": {"prompt": 'a "cat"\n猫 \\', "seed": 2**64 - 1},
        "created_at": NOW,
        **values,
    }


async def test_what_comes_back_is_what_was_written(database: Database) -> None:
    job_id = uuid4()
    async with database.session_scope() as session:
        names = await insert_missing(
            session, AnimeFile, [_row("a.png", job_id=job_id), _row("b.png")], returning="filename"
        )
        rows = list(await session.scalars(select(AnimeFile).order_by(AnimeFile.filename)))
    assert sorted(names) == ["a.png", "b.png"]
    assert [row.job_id for row in rows] == [job_id, None]
    assert rows[0].details == _row("a.png")["details"]
    assert rows[0].created_at == NOW
    assert rows[0].state == "present", "what is not given is as the table says"


async def test_a_row_that_is_there_is_left_as_it_is(database: Database) -> None:
    first = _row("a.png", job_id=uuid4(), source_path="jobs/a.png")
    async with database.session_scope() as session:
        await insert_missing(session, AnimeFile, [first], returning="id")
        added = await insert_missing(
            session, AnimeFile, [first | {"filename": "b.png"}], returning="id"
        )
        names = list(await session.scalars(select(AnimeFile.filename)))
    assert added == []
    assert names == ["a.png"]


async def test_rows_are_found_by_many_values_or_none(database: Database) -> None:
    async with database.session_scope() as session:
        await insert_missing(
            session, AnimeFile, [_row("a.png"), _row("b.png"), _row("c.png")], returning="id"
        )
        asked = select(AnimeFile.filename).order_by(AnimeFile.filename)
        two = await session.scalars(asked.where(is_among(AnimeFile.filename, {"a.png", "c.png"})))
        none = await session.scalars(asked.where(is_among(AnimeFile.filename, [])))
        assert list(two) == ["a.png", "c.png"]
        assert list(none) == []
