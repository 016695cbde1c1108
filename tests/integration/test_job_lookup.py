"""Many who ask for jobs at the same time share a query, and each gets the right answer."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from anime.core.assignment import RenderEstimate
from anime.core.job_status import JobStatus, Stage
from anime.db.repositories import JobRepository, ServerRepository, SlotRepository, SlotRequest
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, NotFound
from anime.jobs.lookup import JobLookup
from anime.schemas import GenerationRequest


async def new_job(database: Database) -> UUID:
    job_id = uuid4()
    async with database.session_scope() as session:
        request = GenerationRequest(prompt="rain")
        await JobRepository(session).create(job_id, request, workflow="txt2img", seed=7)
    return job_id


async def test_each_gets_the_job_it_asked_for_and_an_unknown_one_is_not_found(
    database: Database,
) -> None:
    jobs = [await new_job(database) for _ in range(5)]
    lookup, unknown = JobLookup(database, slots=1), uuid4()
    asked = [*jobs, *jobs, unknown]
    answers = await asyncio.gather(*map(lookup.get, asked), return_exceptions=True)
    *found, missing = answers
    assert [job.id for job in found if not isinstance(job, BaseException)] == [*jobs, *jobs]
    assert isinstance(missing, NotFound)
    assert str(unknown) in str(missing)


async def test_an_answer_is_never_older_than_its_question(database: Database) -> None:
    job_id = await new_job(database)
    lookup = JobLookup(database, slots=1)
    under_way = asyncio.create_task(lookup.get(job_id))
    async with database.session_scope() as session:
        await JobRepository(session).request_cancel(job_id)
    assert (await lookup.get(job_id)).status is JobStatus.CANCELLED
    assert (await under_way).id == job_id


async def test_one_who_leaves_takes_nobody_elses_answer_along(database: Database) -> None:
    job_id = await new_job(database)
    lookup = JobLookup(database, slots=1)
    leaving, staying = (asyncio.create_task(lookup.get(job_id)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).id == job_id


async def test_without_a_database_everybody_is_told() -> None:
    lookup = JobLookup(Database("postgresql://nobody@127.0.0.1:9/nothing"), slots=1)
    answers = await asyncio.gather(lookup.get(uuid4()), lookup.get(uuid4()), return_exceptions=True)
    assert all(isinstance(answer, DatabaseUnavailable) for answer in answers)
    with pytest.raises(DatabaseUnavailable):
        await lookup.get(uuid4())


async def test_what_is_read_by_itself_leaves_no_transaction_open(database: Database) -> None:
    async with database.autocommit() as session:
        began = await session.scalar(text("SELECT transaction_timestamp()"))
        assert await session.scalar(text("SELECT transaction_timestamp()")) > began
    async with database.session_scope() as session:
        began = await session.scalar(text("SELECT transaction_timestamp()"))
        assert await session.scalar(text("SELECT transaction_timestamp()")) == began


async def test_it_says_when_a_render_that_is_in_line_is_expected_to_end(database: Database) -> None:
    first, second = uuid4(), uuid4()
    server = "http://gpu-a:8188"
    async with database.session_scope() as session:
        await ServerRepository(session).seed([server])
        jobs = JobRepository(session)
        for job_id in (first, second):
            request = GenerationRequest(prompt="soon")
            await jobs.create(job_id, request, workflow="txt2img", seed=1)
            lease = await jobs.lease(job_id, uuid4(), seconds=60)
            assert lease is not None
            await jobs.renew(lease, seconds=60, stage=Stage.SUBMITTING)
            await SlotRepository(session).ask(
                SlotRequest(
                    job_id=job_id,
                    fence=lease.fence,
                    is_interactive=True,
                    estimates={server: RenderEstimate(seconds=1000.0, load_seconds=0.0)},
                ),
                size=1,
                seconds=60,
            )
    lookup = JobLookup(database, slots=1)
    ends = [(await lookup.get(job_id)).expected_at for job_id in (first, second)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert (ends[1] - ends[0]).total_seconds() == pytest.approx(1000, abs=60)
