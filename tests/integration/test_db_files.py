"""What is written down of a file, and how it is found again."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from anime.db.repositories import AssetRow, FileQuery, FileRepository, FileSearch
from anime.db.session import Database
from anime.errors import NotFound
from anime.schemas import FileRecord
from tests.integration.old_client import execute

JOB = uuid4()
OLD_INSERT = """
    INSERT INTO anime_api.anime_files (filename, project_id, job_id, file_type, file_path,
        file_size, metadata, created_at, organized_at)
    VALUES ('old.png', NULL, gen_random_uuid(), 'image', '/srv/old.png', 12, '{"seed": 3}',
        '2024-05-01 10:00:00', '2024-05-01 10:00:05')
"""


def picture(number: int, *, job_id: UUID | None = JOB, **more: Any) -> AssetRow:
    facts: dict[str, Any] = {  # any fields
        "filename": f"fox_{number}.png",
        "file_type": "image",
        "file_path": f"/library/fox_{number}.png",
        "file_size": 2**33 + number,
        "job_id": job_id,
        "source_path": f"{job_id}/fox_{number}_00001_.png",
        "sha256": "ab" * 32,
        "width": 512,
        "height": 768,
        "media_type": "image/png",
        "metadata": {"seed": 2**64 - 1, "graph": {"3": {"class_type": "KSampler"}}},
    }
    return AssetRow(**(facts | more))


async def record(database: Database, *files: AssetRow) -> list[FileRecord]:
    async with database.session_scope() as session:
        return await FileRepository(session).record(files)


async def test_every_file_of_a_batch_is_kept_in_order(database: Database) -> None:
    recorded = await record(database, *(picture(number) for number in range(4)))
    assert [file.filename for file in recorded] == [f"fox_{n}.png" for n in range(4)]
    async with database.session_scope() as session:
        assert await FileRepository(session).of_job(JOB) == recorded


async def test_a_file_comes_back_as_it_was_written(database: Database) -> None:
    [written] = await record(database, picture(1))
    async with database.session_scope() as session:
        file = await FileRepository(session).get(written.id)
    assert file == written
    assert (file.file_size, file.width, file.height) == (2**33 + 1, 512, 768)
    assert file.metadata["seed"] == 2**64 - 1


async def test_recording_twice_makes_one_row_with_the_same_id(database: Database) -> None:
    first = await record(database, picture(1), picture(2))
    again = await record(database, picture(1, sha256="cd" * 32), picture(2), picture(3))
    assert [file.id for file in again[:2]] == [file.id for file in first]
    assert [file.created_at for file in again[:2]] == [file.created_at for file in first]
    assert again[0].sha256 == "cd" * 32
    async with database.session_scope() as session:
        assert len(await FileRepository(session).of_job(JOB)) == 3


async def test_a_file_named_twice_in_one_call_is_one_row(database: Database) -> None:
    assert len(await record(database, picture(1), picture(1))) == 1


async def test_files_without_a_known_source_are_never_taken_for_one(database: Database) -> None:
    stray = picture(1, job_id=None, source_path=None)
    assert len(await record(database, stray, stray)) == 2


async def test_the_same_source_of_another_job_is_another_file(database: Database) -> None:
    name = "fox_00001_.png"
    files = (picture(1, source_path=name), picture(1, job_id=uuid4(), source_path=name))
    assert len(await record(database, *files)) == 2


async def test_nothing_to_record_is_no_error(database: Database) -> None:
    assert await record(database) == []


async def test_an_unknown_file_is_not_found(database: Database) -> None:
    async with database.session_scope() as session:
        with pytest.raises(NotFound, match="There is no file 404"):
            await FileRepository(session).get(404)


async def test_the_statements_of_old_programs_go_on_working(
    database: Database, database_url: str
) -> None:
    await record(database, picture(1))
    await execute(database_url, OLD_INSERT)
    newest = "SELECT * FROM anime_api.anime_files ORDER BY created_at DESC LIMIT 5"
    rows = await execute(database_url, newest)
    assert [row[1] for row in rows] == ["fox_1.png", "old.png"]
    async with database.session_scope() as session:
        old = (await FileSearch(session).page(FileQuery(), limit=5)).files[-1]
    assert (old.filename, old.metadata, old.sha256) == ("old.png", {"seed": 3}, None)


async def test_a_row_that_old_programs_left_half_empty_can_be_read(
    database: Database, database_url: str
) -> None:
    await execute(
        database_url, "INSERT INTO anime_api.anime_files (metadata) VALUES (NULL), ('[1, 2]')"
    )
    async with database.session_scope() as session:
        files = (await FileSearch(session).page(FileQuery(), limit=5)).files
    assert [file.metadata for file in files] == [{"value": [1, 2]}, {}]
    assert {(file.filename, file.file_size) for file in files} == {("", 0)}
