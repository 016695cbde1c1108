"""An installation of the older services becomes ours and loses nothing."""

import logging
from datetime import UTC, datetime

import pytest
from sqlalchemy import make_url

from anime.db.migrate import check, upgrade
from anime.db.models import Base
from anime.db.repositories import AssetRow, FileRepository
from anime.db.session import Database
from anime.errors import ConfigurationError
from tests.integration.old_client import execute

OLD_TABLE = """
    CREATE SCHEMA anime_api;
    CREATE TABLE anime_api.anime_files (
        id SERIAL PRIMARY KEY,
        filename VARCHAR(255) NOT NULL,
        project_id UUID,
        job_id UUID,
        file_type VARCHAR(50),
        file_path TEXT NOT NULL,
        file_size BIGINT,
        metadata JSONB DEFAULT '{}',
        created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        organized_at TIMESTAMP
    );
    INSERT INTO anime_api.anime_files
        (id, filename, job_id, file_type, file_path, file_size, metadata, created_at, organized_at)
    VALUES
        (3, 'a.png', '00000000-0000-0000-0000-000000000007', 'image', '/srv/a.png', 10,
            '{"seed": 5}', '2025-12-02 09:30:00', '2025-12-02 09:31:00'),
        (8, 'b.mp4', NULL, 'video', '/srv/a.png', NULL, NULL, NULL, '2025-12-03 00:00:00'),
        (9, 'c.png', NULL, 'image', '/srv/c.png', 1, '[]', NULL, NULL);
    SELECT setval('anime_api.anime_files_id_seq', 20);
"""
ODD_TABLE = """
    CREATE SCHEMA anime_api;
    CREATE TABLE anime_api.projects (id SERIAL PRIMARY KEY, title TEXT);
    INSERT INTO anime_api.projects (title) VALUES ('kept');
    CREATE TABLE anime_api.anime_files (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        filename VARCHAR(100) UNIQUE,
        project_id INTEGER REFERENCES anime_api.projects (id),
        job_id VARCHAR(36),
        file_path TEXT CHECK (length(file_path) > 3),
        file_size INTEGER,
        metadata TEXT DEFAULT '{}',
        created_at TEXT,
        sha256 CHAR(64),
        "Star Rating" INTEGER NOT NULL,
        CONSTRAINT odd_key PRIMARY KEY (id)
    );
    CREATE INDEX anime_files_job_id_idx ON anime_api.anime_files (file_path);
    CREATE UNIQUE INDEX "One Path" ON anime_api.anime_files (file_path);
    INSERT INTO anime_api.anime_files
        (filename, project_id, job_id, file_path, file_size, metadata, created_at, "Star Rating")
    VALUES
        ('a', 1, '00000000-0000-0000-0000-000000000007', '/a.png', 10, '{"seed": 5}',
            '2025-12-02 09:30:00+09', 5),
        ('b', NULL, 'job-17', '/b.png', NULL, 'no json', 'last spring', 4);
"""
FOREIGN_TABLES = """
    CREATE SCHEMA anime_api;
    CREATE TABLE anime_api.production_jobs (id SERIAL PRIMARY KEY, title TEXT);
    CREATE INDEX production_jobs_created_at_id_idx ON anime_api.production_jobs (title);
    INSERT INTO anime_api.production_jobs (title) VALUES ('an older job');
    CREATE TABLE anime_api.characters (id SERIAL PRIMARY KEY);
"""
SHAPE = """
    SELECT table_name::text || '.' || column_name || ' ' || data_type
        || coalesce(character_maximum_length::text, '') || coalesce(numeric_precision::text, '')
        || ' ' || is_nullable || ' ' || coalesce(column_default, '')
    FROM information_schema.columns
    WHERE table_schema = 'anime_api' AND table_name IN {tables}
        AND column_name <> 'Star Rating' AND column_name NOT LIKE '%_before_adoption'
    UNION ALL
    SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'anime_api'::regnamespace AND contype <> 'n'
        AND conrelid::regclass::text IN {names}
    UNION ALL
    SELECT indexdef FROM pg_indexes
    WHERE schemaname = 'anime_api' AND tablename IN {tables}
        AND indexname NOT LIKE '%_before_adoption'
"""
TABLES = ("projects", "production_jobs", "anime_files")


async def shape(url: str) -> list[str]:
    """Columns, constraints and indexes of our tables, each in a line."""
    statement = SHAPE.format(tables=TABLES, names=tuple(f"anime_api.{name}" for name in TABLES))
    return sorted(str(line) for (line,) in await execute(url, statement))


async def files_of(url: str) -> list[tuple[object, ...]]:
    return await execute(
        url,
        "SELECT id, filename, file_path, created_at, organized_at, metadata, state"
        " FROM anime_api.anime_files ORDER BY id",
    )


async def test_a_new_database_has_the_shape_of_the_models(
    database_url: str, empty_database_url: str
) -> None:
    await execute(empty_database_url, "CREATE SCHEMA anime_api")
    async with Database(empty_database_url) as database, database.session_scope() as session:
        connection = await session.connection()
        await connection.run_sync(Base.metadata.create_all)
    assert await shape(database_url) == await shape(empty_database_url)


