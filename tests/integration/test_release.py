"""Programs of the last release go on while the tables are already those of the next one.

So an upgrade migrates first and replaces the programs one after the other, and nobody waits.
"""

import psycopg
import pytest
from psycopg.errors import CheckViolation, NotNullViolation, UndefinedColumn

from tests.integration.old_client import execute
from tests.services import MigratedDatabases
from tests.support.release_statements import RecordedTest, replay


async def test_what_the_last_release_says_is_still_understood(
    migrated_databases: MigratedDatabases,
) -> None:
    """If it fails: add first, and take away in the release after (docs/operation.md, Upgrading)."""
    kept = RecordedTest.all_kept()
    assert sum(len(each.statements) for each in kept) > 500
    for each in kept:
        async with migrated_databases.lend() as url:
            try:
                await replay(url, each.statements)
            except psycopg.Error as fault:
                pytest.fail(f"What {each.name} recorded fails now: {fault}")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("RENAME COLUMN workflow TO graph", UndefinedColumn),
        ("ADD COLUMN studio text NOT NULL", NotNullViolation),
        ("ADD CHECK (seed < 0)", CheckViolation),
    ],
)
async def test_a_migration_that_takes_away_is_noticed(
    database_url: str, change: str, fault: type[psycopg.Error]
) -> None:
    await execute(database_url, f"ALTER TABLE anime_api.production_jobs {change}")
    faults = [await fault_of(database_url, each) for each in RecordedTest.all_kept()]
    assert fault in faults


async def fault_of(url: str, recorded: RecordedTest) -> type[Exception] | None:
    try:
        await replay(url, recorded.statements)
    except psycopg.Error as fault:  # of all in one database, some names are taken
        return type(fault)
    return None
