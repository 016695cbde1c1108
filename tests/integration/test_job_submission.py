"""A request becomes a row, an announcement and a run, or nothing at all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from anime.core.ids import MAX_SEED, seed_of
from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository, NewJob
from anime.db.session import Database
from anime.errors import (
    DatabaseUnavailable,
    InvalidRequest,
    KeyReused,
    PrefectUnavailable,
    QueueFull,
)
from anime.jobs.service import open_job_service
from anime.progress.publisher import ProgressPublisher
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import Settings, load_settings
from tests.integration.old_client import execute
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer
from tests.support.jobs import newest_jobs, shipped_as_mine
from tests.support.waiting import HUNG_SECONDS

REQUEST = GenerationRequest(prompt="a girl on a rooftop at dusk", seed=MAX_SEED, steps=4)
REFUSE_AT_COMMIT = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'not now' USING ERRCODE = 'query_canceled'; END $$;
    CREATE CONSTRAINT TRIGGER refusal AFTER INSERT ON anime_api.production_jobs
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest.fixture
def settings(prefect: PrefectPeer) -> Settings:
    return load_settings(prefect_api_url=prefect.url, prefect_api_auth_string=AUTH)


async def submit(
    request: GenerationRequest, database: Database, settings: Settings, job_id: UUID | None = None
) -> JobSnapshot:
    async with open_job_service(settings, database, ProgressPublisher(None)) as service:
        return await service.submit_and_dispatch(request, job_id=job_id)


async def test_a_request_becomes_a_queued_row_and_one_run(
    database: Database, settings: Settings, prefect: PrefectPeer
) -> None:
    job = await submit(REQUEST, database, settings)
    run = prefect.runs[str(job.id)]
    assert (job.status, job.seed, str(job.flow_run_id)) == (JobStatus.QUEUED, MAX_SEED, run["id"])
    assert run["parameters"] == {
        "prompt": REQUEST.prompt,
        "seed": MAX_SEED,
        "steps": 4,
        "job_id": str(job.id),
    }
    assert [row.flow_run_id for row in await newest_jobs(database)] == [job.flow_run_id]


async def test_the_same_job_id_again_is_the_same_job(
    database: Database, settings: Settings, prefect: PrefectPeer
) -> None:
    job_id = uuid4()
    first = await submit(REQUEST, database, settings, job_id)
    second = await submit(REQUEST, database, settings, job_id)
    with pytest.raises(KeyReused, match=str(job_id)):
        await submit(GenerationRequest(prompt="something else"), database, settings, job_id)
    assert first.id == second.id == job_id
    assert len(prefect.runs) == len(await newest_jobs(database)) == 1


@pytest.mark.parametrize("project", [None, "Rain"])
async def test_a_request_that_postgresql_refused_takes_no_room_in_the_queue(
    database: Database,
    database_url: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    project: str | None,
) -> None:
    monkeypatch.setattr("anime.jobs.admission.COUNT_SECONDS", HUNG_SECONDS)
    request = REQUEST.model_copy(update={"project": project})
    two = settings.model_copy(update={"queue_limit": 2})
    async with open_job_service(two, database, ProgressPublisher(None)) as service:
        await service.admit(request)
        await execute(database_url, REFUSE_AT_COMMIT)
        try:
            with pytest.raises(DatabaseUnavailable):
                await service.admit(request)
        finally:
            await execute(database_url, "DROP FUNCTION refuse CASCADE")
        await service.admit(request)
        with pytest.raises(QueueFull):
            await service.admit(request)


async def test_a_job_that_was_not_inserted_after_all_frees_no_room_of_a_later_count(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later count, by another request, has not found it either."""
    two = settings.model_copy(update={"queue_limit": 2})
    insert, seconds = JobRepository.insert, HUNG_SECONDS
    is_to_be_refused = False

    async def refuse(self: JobRepository, job_id: UUID, job: NewJob) -> JobSnapshot | None:
        nonlocal is_to_be_refused
        if not is_to_be_refused:
            return await insert(self, job_id, job)
        is_to_be_refused = False
        monkeypatch.setattr("anime.jobs.admission.COUNT_SECONDS", 0.0)
        await service.admit(REQUEST)
        monkeypatch.setattr("anime.jobs.admission.COUNT_SECONDS", seconds)
        raise DatabaseUnavailable("PostgreSQL stops here.", "Wait.")

    monkeypatch.setattr("anime.jobs.admission.COUNT_SECONDS", seconds)
    monkeypatch.setattr(JobRepository, "insert", refuse)
    async with open_job_service(two, database, ProgressPublisher(None)) as service:
        await service.admit(REQUEST)
        is_to_be_refused = True
        with pytest.raises(DatabaseUnavailable):
            await service.admit(REQUEST)
        with pytest.raises(QueueFull):
            await service.admit(REQUEST)


