"""Migrations run once, wholly or not at all, whoever starts them."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import make_url, text

from anime.db.address import parse_address
from anime.db.migrate import _run, check, revision, upgrade
from anime.db.session import Database
from anime.errors import ConfigurationError, DatabaseUnavailable
from tests.integration.old_client import execute
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS

ADVISORY_LOCK = 0x616E696D65
IS_ANYBODY_WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND state = 'idle' AND query = 'COMMIT'"  # of the transaction that asked for the lock
)
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
    others = [start_alembic(empty_database_url, "upgrade", "head") for _ in range(2)]
    await asyncio.gather(*(upgrade(empty_database_url) for _ in range(2)))
    for other in others:
        _, complaint = await asyncio.to_thread(other.communicate, timeout=HUNG_SECONDS)
        assert other.returncode == 0, complaint
    assert await check(empty_database_url) == []


async def test_a_migration_waits_for_the_one_under_way(empty_database_url: str) -> None:
    async with Database(empty_database_url) as database:
        async with database.session_scope() as session:
            await session.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            waiting = asyncio.create_task(upgrade(empty_database_url))
            while not await execute(empty_database_url, IS_ANYBODY_WAITING):
                assert not waiting.done()
            assert (await revision(empty_database_url))[0] is None
        await waiting
    assert await check(empty_database_url) == []


async def test_the_newest_revision_can_be_taken_back_and_comes_again(database_url: str) -> None:
    await execute(
        database_url,
        "INSERT INTO anime_api.anime_files (filename, file_type, file_path, file_size, metadata)"
        """ VALUES ('a.png', 'image', '/a.png', 9, '{"model": "SDXL/ink.safetensors"}')""",
    )
    for steps in (0, 20, 4):
        await execute(
            database_url,
            "INSERT INTO anime_api.render_costs (workflow, model, size, steps, server, renders,"
            f" mean_seconds) VALUES ('w', 'm', '64x64x1', {steps}, 'http://a', 1, {steps}.5)",
        )
    terms = "SELECT file_id, terms::text FROM anime_api.searchable_files"
    searchable = await execute(database_url, terms)
    address = parse_address(database_url)
    await asyncio.to_thread(_run, address, command.downgrade, "0015")
    current, head = await revision(database_url)
    assert current != head
    assert len(await execute(database_url, terms)) == len(searchable) == 1
    await upgrade(database_url)
    assert await check(database_url) == []
    assert await execute(database_url, terms) == searchable
    costs = await execute(database_url, "SELECT steps, mean_seconds FROM anime_api.render_costs")
    assert costs == [(0, 4.5)], "the newest is kept, as one of no known number of steps"


async def test_tables_of_others_are_left_alone(database_url: str) -> None:
    await execute(database_url, "CREATE TABLE public.alembic_version (version_num TEXT)")
    await execute(database_url, "CREATE TABLE anime_api.wardrobe (id SERIAL)")
    await upgrade(database_url)
    assert await check(database_url) == []
    assert await execute(database_url, "SELECT * FROM public.alembic_version") == []


async def test_a_difference_from_the_models_is_told(database_url: str) -> None:
    await execute(database_url, "ALTER TABLE anime_api.production_jobs DROP COLUMN output_path")
    [difference] = await check(database_url)
    assert "output_path" in difference


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    await execute(database_url, "UPDATE anime_api.alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match=r"9999.*Update this program"):
        await upgrade(database_url)


async def test_without_migration_every_query_says_what_to_do(empty_database_url: str) -> None:
    async with Database(empty_database_url) as database:
        with pytest.raises(DatabaseUnavailable, match="anime migrate"):
            await newest_jobs(database)


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
    said, complaint = start_alembic(database_url, "check").communicate(timeout=HUNG_SECONDS)
    assert "No new upgrade operations detected" in said, complaint


def start_alembic(url: str, *order: str) -> subprocess.Popen[str]:
    """A process of its own, as another starter is."""
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", "-x", f"url={url}", *order],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
