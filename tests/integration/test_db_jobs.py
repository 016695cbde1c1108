"""What is written down of a job, and how it is found again."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from anime.core.ids import MAX_SEED
from anime.core.job_status import FailureKind, JobStatus
from anime.db.repositories import JobRepository, NewJob, ProjectRepository
from anime.db.session import Database
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest, LoraChoice
from tests.integration.old_client import execute
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS

REQUEST = GenerationRequest(
    prompt="少女 on a rooftop ☂",
    project="Rain City",
    character="Aiko",
    shot="s01_010",
    loras=[LoraChoice(name="rain.safetensors", strength=0.7)],
    seed=MAX_SEED,
    inputs={"frames": 16, "nested": {"deep": [1, 2.5, None]}},
)


async def until_waiting(database_url: str, number: int) -> None:
    """Until so many wait for what others hold."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(HUNG_SECONDS):
        while [tuple(row) for row in await execute(database_url, query)] != [(number,)]:
            await asyncio.sleep(0.01)


async def test_a_new_job_is_queued_with_all_that_was_asked_for(database: Database) -> None:
    job_id = uuid4()
    async with database.session_scope() as session:
        job = await JobRepository(session).create(
            job_id, REQUEST, workflow="txt2img", seed=MAX_SEED
        )
    assert (job.status, job.progress, job.attempt) == (JobStatus.QUEUED, 0, 1)
    assert (job.project, job.character, job.workflow) == ("Rain City", "Aiko", "txt2img")
    async with database.session_scope() as session:
        assert await JobRepository(session).request_of(job_id) == REQUEST


@pytest.mark.parametrize("seed", [0, 2**63, MAX_SEED])
async def test_a_seed_comes_back_to_the_last_bit(database: Database, seed: int) -> None:
    job_id = uuid4()
    async with database.session_scope() as session:
        await JobRepository(session).create(job_id, REQUEST, workflow="txt2img", seed=seed)
    async with database.session_scope() as session:
        assert (await JobRepository(session).get(job_id)).seed == seed


@pytest.mark.parametrize(
    "wrong",
    [
        "seed = 18446744073709551616",
        "seed = -1",
        "progress = 101",
        "status = 'paused'",
        "status = 'completed'",
        "status = 'failed', finished_at = now()",
        "stage = 'dreaming'",
        "attempt = 0",
        "lease_owner = gen_random_uuid()",
    ],
)
async def test_no_program_can_write_what_must_not_be(database: Database, wrong: str) -> None:
    async with database.session_scope() as session:
        await JobRepository(session).create(uuid4(), REQUEST, workflow="txt2img", seed=1)
    with pytest.raises(IntegrityError, match="violates check constraint"):
        async with database.session_scope() as session:
            await session.execute(text(f"UPDATE anime_api.production_jobs SET {wrong}"))


@pytest.mark.parametrize("kind", FailureKind)
async def test_every_kind_of_failure_can_be_written_down(
    database: Database, kind: FailureKind
) -> None:
    job_id = uuid4()
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, REQUEST, workflow="txt2img", seed=1)
        assert (await jobs.fail_unleased(job_id, kind, "It failed.")).error_kind is kind


async def test_creating_a_job_twice_makes_one(database: Database) -> None:
    job_id = uuid4()

    async def create() -> object:
        async with database.session_scope() as session:
            return await JobRepository(session).create(job_id, REQUEST, workflow="txt2img", seed=1)

    first, *others = await asyncio.gather(*(create() for _ in range(5)))
    assert all(other == first for other in others)
    assert len(await newest_jobs(database)) == 1


async def test_creating_a_job_that_has_gone_on_tells_how_far_it_is(database: Database) -> None:
    job_id = uuid4()
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, REQUEST, workflow="txt2img", seed=1)
        await jobs.lease(job_id, uuid4(), seconds=60)
        again = await jobs.create(job_id, REQUEST, workflow="txt2img", seed=1)
    assert again.status is JobStatus.PROCESSING


async def test_the_newest_jobs_come_first_even_from_one_transaction(database: Database) -> None:
    ids = [uuid4() for _ in range(5)]
    async with database.session_scope() as session:
        for job_id in ids:
            await JobRepository(session).create(job_id, REQUEST, workflow="txt2img", seed=1)
    assert [job.id for job in await newest_jobs(database, limit=3)] == ids[:1:-1]


async def test_jobs_are_found_by_state_and_by_project(database: Database) -> None:
    dropped, kept, elsewhere = uuid4(), uuid4(), uuid4()
    other = REQUEST.model_copy(update={"project": None})
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        for job_id, request in ((dropped, REQUEST), (kept, REQUEST), (elsewhere, other)):
            await jobs.create(job_id, request, workflow="txt2img", seed=1)
        await jobs.fail_unleased(dropped, FailureKind.LOST, "gone")

    async def found(**wanted: Any) -> list[UUID]:
        return [job.id for job in await newest_jobs(database, **wanted)]

    assert await found(status=JobStatus.FAILED) == [dropped]
    assert await found(project="rain city") == [kept, dropped]
    assert await found(status=JobStatus.QUEUED, project="Rain City") == [kept]
    assert await found(project="unheard of") == []


async def test_the_run_in_prefect_is_remembered(database: Database) -> None:
    job_id, run = uuid4(), uuid4()
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, REQUEST, workflow="txt2img", seed=1)
        await jobs.lease(job_id, uuid4(), seconds=60, run_id=run)
        assert (await jobs.get(job_id)).flow_run_id == run


async def test_f16_what_postgresql_cannot_hold_is_refused_in_a_sentence(database: Database) -> None:
    request = REQUEST.model_copy(update={"inputs": {"nested": {"text": "a\x00b"}}})
    with pytest.raises(InvalidRequest, match="none that the database test_"):
        async with database.session_scope() as session:
            await JobRepository(session).create(uuid4(), request, workflow="txt2img", seed=1)


async def test_names_with_one_slug_are_one_project(database: Database) -> None:
    async def find(name: str) -> object:
        async with database.session_scope() as session:
            return await ProjectRepository(session).get_or_create(name)

    found = await asyncio.gather(*(find(name) for name in ("Rain City", "rain city") * 3))
    assert len(set(found)) == 1


async def test_batches_that_spell_their_new_projects_otherwise_wait_for_each_other_in_turn(
    database: Database, database_url: str
) -> None:
    requests = [GenerationRequest(prompt="rain", project=each) for each in ("B city", "a City")]
    jobs = {uuid4(): NewJob.of(uuid4(), each) for each in requests}

    async def insert_all() -> None:
        async with database.session_scope() as session:
            await JobRepository(session).create_all(jobs)

    async with asyncio.TaskGroup() as group, database.session_scope() as session:
        projects = ProjectRepository(session)
        await projects.get_or_create("A city")
        group.create_task(insert_all())
        await until_waiting(database_url, 1)
        await projects.get_or_create("B city")
    assert {job.project for job in await newest_jobs(database)} == {"A city", "B city"}