@pytest.mark.parametrize("project", [None, "Rain"])
async def test_of_many_at_once_after_a_while_no_more_are_admitted_than_there_is_room_for(
    database: Database, settings: Settings, project: str | None
) -> None:
    few = settings.model_copy(update={"queue_limit": 3})
    request = REQUEST.model_copy(update={"project": project})
    async with open_job_service(few, database, ProgressPublisher(None)) as service:
        done = await asyncio.gather(
            *(service.admit(request) for _ in range(12)), return_exceptions=True
        )
    assert [type(each) for each in done].count(QueueFull) == 9


async def test_the_same_job_id_is_the_same_job_though_what_it_needs_is_gone_meanwhile(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    shipped_as_mine(tmp_path)
    mine = settings.model_copy(update={"workflows_dir": tmp_path})
    request, job_id = REQUEST.model_copy(update={"workflow": "mine"}), uuid4()
    first = await submit(request, database, mine, job_id)
    (tmp_path / "mine.toml").unlink()
    assert (await submit(request, database, mine, job_id)).id == first.id
    with pytest.raises(KeyReused, match=str(job_id)):
        await submit(request.model_copy(update={"seed": 1}), database, mine, job_id)
    with pytest.raises(InvalidRequest, match="mine"):
        await submit(request, database, mine, uuid4())
    async with open_job_service(mine, database, ProgressPublisher(None)) as service:
        assert await service.check(request, job_id=job_id) is None, "no server is asked either"


async def test_a_request_without_a_seed_gets_the_one_of_its_id(
    database: Database, settings: Settings
) -> None:
    job = await submit(GenerationRequest(prompt="rain"), database, settings)
    assert job.seed == seed_of(job.id)


@pytest.mark.parametrize(("priority", "queue"), [(50, "interactive"), (49, "batch")])
async def test_priority_chooses_the_queue(
    database: Database, settings: Settings, prefect: PrefectPeer, priority: int, queue: str
) -> None:
    request = GenerationRequest(prompt="rain", priority=priority)
    job = await submit(request, database, settings)
    assert prefect.runs[str(job.id)]["work_queue_name"] == queue


async def test_without_the_deployment_nothing_is_made(
    database: Database, settings: Settings, prefect: PrefectPeer
) -> None:
    prefect.deployments.clear()
    with pytest.raises(PrefectUnavailable, match="generate/generate"):
        await submit(REQUEST, database, settings)
    assert await newest_jobs(database) == []


async def test_with_a_wrong_password_the_variable_to_set_is_named(
    database: Database, prefect: PrefectPeer
) -> None:
    wrong = load_settings(prefect_api_url=prefect.url, prefect_api_auth_string="anime:wrong")
    with pytest.raises(PrefectUnavailable, match="PREFECT_API_AUTH_STRING"):
        await submit(REQUEST, database, wrong)
    assert await newest_jobs(database) == []


async def test_without_prefect_nothing_is_made(database: Database) -> None:
    absent = load_settings(prefect_api_url="http://127.0.0.1:9/api")
    with pytest.raises(PrefectUnavailable, match="PREFECT_API_URL"):
        await submit(REQUEST, database, absent)
    assert await newest_jobs(database) == []


async def test_a_run_that_cannot_be_ordered_leaves_the_job_queued_and_a_repeat_orders_it(
    database: Database, settings: Settings, prefect: PrefectPeer
) -> None:
    prefect.refuses_runs = True
    job = await submit(REQUEST, database, settings)
    assert (job.status, job.flow_run_id) == (JobStatus.QUEUED, None)
    prefect.refuses_runs = False
    again = await submit(REQUEST, database, settings, job.id)
    assert str(again.flow_run_id) == prefect.runs[str(job.id)]["id"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"workflow": "txt2igm"}, "txt2img"),
        ({"inputs": {"framez": 3}}, "framez"),
        ({"workflow": "img2img"}, "image"),
        ({"type": "video", "workflow": "txt2img"}, "video"),
    ],
)
async def test_what_the_workflow_cannot_take_is_refused_before_anything_is_made(
    database: Database,
    settings: Settings,
    prefect: PrefectPeer,
    fields: dict[str, object],
    named: str,
) -> None:
    request = GenerationRequest.model_validate({"prompt": "rain", **fields})
    with pytest.raises(InvalidRequest, match=named):
        await submit(request, database, settings)
    assert await newest_jobs(database) == []
    assert prefect.runs == {}


async def test_a_broken_workflow_is_named(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("title =")
    (tmp_path / "mine.json").write_text("{}")
    mine = settings.model_copy(update={"workflows_dir": tmp_path})
    with pytest.raises(InvalidRequest, match="mine"):
        await submit(GenerationRequest(prompt="rain", workflow="mine"), database, mine)