@pytest.mark.parametrize("old", [OLD_TABLE, ODD_TABLE, FOREIGN_TABLES])
async def test_an_adopted_database_has_the_shape_of_a_new_one(
    database_url: str, empty_database_url: str, old: str
) -> None:
    await execute(empty_database_url, old)
    await upgrade(empty_database_url)
    assert await shape(empty_database_url) == await shape(database_url)
    assert await check(empty_database_url) == []


async def test_an_old_table_keeps_its_rows_ids_and_moments(empty_database_url: str) -> None:
    await execute(empty_database_url, OLD_TABLE)
    await upgrade(empty_database_url, timezone="Asia/Tokyo")
    first, second, third = await files_of(empty_database_url)
    assert first == (
        3,
        "a.png",
        "/srv/a.png",
        datetime(2025, 12, 2, 0, 30, tzinfo=UTC),
        datetime(2025, 12, 2, 0, 31, tzinfo=UTC),
        {"seed": 5},
        "present",
    )
    assert second[:3] == (8, "b.mp4", "/srv/a.png")
    assert second[3] == second[4] == datetime(2025, 12, 2, 15, 0, tzinfo=UTC)
    assert third[5] == []


async def test_without_a_zone_old_moments_are_those_of_the_server(empty_database_url: str) -> None:
    name = make_url(empty_database_url).database
    await execute(empty_database_url, OLD_TABLE)
    await execute(empty_database_url, f"ALTER DATABASE {name} SET TimeZone TO 'America/New_York'")
    await upgrade(empty_database_url)
    [first, *_] = await files_of(empty_database_url)
    assert first[3] == datetime(2025, 12, 2, 14, 30, tzinfo=UTC)


async def test_new_files_get_ids_that_were_never_given_out(empty_database_url: str) -> None:
    await execute(empty_database_url, OLD_TABLE)
    await upgrade(empty_database_url)
    async with Database(empty_database_url) as database, database.session_scope() as session:
        [file] = await FileRepository(session).record(
            [AssetRow(filename="d.png", file_type="image", file_path="/srv/a.png", file_size=1)]
        )
    assert file.id > 20


async def test_values_of_another_type_are_converted_or_kept_beside(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(empty_database_url, ODD_TABLE)
    with caplog.at_level(logging.WARNING):
        await upgrade(empty_database_url)
    rows = await execute(
        empty_database_url,
        "SELECT id, job_id::text, job_id_before_adoption, project_id_before_adoption, metadata,"
        ' metadata_before_adoption, created_at_before_adoption, file_size, "Star Rating"'
        " FROM anime_api.anime_files ORDER BY id",
    )
    job = "00000000-0000-0000-0000-000000000007"
    assert rows == [
        (1, job, job, 1, {"seed": 5}, '{"seed": 5}', "2025-12-02 09:30:00+09", 10, 5),
        (2, None, "job-17", None, None, "no json", "last spring", None, 4),
    ]
    [first, _] = await files_of(empty_database_url)
    assert first[3] == datetime(2025, 12, 2, 0, 30, tzinfo=UTC)
    assert "1 values of anime_api.anime_files.job_id are now in job_id_before_adoption" in (
        caplog.text
    )


async def test_an_odd_table_takes_new_files_as_any_other(empty_database_url: str) -> None:
    await execute(empty_database_url, ODD_TABLE)
    await upgrade(empty_database_url)
    new = AssetRow(filename="a", file_type="image", file_path="/a.png", file_size=2**40)
    async with Database(empty_database_url) as database, database.session_scope() as session:
        [file] = await FileRepository(session).record([new])
    assert (file.id, file.file_size) == (3, 2**40)


async def test_tables_of_others_are_kept_under_another_name(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await execute(empty_database_url, FOREIGN_TABLES)
    with caplog.at_level(logging.WARNING):
        await upgrade(empty_database_url)
    kept = "SELECT id, title FROM anime_api.production_jobs_before_adoption"
    assert await execute(empty_database_url, kept) == [(1, "an older job")]
    assert await execute(empty_database_url, "SELECT * FROM anime_api.characters") == []
    assert "production_jobs was not ours and is now production_jobs_before_adoption" in caplog.text


async def test_a_table_that_cannot_be_adopted_stays_as_it_was(empty_database_url: str) -> None:
    await execute(empty_database_url, OLD_TABLE)
    view = "CREATE VIEW anime_api.recent AS SELECT created_at FROM anime_api.anime_files"
    await execute(empty_database_url, view)
    with pytest.raises(ConfigurationError, match="nothing was changed: cannot alter type"):
        await upgrade(empty_database_url)
    columns = await execute(empty_database_url, "SELECT * FROM anime_api.anime_files LIMIT 1")
    assert len(columns[0]) == 10
    tables = "SELECT to_regclass('anime_api.production_jobs')::text"
    assert await execute(empty_database_url, tables) == [(None,)]
