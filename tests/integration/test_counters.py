"""Jobs and files are counted as they change, whoever changes them, and nobody waits for it."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.job_status import FailureKind
from anime.db.migrate import check, upgrade
from anime.db.repositories import JobList, JobQuery, JobRepository
from anime.db.repositories.metrics import MetricsRepository
from anime.db.session import Database
from anime.schemas import GenerationRequest
from tests.integration.old_client import execute
from tests.support.waiting import HUNG_SECONDS

BEFORE, COUNTED = "0009", "0010"  # the revisions before and with the counters
SOME_JOBS = """
    INSERT INTO anime_api.production_jobs
        (id, type, workflow, prompt, params, seed, character, created_at, status, finished_at)
    SELECT gen_random_uuid(), 'image', 'txt2img', 'rain', '{{}}', n,
        CASE WHEN n % 10 = 0 THEN 'Mira' WHEN n <= 5 THEN 'Ancient' END,
        timestamptz '2025-01-01Z' + n * interval '1 minute', '{status}',
        CASE WHEN '{status}' = 'completed'
            THEN timestamptz '2025-01-01Z' + n * interval '1 minute' END
    FROM generate_series(1, {jobs}) AS n
"""
SOME_FILES = """
    INSERT INTO anime_api.anime_files (filename, organized_at)
    SELECT 'f' || n, CASE WHEN n % 2 = 0 THEN now() END FROM generate_series(1, {files}) AS n
"""
FINISH_ALL = "UPDATE anime_api.production_jobs SET status = 'completed', finished_at = now()"

FAIL_ALL = "UPDATE anime_api.production_jobs SET status = 'failed', error_kind = 'out_of_memory'"


async def counters(database: Database) -> Mapping[str, int]:
    """All that are not 0."""
    async with database.session_scope() as session:
        found = await MetricsRepository(session).counters()
    return {name: value for name, value in found.items() if value}


async def new_job(database: Database) -> str:
    job_id = uuid4()
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, GenerationRequest(prompt="rain"), workflow="txt2img", seed=7)
    return str(job_id)


async def test_what_any_program_writes_changes_or_deletes_is_counted(
    database: Database, database_url: str
) -> None:
    assert await counters(database) == {}
    await execute(database_url, SOME_JOBS.format(jobs=7, status="queued"))
    await execute(database_url, SOME_FILES.format(files=6))
    assert await counters(database) == {"jobs/queued/": 7, "files/organised": 3}
    await execute(database_url, f"{FINISH_ALL} WHERE seed <= 5")
    await execute(database_url, "UPDATE anime_api.anime_files SET organized_at = now()")
    await execute(database_url, "DELETE FROM anime_api.production_jobs WHERE seed > 6")
    assert await counters(database) == {
        "jobs/queued/": 1,
        "jobs/completed/": 5,
        "files/organised": 6,
    }
    await execute(database_url, "UPDATE anime_api.anime_files SET organized_at = NULL")
    await execute(database_url, "DELETE FROM anime_api.anime_files")
    assert await counters(database) == {"jobs/queued/": 1, "jobs/completed/": 5}
    await execute(database_url, "TRUNCATE anime_api.production_jobs")
    assert await counters(database) == {}


async def test_a_failure_is_counted_by_its_kind_and_progress_is_no_change(
    database: Database, database_url: str
) -> None:
    job_id = await new_job(database)
    [before] = await execute(database_url, "SELECT count(*) FROM anime_api.counter_changes")
    await execute(database_url, "UPDATE anime_api.production_jobs SET progress = 50")
    assert [before] == await execute(database_url, "SELECT count(*) FROM anime_api.counter_changes")
    await execute(
        database_url,
        "UPDATE anime_api.production_jobs SET status = 'failed', finished_at = now(),"
        f" error_kind = '{FailureKind.LOST}' WHERE id = '{job_id}'",
    )
    assert await counters(database) == {"jobs/failed/lost": 1}


async def test_changes_are_folded_now_and_then_and_none_is_lost(
    database: Database, database_url: str
) -> None:
    await execute(database_url, SOME_JOBS.format(jobs=3000, status="queued"))
    await execute(database_url, FINISH_ALL)  # 6,000 changes, a row each
    [(changes,)] = await execute(database_url, "SELECT count(*) FROM anime_api.counter_changes")
    assert changes < 1001
    assert await counters(database) == {"jobs/completed/": 3000}


async def test_a_writer_that_takes_its_time_holds_up_no_other(
    database: Database, database_url: str
) -> None:
    await execute(database_url, SOME_JOBS.format(jobs=40, status="queued"))
    plain = make_url(database_url).set(drivername="postgresql")
    async with asyncio.timeout(HUNG_SECONDS), AsyncExitStack() as writers:
        folding = await writers.enter_async_context(await connect(plain.render_as_string()))
        await folding.execute(SOME_JOBS.format(jobs=1, status="queued"))
        await folding.execute("SELECT setval('anime_api.counter_changes_id_seq', 998999)")
        await folding.execute(f"{FINISH_ALL} WHERE seed = 40")  # changes 999,000 and 999,001
        for seed in range(1, 31):
            writer = await writers.enter_async_context(await connect(plain.render_as_string()))
            await writer.execute(f"{FINISH_ALL} WHERE seed = {seed}")
    assert await counters(database) == {"jobs/queued/": 10, "jobs/completed/": 31}


async def connect(url: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A program in the middle of a transaction, which it commits at the end of its block."""
    return await psycopg.AsyncConnection.connect(url)


