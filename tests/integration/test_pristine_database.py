"""A database that served one test serves the next as if it were new."""

from contextlib import aclosing

import pytest

from tests.integration.old_client import execute
from tests.services import MigratedDatabases
from tests.support.pristine_database import PristineDatabase

MANY_ROWS = """
INSERT INTO anime_api.projects (id, slug, name)
SELECT gen_random_uuid(), number::text, number::text FROM generate_series(1, 5000) AS number
"""
END_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
FILLED = """
INSERT INTO anime_api.projects (id, slug, name) VALUES (gen_random_uuid(), 'a', 'A');
UPDATE anime_api.alembic_version SET version_num = '0001';
"""


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE anime_api.projects ADD COLUMN more text",
        "CREATE SCHEMA other",
        "DROP TABLE anime_api.alembic_version",
        "CREATE INDEX more ON anime_api.projects (name)",
    ],
)
async def test_a_changed_schema_is_not_restored(database_url: str, change: str) -> None:
    async with aclosing(await PristineDatabase.of(database_url)) as pristine:
        await execute(database_url, change)
        assert not await pristine.restore()


async def test_rows_are_those_of_a_new_one(database_url: str) -> None:
    async with aclosing(await PristineDatabase.of(database_url)) as pristine:
        for _ in range(2):  # by a new connection, and by the same
            await execute(database_url, FILLED)
            filled = await PristineDatabase.of(database_url)
            assert filled.rows != pristine.rows
            assert await pristine.restore()
            assert (await PristineDatabase.of(database_url)).rows == pristine.rows


async def test_a_connection_that_a_test_has_ended_is_replaced(database_url: str) -> None:
    async with aclosing(await PristineDatabase.of(database_url)) as pristine:
        assert await pristine.restore()
        await execute(database_url, END_OTHERS)
        await execute(database_url, FILLED)
        assert await pristine.restore()
        assert (await PristineDatabase.of(database_url)).rows == pristine.rows


async def test_no_empty_pages_are_left_of_many_rows(database_url: str) -> None:
    async with aclosing(await PristineDatabase.of(database_url)) as pristine:
        await execute(database_url, MANY_ROWS)
        assert await pristine.restore()
        [(size,)] = await execute(database_url, "SELECT pg_relation_size('anime_api.projects')")
        assert size == 0


async def test_only_a_restored_one_is_lent_again(migrated_databases: MigratedDatabases) -> None:
    async with migrated_databases.lend() as first:
        await execute(first, FILLED)
    async with migrated_databases.lend() as again:
        assert again == first
        await execute(again, "DROP TABLE anime_api.alembic_version")
    async with migrated_databases.lend() as another:
        assert another != first
