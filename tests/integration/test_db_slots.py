"""The window of prompts in flight: never more than its size, fair, and back after a death."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import event, text

from anime.core.assignment import RenderEstimate
from anime.core.server_health import ServerHealth
from anime.core.servers import EVERYTHING, project_scope, server_scope
from anime.db.repositories import (
    JobRepository,
    PauseRepository,
    ServerRepository,
    Slot,
    SlotRepository,
    SlotRequest,
    SlotUsage,
)
from anime.db.session import Database
from anime.errors import ComfyUIUnreachable, DatabaseUnavailable, LeaseLost
from anime.progress.publisher import ProgressPublisher
from anime.retry_policies import RetryPolicy
from anime.schemas import GenerationRequest
from tasks import slots
from tasks.progress import Reporter
from tasks.slots import hold_slot
from tests.support.waiting import HUNG_SECONDS

SERVER, OTHER = "http://gpu-a:8188", "http://gpu-b:8188"
SIZE = 2
SECONDS = 20.0
ESTIMATE = RenderEstimate(seconds=1.0, load_seconds=5.0)


@pytest_asyncio.fixture(autouse=True)
async def servers(database: Database) -> None:
    async with database.session_scope() as session:
        await ServerRepository(session).seed([SERVER, OTHER])


def claim(
    *servers: str, interactive: bool = False, fence: int = 1, model: str = "", **fields: Any
) -> SlotRequest:
    return SlotRequest(
        job_id=uuid4(),
        fence=fence,
        is_interactive=interactive,
        estimates=dict.fromkeys(servers or (SERVER,), ESTIMATE),
        model=model,
        **fields,
    )


@asynccontextmanager
async def window_of(database: Database) -> AsyncIterator[SlotRepository]:
    async with database.session_scope() as session:
        yield SlotRepository(session)


async def ask(database: Database, claim: SlotRequest, size: int = SIZE) -> Slot:
    async with window_of(database) as places:
        return await places.ask(claim, size=size, seconds=SECONDS)


async def leave(database: Database, claim: SlotRequest, size: int = SIZE) -> None:
    async with window_of(database) as places:
        await places.leave(claim, size=size)


async def lapse(database: Database, job_id: UUID, seconds: int = 1) -> None:
    async with database.session_scope() as session:
        await session.execute(
            text(
                "UPDATE anime_api.render_places SET expires_at ="
                " clock_timestamp() - make_interval(secs => :seconds) WHERE job_id = :id"
            ),
            {"id": job_id, "seconds": seconds},
        )


async def state(database: Database, server: str = SERVER) -> SlotUsage:
    async with window_of(database) as places:
        return await places.state(server)


def reporter() -> Reporter:
    return Reporter(ProgressPublisher(None), uuid4())


async def test_so_many_get_a_place_and_the_next_ones_stand_in_line(database: Database) -> None:
    claims = [claim() for _ in range(5)]
    got = [await ask(database, each) for each in claims]
    assert got == [
        Slot(is_held=True),
        Slot(is_held=True),
        Slot(is_held=False, ahead=0),
        Slot(is_held=False, ahead=1),
        Slot(is_held=False, ahead=2),
    ]
    assert await state(database) == SlotUsage(2, 3, (await state(database)).oldest_wait)


async def test_a_place_that_is_left_goes_to_who_asked_first(database: Database) -> None:
    holder, first, second = claim(), claim(), claim()
    for each in (holder, first, second):
        await ask(database, each, size=1)
    await leave(database, holder, size=1)
    assert (await ask(database, second, size=1)) == Slot(is_held=False, ahead=0)
    assert (await ask(database, first, size=1)).is_held


async def test_who_was_given_a_slot_finds_it_without_asking_again(database: Database) -> None:
    first, second = claim(model="m"), claim(model="m")
    for each in (first, second):
        await ask(database, each, size=1)
    async with database.autocommit() as session:
        slots_seen = SlotRepository(session)
        assert (await slots_seen.given(second)) is None
        await leave(database, first, size=1)
        given = await slots_seen.given(second)
        assert given is not None
        assert (given.is_held, given.server, given.holds_model) == (True, SERVER, True)
        assert (await slots_seen.given(replace(second, fence=2))) is None
        assert (await slots_seen.given(first)) is None


async def test_interactive_jobs_go_before_those_of_batches_that_asked_earlier(
    database: Database,
) -> None:
    holder, batch, person = claim(), claim(), claim(interactive=True)
    for each in (holder, batch, person):
        await ask(database, each, size=1)
    assert (await ask(database, batch, size=1)).ahead == 1
    await leave(database, holder, size=1)
    assert (await ask(database, person, size=1)).is_held
    assert not (await ask(database, batch, size=1)).is_held


async def test_a_paused_project_waits_and_holds_up_nobody_behind_it(database: Database) -> None:
    holder, other = claim(), claim()
    async with database.session_scope() as session:
        request = GenerationRequest(prompt="a girl", project="Neon City")
        await JobRepository(session).create(holder.job_id, request, workflow="txt2img", seed=1)
        await PauseRepository(session).set(project_scope("neon-city"), "")
    assert not (await ask(database, holder, size=1)).is_held
    assert (await ask(database, other, size=1)).is_held
    async with database.session_scope() as session:
        await PauseRepository(session).clear(project_scope("neon-city"))
        await PauseRepository(session).set(EVERYTHING, "")
    await leave(database, other, size=1)
    assert not (await ask(database, holder, size=1)).is_held
    async with database.session_scope() as session:
        await PauseRepository(session).clear(EVERYTHING)
    assert (await ask(database, holder, size=1)).is_held


async def test_each_server_has_a_window_of_its_own(database: Database) -> None:
    assert (await ask(database, claim(), size=1)).is_held
    assert (await ask(database, claim(OTHER), size=1)).is_held
    assert (await state(database)).held == (await state(database, OTHER)).held == 1


async def test_asking_again_changes_neither_place_nor_line(database: Database) -> None:
    holder, first, second = claim(), claim(), claim()
    for each in (holder, first, second, first, holder):
        await ask(database, each, size=1)
    assert (await ask(database, holder, size=1)).is_held
    assert (await ask(database, first, size=1)).ahead == 0
    assert (await ask(database, second, size=1)).ahead == 1


async def test_the_place_of_a_killed_holder_goes_on_when_it_lapses(database: Database) -> None:
    killed, waiting = claim(), claim()
    await ask(database, killed, size=1)
    assert not (await ask(database, waiting, size=1)).is_held
    await lapse(database, killed.job_id)
    assert (await ask(database, waiting, size=1)).is_held
    assert slots._LEASE_SECONDS + slots._POLL_SECONDS < 60


async def test_a_killed_waiter_holds_nobody_up(database: Database) -> None:
    holder, killed, waiting = claim(), claim(), claim()
    for each in (holder, killed, waiting):
        await ask(database, each, size=1)
    await lapse(database, killed.job_id)
    await leave(database, holder, size=1)
    assert (await ask(database, waiting, size=1)).is_held


async def test_a_holder_that_shows_life_keeps_its_place(database: Database) -> None:
    holder, waiting = claim(), claim()
    await ask(database, holder, size=1)
    await lapse(database, holder.job_id)
    async with window_of(database) as places:
        await places.renew(holder, seconds=SECONDS)
    assert not (await ask(database, waiting, size=1)).is_held


async def test_the_next_run_of_a_job_has_the_place_of_the_one_before(database: Database) -> None:
    before, waiting = claim(), claim()
    await ask(database, before, size=1)
    await ask(database, waiting, size=1)
    after = replace(before, fence=2)
    assert (await ask(database, after, size=1)).is_held
    with pytest.raises(LeaseLost):
        await ask(database, before, size=1)
    await leave(database, before, size=1)  # too late to take it away from the later run
    assert (await ask(database, after, size=1)).is_held


async def test_a_job_that_goes_to_another_server_stands_in_line_there(database: Database) -> None:
    here, there = claim(), claim(OTHER)
    await ask(database, here, size=1)
    await ask(database, there, size=1)
    moved = replace(here, estimates={OTHER: ESTIMATE}, fence=2)
    assert not (await ask(database, moved, size=1)).is_held
    assert (await state(database)).held == 0


async def test_one_line_serves_all_servers_and_the_freed_one_goes_to_the_next(
    database: Database,
) -> None:
    claims = [claim(SERVER, OTHER) for _ in range(4)]
    got = [await ask(database, each, size=1) for each in claims]
    assert {slot.server for slot in got[:2]} == {SERVER, OTHER}
    assert [(slot.is_held, slot.ahead) for slot in got[2:]] == [(False, 0), (False, 1)]
    await leave(database, claims[1], size=1)
    freed = got[1].server
    assert (await ask(database, claims[2], size=1)).server == freed
    assert not (await ask(database, claims[3], size=1)).is_held


async def test_one_that_only_a_full_server_can_run_holds_up_nobody_behind_it(
    database: Database,
) -> None:
    holder, pinned, free = claim(), claim(), claim(SERVER, OTHER)
    await ask(database, holder, size=1)
    assert not (await ask(database, pinned, size=1)).is_held
    assert (await ask(database, free, size=1)).server == OTHER


async def test_two_models_that_alternate_keep_to_their_servers(database: Database) -> None:
    hits = []
    for turn in range(20):
        render = claim(SERVER, OTHER, model=("anima", "flux")[turn % 2])
        slot = await ask(database, render, size=1)
        hits.append(slot.holds_model)
        await leave(database, render, size=1)
    assert hits == [False, False, *[True] * 18]


@pytest.mark.parametrize("how", ["drained", "unreachable", "paused"])
async def test_a_server_that_is_not_to_be_used_gets_nothing_until_it_may(
    database: Database, how: str
) -> None:
    async with database.session_scope() as session:
        known, pauses = ServerRepository(session), PauseRepository(session)
        await known.note_looks(answered=[SERVER, OTHER], silent=[])
        await known.set_health(OTHER, ServerHealth.ALIVE, "answers")
        await known.set_health(SERVER, ServerHealth.ALIVE, "answers")
        if how == "drained":
            await known.drain(SERVER)
        elif how == "unreachable":
            await known.set_health(SERVER, ServerHealth.UNREACHABLE, "refused")
        else:
            await pauses.set(server_scope(SERVER), "new fan")
    only_here = claim()
    slot = await ask(database, only_here)
    assert not slot.is_held
    assert slot.open_servers == {OTHER}
    assert (await ask(database, claim(SERVER, OTHER))).server == OTHER
    async with database.session_scope() as session:
        known = ServerRepository(session)
        await PauseRepository(session).clear(server_scope(SERVER))
        await known.resume(SERVER)
        await known.set_health(SERVER, ServerHealth.ALIVE, "answers")
    assert (await ask(database, only_here)).server == SERVER


async def test_while_everything_is_paused_nobody_gets_a_slot(database: Database) -> None:
    async with database.session_scope() as session:
        await PauseRepository(session).set(EVERYTHING, "low disk")
    render = claim(SERVER, OTHER)
    assert not (await ask(database, render)).is_held
    bound = claim(bound_to=SERVER)
    assert (await ask(database, bound)).server == SERVER
    async with database.session_scope() as session:
        await PauseRepository(session).clear(EVERYTHING)
    assert (await ask(database, render)).is_held


async def test_a_prompt_that_is_at_a_server_has_its_slot_there_at_once(database: Database) -> None:
    await ask(database, claim(), size=1)
    bound = claim(bound_to=SERVER)
    assert (await ask(database, bound, size=1)).server == SERVER
    assert (await state(database)).held == 2
    assert not (await ask(database, claim(), size=1)).is_held


async def test_a_slot_costs_as_few_statements_as_with_a_single_server(database: Database) -> None:
    said: list[str] = []
    engine = database._engine.sync_engine

    def count(*arguments: Any) -> None:  # of SQLAlchemy's event
        said.append(arguments[2])

    holder, waiting = claim(), claim()
    await ask(database, holder, size=1)
    await ask(database, waiting, size=1)
    event.listen(engine, "before_cursor_execute", count)
    try:
        await ask(database, waiting, size=1)
        assert len(said) <= 4, said
        said.clear()
        await leave(database, holder, size=1)  # gives it on
        assert len(said) <= 5, said
        said.clear()
        assert (await ask(database, waiting, size=1)).is_held
        assert len(said) <= 2, said
    finally:
        event.remove(engine, "before_cursor_execute", count)


async def test_when_each_is_expected_to_be_finished_is_known(database: Database) -> None:
    first, second, third = (claim() for _ in range(3))
    for each in (first, second, third):
        await ask(database, each, size=1)
    async with window_of(database) as places:
        left = await places.seconds_left(size=1)
    assert left[first.job_id] <= 1.0
    assert 1.0 <= left[second.job_id] <= 2.0
    assert 2.0 <= left[third.job_id] <= 3.0


async def test_only_what_lapsed_long_ago_is_pruned(database: Database) -> None:
    old, new, alive = claim(), claim(), claim()
    for each in (old, new, alive):
        await ask(database, each, size=3)
    await lapse(database, old.job_id, seconds=7200)
    await lapse(database, new.job_id, seconds=60)
    async with window_of(database) as places:
        assert await places.prune(older_than_seconds=3600) == 1


async def test_fifty_at_once_never_exceed_the_window_and_all_get_their_turn(
    database: Database, database_url: str
) -> None:
    inside, most, turns = 0, 0, 0
    both_places_are_taken = asyncio.Barrier(SIZE)

    async def take_a_turn(pool: Database) -> None:
        nonlocal inside, most, turns
        async with hold_slot(pool, claim(), SIZE, reporter()):
            inside += 1
            most = max(most, inside)
            await both_places_are_taken.wait()
            turns += 1
            inside -= 1

    async with asyncio.timeout(HUNG_SECONDS), Database(database_url) as elsewhere:
        await asyncio.gather(*(take_a_turn(pool) for pool in (database, elsewhere) * 25))
    assert (turns, most) == (50, SIZE)
    assert await state(database) == SlotUsage(0, 0, None)


async def test_whoever_waits_is_woken_and_need_not_ask(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_POLL_SECONDS", 3600.0)
    holder, waiting = claim(), claim()
    said: list[str] = []

    class Listening(Reporter):
        async def enter(self, stage: object, message: str) -> None:
            said.append(message)
            waits.set()

    waits = asyncio.Event()
    await ask(database, holder, size=1)

    async def wait() -> None:
        async with hold_slot(database, waiting, 1, Listening(ProgressPublisher(None), uuid4())):
            pass

    task = asyncio.create_task(wait())
    async with asyncio.timeout(HUNG_SECONDS):
        await waits.wait()
        await leave(database, holder, size=1)
        await task
    assert said == ["Waiting for a slot at ComfyUI, next in line"]


async def test_without_the_bell_whoever_waits_asks_by_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(type(database.notifications), "_listen", _hears_nothing)
    holder, waiting = claim(), claim()
    await ask(database, holder, size=1)
    entered = asyncio.Event()

    async def wait() -> None:
        async with hold_slot(database, waiting, 1, reporter()):
            entered.set()

    task = asyncio.create_task(wait())
    async with asyncio.timeout(HUNG_SECONDS):
        while (await state(database)).waiting == 0:
            await asyncio.sleep(0.01)
        assert not entered.is_set()
        await leave(database, holder, size=1)
        await task
    assert entered.is_set()


async def _hears_nothing(worker_channel: object) -> None:
    await asyncio.Event().wait()


async def test_whoever_is_cancelled_while_it_waits_leaves_the_line(database: Database) -> None:
    holder, waiting = claim(), claim()
    await ask(database, holder, size=1)

    async def wait() -> None:
        async with hold_slot(database, waiting, 1, reporter()):
            raise AssertionError("the window is full")

    task = asyncio.create_task(wait())
    async with asyncio.timeout(HUNG_SECONDS):
        while (await state(database)).waiting == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert (await state(database)).waiting == 0


async def test_whoever_waits_for_a_server_that_is_removed_is_told_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_POLL_SECONDS", 0.05)
    removed = "http://gpu-c:8188"
    async with database.session_scope() as session:
        await ServerRepository(session).add(removed, name="gpu-c", labels=[])
    await ask(database, claim(removed), size=1)

    async def wait() -> None:
        async with hold_slot(database, claim(removed), 1, reporter(), away_seconds=0.01):
            raise AssertionError("nobody gave a slot")

    task = asyncio.create_task(wait())
    async with asyncio.timeout(HUNG_SECONDS):
        while (await state(database, removed)).waiting == 0:
            await asyncio.sleep(0.01)
        async with database.session_scope() as session:
            await ServerRepository(session).remove(removed)
        with pytest.raises(ComfyUIUnreachable, match="gpu-c:8188: removed"):
            await task


async def test_a_database_that_stays_away_ends_the_wait_with_its_name(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = RetryPolicy(first_seconds=0, longest_seconds=0, attempts=2)
    monkeypatch.setattr(slots, "RECORD", at_once)
    async with Database("postgresql://nobody@127.0.0.1:9/none") as away:
        with pytest.raises(DatabaseUnavailable):
            async with hold_slot(away, claim(), 1, reporter()):
                raise AssertionError("nobody gave a place")
