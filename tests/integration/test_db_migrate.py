"""Migrations run once, wholly or not at all, whoever starts them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from old_client import execute
from sqlalchemy import make_url

from anime.db.migrate import check, revision, upgrade
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import ConfigurationError, DatabaseUnavailable

PROJECT_DIR = Path(__file__).resolve().parents[2]


async def test_a_migrated_database_is_at_the_newest_revision_and_as_the_models_say(
    database_url: str,
) -> None:
    current, head = await revision(database_url)
    assert current == head is not None
    assert await check(database_url) == []


async def test_a_database_that_was_never_migrated_has_no_revision(empty_database_url: str) -> None:
    assert (await revision(empty_database_url))[0] is None
    with pytest.raises(DatabaseUnavailable, match="anime migrate"):
        await check(empty_database_url)


async def test_asking_an_empty_database_leaves_it_empty(empty_database_url: str) -> None:
    await revision(empty_database_url)
    with pytest.raises(DatabaseUnavailable):
        await check(empty_database_url)
    assert await execute(empty_database_url, "SELECT to_regnamespace('anime_api')") == [(None,)]


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = await revision(database_url)
    await upgrade(database_url)
    assert await revision(database_url) == before


async def test_starters_at_the_same_moment_do_not_collide(empty_database_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_database_url) for _ in range(4)))
    assert await check(empty_database_url) == []


async def test_tables_of_others_are_left_alone(database_url: str) -> None:
    await execute(database_url, "CREATE TABLE public.alembic_version (version_num TEXT)")
    await execute(database_url, "CREATE TABLE anime_api.characters (id SERIAL)")
    await upgrade(database_url)
    assert await check(database_url) == []
    assert await execute(database_url, "SELECT * FROM public.alembic_version") == []


async def test_a_difference_from_the_models_is_told(database_url: str) -> None:
    await execute(database_url, "ALTER TABLE anime_api.production_jobs DROP COLUMN shot")
    [difference] = await check(database_url)
    assert "shot" in difference


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    await execute(database_url, "UPDATE anime_api.alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="9999.*Update this program"):
        await upgrade(database_url)


async def test_without_migration_every_query_says_what_to_do(empty_database_url: str) -> None:
    async with Database(empty_database_url) as database:
        with pytest.raises(DatabaseUnavailable, match="anime migrate"):
            async with database.session_scope() as session:
                await JobRepository(session).newest(1)


async def test_a_user_without_the_right_is_told_so(empty_database_url: str) -> None:
    await execute(
        empty_database_url,
        "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
    )
    url = make_url(empty_database_url)
    options = {"options": "-c role=guest"}
    as_guest = url.update_query_dict(options).render_as_string(hide_password=False)
    with pytest.raises(ConfigurationError, match="This user may not do that"):
        await upgrade(as_guest)


def test_developers_reach_the_same_migrations_through_alembic_ini(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-x", f"url={database_url}", "check"],
        cwd=PROJECT_DIR,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "No new upgrade operations detected" in done.stdout, done.stderr
