"""Servers, pauses and sent prompts: what holds of them whoever reads or writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.render_kind import RenderKind
from anime.core.server_health import ServerHealth
from anime.core.servers import (
    EVERYTHING,
    ServerFingerprint,
    ServerRecord,
    project_scope,
    server_scope,
)
from anime.db.repositories import (
    JobRepository,
    PauseRepository,
    RenderCostRepository,
    SentPromptRepository,
    ServerRepository,
)
from anime.db.repositories.pauses import is_held_up
from anime.db.session import Database
from anime.errors import AlreadyExists, InvalidRequest, NotFound
from anime.schemas import GenerationRequest

A, B, C = "http://gpu-a:8188", "http://gpu-b:8188", "http://gpu-c:8188"


@asynccontextmanager
async def servers_of(database: Database) -> AsyncIterator[ServerRepository]:
    async with database.session_scope() as session:
        yield ServerRepository(session)


async def all_of(database: Database) -> dict[str, ServerRecord]:
    async with servers_of(database) as servers:
        return {each.url: each for each in await servers.list_all()}


async def usable(database: Database) -> list[str]:
    async with servers_of(database) as servers:
        return [each.url for each in await servers.healthy()]


async def look_at(database: Database, url: str, health: ServerHealth) -> None:
    """The server as a watcher has just found it."""
    async with servers_of(database) as servers:
        await servers.set_health(url, health, "seen")
        await servers.note_looks(answered=[url], silent=[])


async def seed(database: Database, *urls: str, drops_others: bool = False) -> None:
    async with servers_of(database) as servers:
        await servers.seed(urls, drops_others=drops_others)


async def job_in(session: AsyncSession, *, project: str | None = None) -> UUID:
    request = GenerationRequest(prompt="a girl", project=project)
    job_id = uuid4()
    await JobRepository(session).create(job_id, request, workflow="txt2img", seed=1)
    return job_id


async def test_the_servers_of_the_settings_are_known_once_and_named_by_their_host(
    database: Database,
) -> None:
    await seed(database, A, B, A)
    await seed(database, B)
    known = await all_of(database)
    assert [(each.name, each.from_settings) for each in known.values()] == [
        ("gpu-a-8188", True),
        ("gpu-b-8188", True),
    ]
    assert {each.health for each in known.values()} == {ServerHealth.UNKNOWN}


async def test_a_server_that_the_settings_no_longer_name_goes_and_one_of_a_person_stays(
    database: Database,
) -> None:
    await seed(database, A)
    async with servers_of(database) as servers:
        await servers.add(C, name="render-c", labels=["fast", "xl", "fast"])
    await seed(database, B, drops_others=True)
    known = await all_of(database)
    assert known.keys() == {B, C}
    assert known[C].labels == ("fast", "xl")


async def test_no_servers_in_the_settings_of_one_program_take_none_away(
    database: Database,
) -> None:
    await seed(database, A)
    await seed(database, drops_others=True)
    assert (await all_of(database)).keys() == {A}


async def test_a_name_that_is_taken_hides_no_server(database: Database) -> None:
    async with servers_of(database) as servers:
        await servers.add(C, name="gpu-a-8188", labels=[])
    await seed(database, A)
    assert (await all_of(database))[A].name == A


async def test_a_server_is_added_once(database: Database) -> None:
    async with servers_of(database) as servers:
        await servers.add(A, name="a", labels=[])
        with pytest.raises(AlreadyExists):
            await servers.add(A, name="b", labels=[])
        with pytest.raises(AlreadyExists):
            await servers.add(B, name="a", labels=[])


async def test_only_servers_that_no_setting_names_can_be_removed(database: Database) -> None:
    await seed(database, A)
    async with servers_of(database) as servers:
        await servers.add(B, name="b", labels=[])
        await servers.remove((await servers.get("b")).url)
        with pytest.raises(InvalidRequest, match="ANIME_COMFYUI_URL"):
            await servers.remove(A)
        with pytest.raises(NotFound, match="anime servers"):
            await servers.get("b")


@pytest.mark.parametrize("health", list(ServerHealth))
async def test_only_an_alive_server_is_given_prompts(
    database: Database, health: ServerHealth
) -> None:
    await seed(database, A)
    await look_at(database, A, health)
    assert await usable(database) == ([A] if health is ServerHealth.ALIVE else [])


@pytest.mark.parametrize("health", list(ServerHealth))
async def test_what_nobody_has_looked_at_for_long_is_tried_unless_it_was_proven_bad(
    database: Database, health: ServerHealth
) -> None:
    await seed(database, A)
    await look_at(database, A, health)
    async with database.session_scope() as session:
        await session.execute(
            text(
                "UPDATE anime_api.comfyui_servers"
                " SET checked_at = clock_timestamp() - interval '61 seconds'"
            )
        )
    is_bad = health in {ServerHealth.ZOMBIE, ServerHealth.LATCHED}
    assert await usable(database) == ([] if is_bad else [A])


async def test_a_server_that_nobody_has_looked_at_is_given_prompts(database: Database) -> None:
    await seed(database, A)
    assert await usable(database) == [A]


async def test_drained_and_paused_servers_are_given_nothing_until_they_are_resumed(
    database: Database,
) -> None:
    await seed(database, A, B)
    async with database.session_scope() as session:
        assert (await ServerRepository(session).drain(A)).is_drained
        await PauseRepository(session).set(server_scope(B), "new cables")
    assert await usable(database) == []
    async with database.session_scope() as session:
        assert not (await ServerRepository(session).resume(A)).is_drained
        await PauseRepository(session).clear(server_scope(B))
    assert await usable(database) == [A, B]


async def test_health_changes_once_and_not_against_what_others_have_found_out(
    database: Database,
) -> None:
    await seed(database, A)
    async with servers_of(database) as servers:
        assert await servers.set_health(A, ServerHealth.ALIVE, "answers")
        assert not await servers.set_health(A, ServerHealth.ALIVE, "answers again")
        since = (await servers.get(A)).health_since
        assert await servers.set_health(A, ServerHealth.LATCHED, "a CUDA fault")
        assert not await servers.set_health(
            A, ServerHealth.UNREACHABLE, "refused", was=ServerHealth.ALIVE
        )
    latched = (await all_of(database))[A]
    assert (latched.health, latched.health_reason) == (ServerHealth.LATCHED, "a CUDA fault")
    assert latched.health_since > since


async def test_a_person_resumes_a_latched_server(database: Database) -> None:
    await seed(database, A)
    await look_at(database, A, ServerHealth.LATCHED)
    async with servers_of(database) as servers:
        assert (await servers.resume(A)).health is ServerHealth.UNKNOWN


async def test_a_look_that_got_no_answer_keeps_the_time_of_the_last_one(
    database: Database,
) -> None:
    await seed(database, A, B)
    async with servers_of(database) as servers:
        await servers.note_looks(answered=[A, B], silent=[])
    before = await all_of(database)
    async with servers_of(database) as servers:
        await servers.note_looks(answered=[A], silent=[B])
    after = await all_of(database)
    assert after[A].last_seen_at != before[A].last_seen_at
    assert after[B].last_seen_at == before[B].last_seen_at
    assert after[B].checked_at != before[B].checked_at


async def test_what_a_server_can_do_and_holds_is_kept(database: Database) -> None:
    await seed(database, A)
    fingerprint = ServerFingerprint(version="0.33.0", devices=("cuda:0 (24000 MB)",))
    async with servers_of(database) as servers:
        assert (await servers.get(A)).fingerprint is None
        await servers.describe(A, fingerprint, {"checkpoints": ["b", "a"], "loras": []})
        await servers.set_loaded_model(A, "a")
        known = await servers.get(A)
    assert known.fingerprint == fingerprint
    assert known.offers == {"checkpoints": ("a", "b"), "loras": ()}
    assert known.loaded_model == "a"


async def test_one_process_at_a_time_watches_the_servers(database: Database) -> None:
    async with servers_of(database) as first, servers_of(database) as second:
        assert await first.try_lock()
        assert not await second.try_lock()
    async with servers_of(database) as third:
        assert await third.try_lock()


async def test_a_pause_of_a_person_does_not_end_by_itself(database: Database) -> None:
    async with database.session_scope() as session:
        pauses = PauseRepository(session)
        assert await pauses.set(EVERYTHING, "the disk is full", is_automatic=True)
        assert not await pauses.set(EVERYTHING, "the disk is full", is_automatic=True)
        assert await pauses.set(EVERYTHING, "moving house")
        assert not await pauses.set(EVERYTHING, "the disk is full", is_automatic=True)
        assert not await pauses.clear(EVERYTHING, only_automatic=True)
        assert [(each.reason, each.is_automatic) for each in await pauses.in_force()] == [
            ("moving house", False)
        ]
        assert await pauses.clear(EVERYTHING)
        assert not await pauses.clear(EVERYTHING)
        assert await pauses.in_force() == []


async def test_a_paused_project_holds_up_its_jobs_and_no_others(database: Database) -> None:
    async with database.session_scope() as session:
        paused = await job_in(session, project="Neon City")
        others = [await job_in(session, project="Rain"), await job_in(session)]
        pauses = PauseRepository(session)
        await pauses.set(project_scope("neon-city"), "waits for the colours")
        [pause] = await pauses.in_force()
        assert pause.describe() == "project:neon-city is paused: waits for the colours"

        async def held_up() -> set[UUID]:
            jobs = (paused, *others)
            asked = [await session.scalar(select(is_held_up(literal(each)))) for each in jobs]
            return {each for each, is_so in zip(jobs, asked, strict=True) if is_so}

        assert await held_up() == {paused}
        await pauses.set(EVERYTHING, "")
        assert await held_up() == {paused, *others}
        everything = (await pauses.in_force())[-1]
        assert everything.describe() == "All new renders are paused"


async def test_a_prompt_is_sent_to_one_server(database: Database) -> None:
    prompt, job = uuid4(), uuid4()
    async with database.session_scope() as session:
        prompts = SentPromptRepository(session)
        await prompts.record(prompt, job_id=job, server=A, attempt=1)
        await prompts.record(prompt, job_id=job, server=A, attempt=1)
        with pytest.raises(AlreadyExists):
            await prompts.record(prompt, job_id=job, server=B, attempt=1)
        assert [each.prompt_id for each in await prompts.unsettled_at(A)] == [prompt]
        await prompts.settle(prompt)
        assert await prompts.unsettled_at(A) == []
        await prompts.record(prompt, job_id=job, server=A, attempt=1)
        assert len(await prompts.unsettled_at(A)) == 1


async def test_a_prompt_has_moved_when_its_job_ended_or_has_a_later_attempt(
    database: Database,
) -> None:
    async with database.session_scope() as session:
        jobs, prompts = JobRepository(session), SentPromptRepository(session)
        waited_for, moved, ended = [await job_in(session) for _ in range(3)]
        await jobs.request_cancel(ended)
        lease = await jobs.lease(moved, uuid4(), seconds=60)
        assert lease is not None
        await jobs.begin_attempt(lease, attempt=2, prompt_id=uuid4(), comfyui_url=B)
        for job_id in (waited_for, moved, ended, uuid4()):
            await prompts.record(uuid4(), job_id=job_id, server=A, attempt=1)
        found = await prompts.unsettled_at(A)
        left = (await prompts.moved())[A]
    assert [each.has_moved for each in found] == [False, True, True, True]
    assert [each.prompt_id for each in left] == [each.prompt_id for each in found[1:]]


async def test_a_prompt_that_another_run_goes_on_with_keeps_its_client(database: Database) -> None:
    prompt_id, job_id = uuid4(), uuid4()
    async with database.session_scope() as session:
        prompts = SentPromptRepository(session)
        for client_id in ("the first run's", "the second run's"):
            await prompts.record(prompt_id, job_id=job_id, server=A, attempt=1, client_id=client_id)
        assert await prompts.client_of(prompt_id) == "the first run's"
        assert await prompts.client_of(uuid4()) is None


async def test_old_settled_prompts_are_removed(database: Database) -> None:
    async with database.session_scope() as session:
        prompts = SentPromptRepository(session)
        for _ in range(2):
            await prompts.record(uuid4(), job_id=uuid4(), server=A, attempt=1)
        await prompts.settle((await prompts.unsettled_at(A))[0].prompt_id)
        assert await prompts.prune(older_than_seconds=3600) == 0
        assert await prompts.prune(older_than_seconds=-1) == 1
        assert len(await prompts.unsettled_at(A)) == 1


async def test_what_renders_cost_is_learned_for_each_number_of_steps(database: Database) -> None:
    few = RenderKind("txt2img", "anima", "64x64x1", steps=4)
    many = RenderKind("txt2img", "anima", "64x64x1", steps=40)
    async with database.session_scope() as session:
        costs = RenderCostRepository(session)
        for kind, seconds, peak_mb in ((few, 2.0, 6000), (many, 18.0, 6500), (few, 2.0, 6000)):
            await costs.learn(kind, A, seconds=seconds, had_model=True, peak_vram_mb=peak_mb)
        found = {kind.steps: (await costs.of(kind))[A] for kind in (few, many)}
        assert [found[each].mean_seconds for each in (4, 40)] == [2.0, 18.0]
        assert [found[each].peak_vram_mb for each in (4, 40)] == [6500, 6500]
        assert await costs.of(RenderKind("txt2img", "anima", "1024x1024x1", steps=4)) == {}
