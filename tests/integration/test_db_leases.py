"""One run at a time owns a job, and the others change nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import event, text

from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.db.notifications import STOP
from anime.db.repositories import (
    JobRepository,
    Lease,
    NewJob,
    SentPromptRepository,
    TimelineRepository,
)
from anime.db.session import Database
from anime.errors import JobCancelled, LeaseLost, NotFound
from anime.progress.publisher import ProgressPublisher
from anime.schemas import GenerationRequest, JobSnapshot
from blocks.comfyui import ComfyUIServer
from tasks.batches import cancel_all
from tasks.records import begin_attempt
from tests.integration.comfyui_peer import Host, Peer
from tests.support.waiting import HUNG_SECONDS

OWNER, RIVAL = uuid4(), uuid4()
LONG_SECONDS = 60


@pytest_asyncio.fixture
async def job_id(database: Database) -> UUID:
    job_id = uuid4()
    async with jobs_of(database) as jobs:
        await jobs.create(job_id, GenerationRequest(prompt="a fox"), workflow="txt2img", seed=7)
    return job_id


@asynccontextmanager
async def jobs_of(database: Database) -> AsyncIterator[JobRepository]:
    async with database.session_scope() as session:
        yield JobRepository(session)


async def take(database: Database, job_id: UUID, owner: UUID = OWNER) -> Lease:
    async with jobs_of(database) as jobs:
        lease = await jobs.lease(job_id, owner, seconds=LONG_SECONDS)
    assert lease is not None
    return lease


async def let_lapse(database: Database, job_id: UUID) -> None:
    async with database.session_scope() as session:
        await session.execute(
            text(
                "UPDATE anime_api.production_jobs SET lease_expires_at = now() - interval '1 s'"
                " WHERE id = :id"
            ),
            {"id": job_id},
        )


async def snapshot(database: Database, job_id: UUID) -> JobSnapshot:
    async with jobs_of(database) as jobs:
        return await jobs.get(job_id)


async def test_a_lease_makes_the_job_processing(database: Database, job_id: UUID) -> None:
    lease = await take(database, job_id)
    job = await snapshot(database, job_id)
    assert (job.status, lease.fence, lease.attempt) == (JobStatus.PROCESSING, 1, 1)
    assert job.started_at is not None
    assert lease.prompt_id is None


async def test_a_rival_is_told_whose_the_job_is_and_until_when(
    database: Database, job_id: UUID
) -> None:
    await take(database, job_id)
    with pytest.raises(LeaseLost, match=rf"belongs to run {OWNER} until \d{{4}}-.* UTC"):
        await take(database, job_id, RIVAL)


async def test_of_twenty_runs_exactly_one_gets_the_job(database: Database, job_id: UUID) -> None:
    tries = (take(database, job_id, uuid4()) for _ in range(20))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, LeaseLost)] == [Lease]


async def test_the_owner_gets_its_own_lease_again_under_a_higher_fence(
    database: Database, job_id: UUID
) -> None:
    first, second = await take(database, job_id), await take(database, job_id)
    assert second.fence == first.fence + 1


async def test_started_at_is_set_once(database: Database, job_id: UUID) -> None:
    await take(database, job_id)
    first = await snapshot(database, job_id)
    await take(database, job_id)
    assert (await snapshot(database, job_id)).started_at == first.started_at


async def test_a_lapsed_lease_goes_to_whoever_asks(database: Database, job_id: UUID) -> None:
    first = await take(database, job_id)
    await let_lapse(database, job_id)
    second = await take(database, job_id, RIVAL)
    assert (second.owner, second.fence) == (RIVAL, first.fence + 1)


async def test_a_lapsed_lease_that_nobody_took_can_be_renewed(
    database: Database, job_id: UUID
) -> None:
    lease = await take(database, job_id)
    await let_lapse(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.renew(lease, seconds=LONG_SECONDS)
    with pytest.raises(LeaseLost):
        await take(database, job_id, RIVAL)


@pytest.mark.parametrize("write", ["renew", "begin_attempt", "complete", "fail", "cancelled"])
async def test_f61_no_write_of_the_run_that_lost_the_job_changes_it(
    database: Database, job_id: UUID, write: str
) -> None:
    lost = await take(database, job_id)
    await let_lapse(database, job_id)
    await take(database, job_id, RIVAL)
    before = await snapshot(database, job_id)
    with pytest.raises(LeaseLost, match=str(RIVAL)):
        await write_as(database, lost, write)
    assert await snapshot(database, job_id) == before


async def write_as(database: Database, lease: Lease, write: str) -> None:
    async with jobs_of(database) as jobs:
        match write:
            case "renew":
                await jobs.renew(lease, seconds=LONG_SECONDS, stage=Stage.RENDERING, progress=99)
            case "begin_attempt":
                await jobs.begin_attempt(
                    lease, attempt=9, prompt_id=uuid4(), comfyui_url="http://gpu"
                )
            case "complete":
                await jobs.complete(lease, output_path="/stale.png")
            case "fail":
                await jobs.fail(lease, FailureKind.INTERNAL, "stale")
            case "cancelled":
                await jobs.cancelled(lease)


async def test_a_lost_lease_is_nothing_to_give_back(database: Database, job_id: UUID) -> None:
    lost = await take(database, job_id)
    await let_lapse(database, job_id)
    held = await take(database, job_id, RIVAL)
    async with jobs_of(database) as jobs:
        await jobs.release(lost)
        await jobs.renew(held, seconds=LONG_SECONDS)
    with pytest.raises(LeaseLost):
        await take(database, job_id, OWNER)


async def test_a_released_job_can_be_taken_at_once(database: Database, job_id: UUID) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.release(lease)
    assert (await take(database, job_id, RIVAL)).owner == RIVAL


async def test_a_released_lease_cannot_be_renewed(database: Database, job_id: UUID) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.release(lease)
        with pytest.raises(LeaseLost, match="Nobody holds"):
            await jobs.renew(lease, seconds=LONG_SECONDS)


async def test_progress_never_goes_back_within_an_attempt(database: Database, job_id: UUID) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        for percent in (40, 10):
            await jobs.renew(lease, seconds=LONG_SECONDS, stage=Stage.RENDERING, progress=percent)
    job = await snapshot(database, job_id)
    assert (job.progress, job.stage) == (40, Stage.RENDERING)


async def test_the_stage_never_goes_back_within_an_attempt(
    database: Database, job_id: UUID
) -> None:
    lease, told = await take(database, job_id), []
    async with jobs_of(database) as jobs:
        for stage in (Stage.SUBMITTING, Stage.CHECKING_VRAM, Stage.RENDERING, Stage.SUBMITTING):
            await jobs.renew(lease, seconds=LONG_SECONDS, stage=stage, attempt=1)
            told.append((await jobs.get(job_id)).stage)
    assert told == [Stage.SUBMITTING, Stage.SUBMITTING, Stage.RENDERING, Stage.RENDERING]


async def test_a_new_attempt_begins_at_submitting_and_not_before_it_is_written_down(
    database: Database, job_id: UUID
) -> None:
    """It waits for a slot before that, and the row still tells of the one before."""
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.renew(lease, seconds=LONG_SECONDS, stage=Stage.RENDERING, progress=40, attempt=1)
        await jobs.renew(lease, seconds=LONG_SECONDS, stage=Stage.RECORDING, progress=60, attempt=2)
        waiting = await jobs.get(job_id)
        assert (waiting.attempt, waiting.stage, waiting.progress) == (1, Stage.RENDERING, 40)
        await jobs.begin_attempt(lease, attempt=2, prompt_id=uuid4(), comfyui_url="http://gpu")
        begun = await jobs.get(job_id)
        assert (begun.attempt, begun.stage, begun.progress) == (2, Stage.SUBMITTING, 0)


async def test_the_next_attempt_starts_from_nothing_and_a_repeat_of_it_does_not(
    database: Database, job_id: UUID
) -> None:
    lease, prompt_id = await take(database, job_id), uuid4()
    async with jobs_of(database) as jobs:
        await jobs.renew(lease, seconds=LONG_SECONDS, progress=40)
        sent = {"attempt": 2, "prompt_id": prompt_id, "comfyui_url": "http://gpu:8188"}
        await jobs.begin_attempt(lease, **sent)  # type: ignore[arg-type]  # as named above
        assert (await jobs.get(job_id)).progress == 0
        await jobs.renew(lease, seconds=LONG_SECONDS, progress=20)
        again = await jobs.begin_attempt(lease, **sent)  # type: ignore[arg-type]
        assert (await jobs.get(job_id)).progress == 20
    assert (again.attempt, again.prompt_id, again.comfyui_url) == (2, prompt_id, "http://gpu:8188")


async def test_the_next_owner_learns_what_was_sent_and_where(
    database: Database, job_id: UUID
) -> None:
    lease, prompt_id = await take(database, job_id), uuid4()
    async with jobs_of(database) as jobs:
        await jobs.begin_attempt(lease, attempt=1, prompt_id=prompt_id, comfyui_url="http://gpu")
        await jobs.release(lease)
    taken = await take(database, job_id, RIVAL)
    assert (taken.attempt, taken.prompt_id, taken.comfyui_url) == (1, prompt_id, "http://gpu")


async def test_a_completed_job_is_final_and_says_where_its_file_is(
    database: Database, job_id: UUID
) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        job = await jobs.complete(lease, output_path="/library/a.png")
        assert (job.status, job.progress, job.stage) == (JobStatus.COMPLETED, 100, None)
        assert job.output_path == "/library/a.png"
        assert job.finished_at is not None
        assert await jobs.lease(job_id, RIVAL, seconds=LONG_SECONDS) is None


async def test_completing_twice_under_one_lease_is_harmless(
    database: Database, job_id: UUID
) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        first = await jobs.complete(lease, output_path="/library/a.png")
        assert await jobs.complete(lease, output_path="/library/a.png") == first


async def test_a_completed_job_cannot_fail(database: Database, job_id: UUID) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.complete(lease, output_path="/library/a.png")
        with pytest.raises(LeaseLost, match="has ended: it is completed"):
            await jobs.fail(lease, FailureKind.INTERNAL, "too late")


async def test_a_failed_job_says_why_and_in_which_stage(database: Database, job_id: UUID) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.renew(lease, seconds=LONG_SECONDS, stage=Stage.RENDERING, progress=55)
        job = await jobs.fail(lease, FailureKind.OUT_OF_MEMORY, "Node 3 ran out of memory.")
    assert (job.status, job.error_kind) == (JobStatus.FAILED, FailureKind.OUT_OF_MEMORY)
    assert (job.error, job.stage, job.progress) == (
        "Node 3 ran out of memory.",
        Stage.RENDERING,
        55,
    )


async def test_a_queued_job_is_cancelled_at_once(database: Database, job_id: UUID) -> None:
    async with jobs_of(database) as jobs:
        first = await jobs.request_cancel(job_id)
        again = await jobs.request_cancel(job_id)
        assert await jobs.lease(job_id, OWNER, seconds=LONG_SECONDS) is None
    assert first.status is JobStatus.CANCELLED
    assert first.finished_at is not None
    assert again == first


async def test_a_run_learns_of_its_cancellation_and_confirms_it(
    database: Database, job_id: UUID
) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        assert (await jobs.request_cancel(job_id)).status is JobStatus.CANCELLING
        with pytest.raises(JobCancelled):
            await jobs.renew(lease, seconds=LONG_SECONDS)
        assert (await jobs.cancelled(lease)).status is JobStatus.CANCELLED
        assert (await jobs.cancelled(lease)).status is JobStatus.CANCELLED


async def test_a_render_that_was_quicker_than_its_cancellation_is_completed(
    database: Database, job_id: UUID
) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.request_cancel(job_id)
        job = await jobs.complete(lease, output_path="/library/a.png")
    assert job.status is JobStatus.COMPLETED


async def test_another_run_leaves_a_cancellation_to_the_live_one(
    database: Database, job_id: UUID
) -> None:
    await take(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.request_cancel(job_id)
    with pytest.raises(JobCancelled):
        await take(database, job_id, RIVAL)
    assert (await snapshot(database, job_id)).status is JobStatus.CANCELLING


async def test_a_cancellation_that_no_run_is_left_to_confirm_is_settled_by_the_next(
    database: Database, job_id: UUID
) -> None:
    await take(database, job_id)
    await let_lapse(database, job_id)
    async with jobs_of(database) as jobs:
        await jobs.request_cancel(job_id)
    async with jobs_of(database) as jobs:
        assert await jobs.lease(job_id, RIVAL, seconds=LONG_SECONDS) is None
    assert (await snapshot(database, job_id)).status is JobStatus.CANCELLED


async def test_the_jobs_of_a_batch_are_cancelled_in_few_statements_however_many_they_are(
    database: Database,
) -> None:
    """A worker has twelve seconds to stop a batch of ten thousand."""
    live, dead, ended, *waiting = ids = [uuid4() for _ in range(300)]
    async with jobs_of(database) as jobs:
        request = GenerationRequest(prompt="a fox")
        await jobs.create_all({each: NewJob(request, "txt2img", 7) for each in ids})
    for each in (live, dead):
        await take(database, each)
    await let_lapse(database, dead)
    lease = await take(database, ended)
    async with jobs_of(database) as jobs:
        await jobs.complete(lease, output_path="/library/a.png")
    statements = list[str]()
    engine = database._engine.sync_engine
    with database.notifications.listening_to(f"{STOP}{live}") as notified:
        await asyncio.wait_for(notified.wait(), HUNG_SECONDS)  # it listens
        notified.clear()
        event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
        await cancel_all(database, ProgressPublisher(None), ComfyUIServer(), ids)
        await asyncio.wait_for(notified.wait(), HUNG_SECONDS)
    assert len(statements) < 20, statements
    async with database.session_scope() as session:
        statuses = await JobRepository(session).statuses(ids)
        timelines = [
            [each.kind for each in await TimelineRepository(session).of_job(job_id)]
            for job_id in (live, dead, ended, waiting[-1])
        ]
    assert statuses.pop(live) is JobStatus.CANCELLING
    assert statuses.pop(ended) is JobStatus.COMPLETED
    assert set(statuses.values()) == {JobStatus.CANCELLED}
    assert timelines == [
        ["submitted", "run", "person"],
        ["submitted", "run", "person", "end"],
        ["submitted", "run", "end"],
        ["submitted", "person", "end"],
    ]


async def test_prompts_of_a_cancelled_batch_are_stopped_while_redis_says_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.progress.publisher.LAST_EVENT_SECONDS", float(HUNG_SECONDS))
    monkeypatch.setattr("tasks.batches._PUBLISHING_SECONDS", float(HUNG_SECONDS))
    dead, waiting = ids = [uuid4(), uuid4()]
    async with jobs_of(database) as jobs:
        request = GenerationRequest(prompt="a fox")
        await jobs.create_all({each: NewJob(request, "txt2img", 7) for each in ids})
    lease, prompt_id, host, peer = await take(database, dead), uuid4(), Host(), Peer()
    await begin_attempt(
        *(database, lease),
        attempt=1,
        prompt_id=prompt_id,
        comfyui_url=host.url,
        client_id="anime",
    )
    await let_lapse(database, dead)
    peer.start(prompt_id)
    asked = asyncio.Event()
    silent = await asyncio.start_server(lambda *_: asked.set(), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with (
        host.up(peer),
        ProgressPublisher(f"redis://127.0.0.1:{port}") as publisher,
        asyncio.timeout(HUNG_SECONDS / 2),
    ):
        cancelling = asyncio.create_task(cancel_all(database, publisher, ComfyUIServer(), ids))
        await asked.wait()
        while peer.running:
            await peer.until_looked_for(1)
        assert not cancelling.done(), "Redis has not heard of it yet"
        cancelling.cancel()
        await asyncio.wait([cancelling])
    silent.close()
    async with database.session_scope() as session:
        statuses = await JobRepository(session).statuses(ids)
    assert statuses == {dead: JobStatus.CANCELLED, waiting: JobStatus.CANCELLED}


async def test_cancelling_a_completed_job_changes_nothing(database: Database, job_id: UUID) -> None:
    lease = await take(database, job_id)
    async with jobs_of(database) as jobs:
        done = await jobs.complete(lease, output_path="/library/a.png")
        assert await jobs.request_cancel(job_id) == done


async def test_a_job_that_no_run_took_can_be_failed(database: Database, job_id: UUID) -> None:
    async with jobs_of(database) as jobs:
        job = await jobs.fail_unleased(job_id, FailureKind.LOST, "Prefect forgot it.")
        again = await jobs.fail_unleased(job_id, FailureKind.INTERNAL, "another reason")
    assert (job.status, job.error_kind) == (JobStatus.FAILED, FailureKind.LOST)
    assert again == job


async def test_a_job_with_a_live_run_cannot_be_failed_by_others(
    database: Database, job_id: UUID
) -> None:
    await take(database, job_id)
    with pytest.raises(LeaseLost, match=str(OWNER)):
        async with jobs_of(database) as jobs:
            await jobs.fail_unleased(job_id, FailureKind.LOST, "surely dead")


async def test_an_unknown_job_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="There is no job"):
        await take(database, uuid4())
    async with jobs_of(database) as jobs:
        for call in (jobs.get, jobs.request_of, jobs.request_cancel):
            with pytest.raises(NotFound):
                await call(uuid4())


async def test_what_a_lost_run_wrote_in_one_transaction_with_its_end_is_gone(
    database: Database, job_id: UUID
) -> None:
    lost = await take(database, job_id)
    await let_lapse(database, job_id)
    await take(database, job_id, RIVAL)
    stray = uuid4()

    async def write_and_end() -> None:
        async with jobs_of(database) as jobs:
            await jobs.create(stray, GenerationRequest(prompt="x"), workflow="txt2img", seed=1)
            await jobs.complete(lost, output_path="/stale.png")

    with pytest.raises(LeaseLost):
        await write_and_end()
    with pytest.raises(NotFound):
        await snapshot(database, stray)


async def test_an_attempt_is_recorded_with_its_prompt_or_not_at_all(
    database: Database, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object, **__: object) -> None:
        raise ProcessLookupError

    lease, prompt_id = await take(database, job_id), uuid4()
    monkeypatch.setattr(SentPromptRepository, "record", die)
    with pytest.raises(ProcessLookupError):
        await begin_attempt(
            database,
            lease,
            attempt=1,
            prompt_id=prompt_id,
            comfyui_url="http://gpu:8188",
            client_id="me",
        )
    assert (await snapshot(database, job_id)).prompt_id is None