async def test_what_was_there_before_the_counters_is_counted_while_others_write(
    empty_database_url: str,
) -> None:
    async def write() -> None:
        while not done.is_set():
            await execute(empty_database_url, SOME_JOBS.format(jobs=3, status="queued"))
            await execute(empty_database_url, f"{FINISH_ALL} WHERE status = 'queued'")
            await execute(empty_database_url, SOME_FILES.format(files=2))

    await upgrade(empty_database_url, to=BEFORE)
    await execute(empty_database_url, SOME_JOBS.format(jobs=500, status="completed"))
    await execute(empty_database_url, SOME_FILES.format(files=500))
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(write())
        await upgrade(empty_database_url)
        done.set()
    [(jobs, files)] = await execute(
        empty_database_url,
        "SELECT (SELECT count(*) FROM anime_api.production_jobs),"
        " (SELECT count(organized_at) FROM anime_api.anime_files)",
    )
    async with Database(empty_database_url) as database:
        assert await counters(database) == {"jobs/completed/": jobs, "files/organised": files}
    assert await check(empty_database_url) == []


async def test_an_upgrade_that_was_cut_short_begins_anew(empty_database_url: str) -> None:
    await upgrade(empty_database_url, to=COUNTED)
    await execute(empty_database_url, SOME_JOBS.format(jobs=5, status="queued"))
    await execute(
        empty_database_url, f"UPDATE anime_api.alembic_version SET version_num = '{BEFORE}'"
    )
    await execute(empty_database_url, "DROP INDEX anime_api.production_jobs_completed_idx")
    await upgrade(empty_database_url)
    async with Database(empty_database_url) as database:
        assert await counters(database) == {"jobs/queued/": 5}
    assert await check(empty_database_url) == []


@pytest.mark.parametrize(
    "query",
    [
        *({"character": "Mira"}, {"character": "Ancient"}, {"type": "video"}),
        {"ended_after": "2030-01-01T00:00:00Z"},
    ],
)
async def test_of_many_jobs_those_that_fit_are_found_without_reading_the_others(
    database: Database, database_url: str, query: dict[str, str]
) -> None:
    await execute(database_url, SOME_JOBS.format(jobs=20_000, status="completed"))
    await execute(database_url, "ANALYZE anime_api.production_jobs")
    async with database.session_scope() as session:
        await JobList(session).page(JobQuery.model_validate(query), limit=50)
        assert await rows_read(session) <= 60


async def test_of_many_failed_jobs_those_of_a_rare_reason_are_found_without_reading_the_others(
    database: Database, database_url: str
) -> None:
    await execute(database_url, SOME_JOBS.format(jobs=20_000, status="completed"))
    await execute(database_url, FAIL_ALL)
    await execute(database_url, "VACUUM ANALYZE anime_api.production_jobs")
    query = JobQuery(error_kind=FailureKind.INSUFFICIENT_VRAM)
    async with database.session_scope() as session:
        assert await JobList(session).page(query, limit=50) == ([], None)
        assert await rows_read(session) <= 60


async def test_figures_are_read_without_reading_the_jobs_and_files(
    database: Database, database_url: str
) -> None:
    await execute(database_url, SOME_JOBS.format(jobs=20_000, status="completed"))
    await execute(database_url, "ANALYZE anime_api.production_jobs")
    async with database.session_scope() as session:
        figures = MetricsRepository(session)
        assert (await figures.counters())["jobs/completed/"] == 20_000
        assert await figures.completed_since(await figures.now()) == []
        assert await rows_read(session) == 0


async def rows_read(session: AsyncSession) -> int:
    """Rows of jobs and files that this transaction has read, by whatever way."""
    read = text(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        " WHERE relname IN ('production_jobs', 'anime_files')"
    )
    return int(await session.scalar(read) or 0)
