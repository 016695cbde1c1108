"""How the client follows a prompt when the server is not at its best."""

import asyncio
import base64
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import connect

from anime.comfyui import event_listener, event_sockets, tracker
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import Event, ExecutionSucceeded, HistoryEntry, NodeProgressed
from anime.core.prompt_state import Finished
from anime.errors import ComfyUIRefused, ComfyUIUnreachable, PromptLost, RenderStalled
from anime.retry_policies import RetryPolicy
from tests.integration.comfyui_peer import Host, Peer
from tests.support.waiting import HUNG_SECONDS

Followed = list[Event | Finished[HistoryEntry]]
LONG = 2.0 * HUNG_SECONDS  # nobody waits for what comes only then


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def peer(host: Host) -> AsyncIterator[Peer]:
    async with host.up(Peer()) as peer:
        yield peer


@pytest.fixture
async def client(host: Host) -> AsyncIterator[ComfyUIClient]:
    async with ComfyUIClient(host.url, timeout_seconds=HUNG_SECONDS) as client:
        yield client


@pytest.fixture
def prompt_id() -> UUID:
    return uuid4()


@dataclass
class Clock:
    """The time since a prompt has moved goes by when a test says so."""

    now: float = 1.0
    _heard: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    def note(self, event: Event) -> None:
        self._heard.put_nowait(event)

    async def until_heard(self, number: int = 1) -> None:
        """Return when so many more events have reached the prompt."""
        for _ in range(number):
            await asyncio.wait_for(self._heard.get(), HUNG_SECONDS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    class Tracker(tracker.PromptTracker):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._clock = lambda: clock.now
            self._stall_clock.heard(at=clock.now)

        def own_event(self, event: Event) -> Event | None:
            clock.note(event)
            return super().own_event(event)

    monkeypatch.setattr(tracker, "PromptTracker", Tracker)
    return clock


async def followed(
    client: ComfyUIClient,
    prompt_id: UUID,
    *,
    poll: float = LONG,
    stall: float = LONG,
    silence: float = LONG,
    unreachable: float = LONG,
    refused: float | None = None,
    has_heard_all: bool = False,
) -> Followed:
    async with client.listening("client", prompt_id) as listener:
        return [
            event
            async for event in client.follow(
                prompt_id,
                listener,
                has_heard_all=has_heard_all,
                poll_seconds=poll,
                stall_timeout_seconds=stall,
                silence_timeout_seconds=silence,
                unreachable_timeout_seconds=unreachable,
                refused_timeout_seconds=refused,
            )
        ]


def entry_of(events: Followed) -> HistoryEntry:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.entry


async def test_f23_a_prompt_that_ended_before_we_connected_is_found_in_the_history(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.finish(prompt_id)
    assert entry_of(await followed(client, prompt_id)).succeeded


@pytest.mark.parametrize("looks_needed", [0, 3])
async def test_the_end_is_known_at_once_even_when_the_history_comes_late(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, looks_needed: int
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id))
    await peer.connected.wait()
    await peer.until_asked(1)  # it runs, by the first look
    peer.history_looks_needed = looks_needed
    await peer.send("progress", value=1, max=3, node="3", prompt_id=str(prompt_id))
    peer.finish(prompt_id)
    await peer.send("execution_success", prompt_id=str(prompt_id), timestamp=1)
    events = await asyncio.wait_for(following, HUNG_SECONDS)
    assert [type(event) for event in events] == [NodeProgressed, ExecutionSucceeded, Finished]


async def test_what_the_socket_tells_is_not_asked_for(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_event, polls_at = event_listener.EventListener.next_event, list[float]()

    async def noted(listener: event_listener.EventListener, *, until: float) -> Event | None:
        polls_at.append(until)
        return await next_event(listener, until=until)

    monkeypatch.setattr(event_listener.EventListener, "next_event", noted)
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, has_heard_all=True))
    await peer.connected.wait()
    for step in range(1, 8):
        await peer.send("progress", value=step, max=9, node="3", prompt_id=str(prompt_id))
    await peer.send("execution_success", prompt_id=str(prompt_id), timestamp=1)
    peer.finish(prompt_id)
    await peer.send("executing", node=None, prompt_id=str(prompt_id))
    assert entry_of(await asyncio.wait_for(following, HUNG_SECONDS)).succeeded
    assert peer.asked == ["history"]
    assert len(set(polls_at)) > 7, "each step puts the next poll off"


async def test_a_listener_knows_whether_the_server_has_greeted_it(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patient:
        patient.setattr(event_listener, "GREETING_SECONDS", HUNG_SECONDS)
        async with client.listening("client", prompt_id) as listener:
            assert await listener.wait_until_up()
    peer.greets = False
    async with client.listening("another client", prompt_id) as listener:
        assert not await listener.wait_until_up()


async def test_events_of_other_prompts_are_not_ours(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id))
    await peer.connected.wait()
    await peer.until_asked(1)  # it runs, by the first look
    await peer.send("progress", value=1, max=3, node="3", prompt_id="somebody-elses")
    await peer.send("progress_state", prompt_id="somebody-elses", nodes={})
    await peer.send("executing", node=None, prompt_id="somebody-elses")
    peer.finish(prompt_id)
    await peer.send("executing", node=None, prompt_id=str(prompt_id))
    events = await asyncio.wait_for(following, HUNG_SECONDS)
    assert {event.prompt_id for event in events[:-1] if isinstance(event, Event)} == {
        str(prompt_id)
    }


async def test_prompts_of_one_client_share_a_socket_and_each_hears_of_itself(
    client: ComfyUIClient, peer: Peer
) -> None:
    prompts = [uuid4() for _ in range(3)]
    for each in prompts:
        peer.start(each)
    following = [asyncio.create_task(followed(client, each)) for each in prompts]
    await peer.connected.wait()
    await peer.until_asked(len(prompts))  # each has looked once, and listens from now on
    for step, each in enumerate(prompts, start=1):
        await peer.send("progress", value=step, max=9, node="3", prompt_id=str(each))
    for each in prompts:
        peer.finish(each)
        await peer.send("executing", node=None, prompt_id=str(each))
    heard = await asyncio.wait_for(asyncio.gather(*following), HUNG_SECONDS)
    steps = [[event.value for event in of if isinstance(event, NodeProgressed)] for of in heard]
    assert steps == [[1], [2], [3]]
    assert all(entry_of(of).prompt_id == str(each) for of, each in zip(heard, prompts, strict=True))
    assert len(peer.greeted_with) == 1


async def test_a_run_that_is_too_busy_to_listen_keeps_the_latest_events_alone(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_listener, "MAX_EVENTS", 3)
    async with client.listening("client", prompt_id) as listener:
        await peer.connected.wait()
        for step in range(1, 10):
            await peer.send("progress", value=step, max=9, node="3", prompt_id=str(prompt_id))
        async with client.listening("client", uuid4()) as other:
            await peer.send("executing", node="3")  # arrives after all of them
            end = asyncio.get_running_loop().time() + LONG
            assert await other.next_event(until=end) is not None
        latest = [event for event in listener.received() if isinstance(event, NodeProgressed)]
    assert [event.value for event in latest] == [8, 9]


async def test_the_socket_waits_for_the_next_prompt(client: ComfyUIClient, peer: Peer) -> None:
    for prompt_id in (uuid4(), uuid4()):
        peer.finish(prompt_id)
        assert entry_of(await followed(client, prompt_id)).succeeded
    assert len(peer.greeted_with) == 1
    assert len(peer.sockets) == 1


def test_runs_that_begin_at_once_are_one_client() -> None:
    event_sockets.of_process.cache_clear()
    ready, found = threading.Barrier(8), list[event_sockets.EventSockets]()

    def begin() -> None:
        ready.wait(HUNG_SECONDS)
        found.append(event_sockets.event_sockets())

    runs = [threading.Thread(target=begin) for _ in range(8)]
    for each in runs:
        each.start()
    for each in runs:
        each.join(HUNG_SECONDS)
    assert len(found) == 8
    assert len(set(found)) == 1


async def test_what_a_run_had_open_goes_with_it_though_its_socket_stays(
    client: ComfyUIClient, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_listener, "GREETING_SECONDS", HUNG_SECONDS)
    of_run: ContextVar[Clock] = ContextVar("of_run")

    async def run() -> weakref.ref[Clock]:
        connections = Clock()
        of_run.set(connections)
        async with client.listening("client", uuid4()):
            await peer.connected.wait()
        return weakref.ref(connections)

    kept = await asyncio.create_task(run())
    async with client.listening("client", uuid4()) as next_one:
        assert await next_one.wait_until_up()
        gc.collect()
        assert kept() is None


async def test_a_socket_waits_from_its_last_prompt_on(
    client: ComfyUIClient, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_listener, "GREETING_SECONDS", HUNG_SECONDS)

    async def render(client_id: str) -> None:
        async with client.listening(client_id, uuid4()) as listener:
            assert await listener.wait_until_up()

    monkeypatch.setattr(event_sockets, "LINGER_SECONDS", 0.2)
    await render("client")
    async with client.listening("another client", uuid4()) as other:
        assert await other.wait_until_up()  # so the first one's time has begun
        monkeypatch.setattr(event_sockets, "LINGER_SECONDS", LONG)
        await render("client")
        await render("a third client")
        monkeypatch.setattr(event_sockets, "LINGER_SECONDS", 0.2)
    await asyncio.wait_for(peer.disconnected.wait(), HUNG_SECONDS)
    assert "client" in [each.query_params["clientId"] for each in peer.sockets]


async def test_a_socket_is_tried_at_once_for_a_prompt_that_comes_meanwhile(
    client: ComfyUIClient, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = RetryPolicy(first_seconds=LONG, longest_seconds=LONG)
    monkeypatch.setattr(event_sockets, "COMFYUI_WEBSOCKET", seldom)
    monkeypatch.setattr(event_listener, "GREETING_SECONDS", HUNG_SECONDS)
    peer.refuses_websockets = True
    async with client.listening("client", uuid4()) as first:
        await first.wait_for_first_try()
        peer.refuses_websockets = False
        async with client.listening("client", uuid4()) as second:
            assert await second.wait_until_up()
            assert await first.wait_until_up()
        await peer.drop_sockets()
        while not first.dead_sockets:
            await asyncio.sleep(0.01)
        async with client.listening("client", uuid4()) as third:
            assert await third.wait_until_up()
            assert (first.dead_sockets, third.dead_sockets) == (1, 0)


async def test_fact_11_a_node_named_without_a_prompt_is_a_hint_to_look(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id))
    await peer.connected.wait()
    await asyncio.sleep(0.1)
    peer.finish(prompt_id)
    await peer.send("executing", node="3")
    assert [type(event) for event in await asyncio.wait_for(following, HUNG_SECONDS)] == [Finished]


async def test_a_refused_websocket_costs_only_progress(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.refuses_websockets = True
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.05))
    await peer.until_looked_for(2)
    peer.finish(prompt_id)
    assert entry_of(await asyncio.wait_for(following, HUNG_SECONDS)).succeeded


async def test_fact_10_a_silent_websocket_is_replaced_after_the_old_one_is_closed(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "SILENCE_SECONDS", 0.1)
    soon = RetryPolicy(first_seconds=0.05, longest_seconds=0.05)
    monkeypatch.setattr(event_sockets, "COMFYUI_WEBSOCKET", soon)
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id))
    await peer.connected.wait()
    peer.connected.clear()
    await asyncio.wait_for(peer.connected.wait(), HUNG_SECONDS)
    assert len(peer.sockets) == 1
    peer.finish(prompt_id)
    await peer.send("execution_success", prompt_id=str(prompt_id))
    assert entry_of(await asyncio.wait_for(following, HUNG_SECONDS)).succeeded


async def test_fact_15_a_server_that_restarts_in_mid_run_has_lost_the_prompt(
    client: ComfyUIClient, host: Host, prompt_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "LOST_GRACE_SECONDS", 0.2)
    async with host.up(Peer()) as peer:
        peer.start(prompt_id)
        following = asyncio.create_task(followed(client, prompt_id, poll=0.05))
        await peer.connected.wait()
    await asyncio.sleep(0.2)
    assert not following.done()
    async with host.up(Peer()):
        with pytest.raises(PromptLost, match="it restarted"):
            await asyncio.wait_for(following, HUNG_SECONDS)


async def test_a_server_that_comes_back_in_time_is_followed_on_a_new_websocket(
    client: ComfyUIClient, host: Host, prompt_id: UUID
) -> None:
    peer = Peer()
    peer.start(prompt_id)
    async with host.up(peer):
        following = asyncio.create_task(followed(client, prompt_id, poll=0.05))
        await peer.connected.wait()
    peer.sockets.clear()
    peer.connected.clear()
    await asyncio.sleep(0.1)
    async with host.up(peer):
        await asyncio.wait_for(peer.connected.wait(), HUNG_SECONDS)
        await peer.send("progress", value=1, max=3, node="3", prompt_id=str(prompt_id))
        peer.finish(prompt_id)
        events = await asyncio.wait_for(following, HUNG_SECONDS)
    assert entry_of(events).succeeded


async def test_a_server_that_stays_away_is_unreachable(
    client: ComfyUIClient, host: Host, prompt_id: UUID
) -> None:
    async with host.up(Peer()) as peer:
        peer.start(prompt_id)
        following = asyncio.create_task(followed(client, prompt_id, poll=0.05, unreachable=0.3))
        await peer.connected.wait()
    with pytest.raises(ComfyUIUnreachable, match=f"{host.url} has not answered") as caught:
        await asyncio.wait_for(following, HUNG_SECONDS)
    assert caught.value.retryable


async def test_a_server_at_whose_port_nobody_listens_is_dead_before_a_silent_one_is(
    client: ComfyUIClient, host: Host, prompt_id: UUID
) -> None:
    async with host.up(Peer()) as peer:
        peer.start(prompt_id)
        following = asyncio.create_task(followed(client, prompt_id, poll=0.05, refused=0.3))
        await peer.connected.wait()
    with pytest.raises(ComfyUIRefused, match="is dead: nobody has listened"):
        await asyncio.wait_for(following, HUNG_SECONDS)


async def test_a_server_that_hangs_is_unreachable(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.start(prompt_id)
    peer.reply_delay_seconds = LONG
    with pytest.raises(ComfyUIUnreachable):
        await asyncio.wait_for(
            followed(client, prompt_id, poll=0.05, unreachable=0.3), HUNG_SECONDS
        )


async def test_a_slow_server_is_followed_to_the_end(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.reply_delay_seconds = 0.3  # slower than it is polled
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.05, unreachable=10))
    await peer.connected.wait()
    await peer.send("progress", value=1, max=3, node="3", prompt_id=str(prompt_id))
    peer.finish(prompt_id)
    events = await asyncio.wait_for(following, HUNG_SECONDS)
    assert isinstance(events[0], NodeProgressed)
    assert entry_of(events).succeeded


async def test_a_prompt_without_progress_is_cancelled_and_stalled(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.start(prompt_id)
    with pytest.raises(RenderStalled, match="no progress"):
        await asyncio.wait_for(followed(client, prompt_id, poll=0.05, stall=0.3), HUNG_SECONDS)
    assert ("/interrupt", str(prompt_id)) in peer.posts
    assert not peer.running


async def test_every_event_of_the_prompt_puts_a_stall_off(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, clock: Clock
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.02, stall=3))
    await peer.connected.wait()
    for step in range(6):
        await peer.send("progress", value=step, max=6, node="3", prompt_id=str(prompt_id))
        await clock.until_heard()
        clock.now += 2
        await peer.until_looked_for(2)
    assert not following.done()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


async def test_without_a_websocket_a_prompt_that_runs_is_not_taken_for_stalled(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.refuses_websockets = True
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.02, stall=0.1))
    await peer.until_looked_for(20)
    assert not following.done()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


async def test_a_websocket_that_never_says_anything_is_as_good_as_none(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.greets = False
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.02, stall=0.1))
    await peer.until_looked_for(20)
    assert not following.done()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


async def test_without_a_websocket_the_limit_of_silence_ends_a_prompt(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.refuses_websockets = True
    peer.start(prompt_id)
    with pytest.raises(RenderStalled, match="ANIME_SILENCE_TIMEOUT_SECONDS"):
        await asyncio.wait_for(
            followed(client, prompt_id, poll=0.02, stall=0.1, silence=0.3), HUNG_SECONDS
        )
    assert ("/interrupt", str(prompt_id)) in peer.posts


async def test_a_websocket_lost_between_two_steps_makes_no_stall(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, clock: Clock
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.02, stall=3))
    await peer.connected.wait()
    await peer.send("progress", value=1, max=3, node="3", prompt_id=str(prompt_id))
    await clock.until_heard()
    peer.refuses_websockets = True
    await peer.drop_sockets()
    await asyncio.wait_for(peer.refused.wait(), HUNG_SECONDS)  # it has lost the one before
    await peer.until_looked_for(2)
    clock.now += 4
    await peer.until_looked_for(3)
    assert not following.done()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


@pytest.mark.parametrize(
    "said",
    [
        [("executing", {"node": "8"})],
        [("executing", {"node": "3"}), ("progress", {"value": 3, "max": 3, "node": "3"})],
        [("progress", {"value": 1, "max": 3, "node": "3"}), ("executing", {"node": "8"})],
    ],
    ids=["counts no steps", "has counted them all", "comes after one that counted"],
)
async def test_f27_a_node_that_counts_no_steps_may_say_nothing_for_long(
    client: ComfyUIClient,
    peer: Peer,
    prompt_id: UUID,
    clock: Clock,
    said: list[tuple[str, dict[str, object]]],
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.02, stall=3))
    await peer.connected.wait()
    for kind, content in said:
        await peer.send(kind, prompt_id=str(prompt_id), **content)
    await clock.until_heard(len(said))
    clock.now += 4
    await peer.until_looked_for(3)
    assert not following.done()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


async def test_a_node_named_to_a_new_websocket_may_say_nothing_for_long(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, clock: Clock
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.02, stall=3))
    await peer.connected.wait()
    await peer.send("executing", node="8")  # as the server says it: without the prompt
    await clock.until_heard()
    await peer.until_looked_for(2)
    clock.now += 4
    await peer.until_looked_for(3)
    assert not following.done()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


async def test_a_node_named_to_a_new_websocket_belongs_to_the_prompt_that_has_begun_meanwhile(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, clock: Clock
) -> None:
    peer.start("of the same client")
    peer.pending = [str(prompt_id)]
    following = asyncio.create_task(followed(client, prompt_id, poll=0.1, stall=3))
    await peer.connected.wait()
    await peer.until_looked_for(1)
    peer.finish("of the same client")
    peer.pending.clear()
    peer.start(prompt_id)
    await peer.send("executing", node="8")  # as the server says it: without the prompt
    await clock.until_heard()
    await peer.until_looked_for(2)
    clock.now += 4
    await peer.until_looked_for(3)
    assert not following.done()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


async def test_a_node_that_stops_between_two_steps_has_stalled(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.05, stall=0.3))
    await peer.connected.wait()
    await peer.send("executing", node="3", prompt_id=str(prompt_id))
    await peer.send("progress", value=1, max=3, node="3", prompt_id=str(prompt_id))
    with pytest.raises(RenderStalled, match="ANIME_STALL_TIMEOUT_SECONDS"):
        await asyncio.wait_for(following, HUNG_SECONDS)
    assert not peer.running


async def test_a_node_that_says_nothing_for_the_limit_of_silence_is_stopped(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, clock: Clock
) -> None:
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id, poll=0.02, stall=1, silence=4))
    await peer.connected.wait()
    await peer.send("executing", node="8", prompt_id=str(prompt_id))
    await clock.until_heard()
    clock.now += 5
    with pytest.raises(RenderStalled, match="ANIME_SILENCE_TIMEOUT_SECONDS"):
        await asyncio.wait_for(following, HUNG_SECONDS)
    assert not peer.running


async def test_waiting_behind_another_prompt_is_no_stall(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.start("somebody-elses")
    peer.pending = [str(prompt_id)]
    following = asyncio.create_task(followed(client, prompt_id, poll=0.05, stall=0.2))
    await asyncio.sleep(0.6)
    assert not following.done()
    peer.pending.clear()
    peer.finish(prompt_id)
    assert entry_of(await following).succeeded


async def test_fact_01_waiting_while_nothing_runs_is_a_stall_that_blames_the_worker(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID
) -> None:
    peer.pending = [str(prompt_id)]
    with pytest.raises(RenderStalled, match="whose worker has died"):
        await asyncio.wait_for(followed(client, prompt_id, poll=0.05, stall=0.2), HUNG_SECONDS)
    assert not peer.pending


async def test_ending_early_leaves_no_websocket_and_takes_no_time(
    client: ComfyUIClient, peer: Peer, prompt_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_sockets, "LINGER_SECONDS", 0)
    slow_to_close = partial(connect, close_timeout=LONG)  # for whoever waits for its end
    monkeypatch.setattr(event_sockets, "connect", slow_to_close)
    peer.start(prompt_id)
    following = asyncio.create_task(followed(client, prompt_id))
    await peer.connected.wait()
    for _ in range(200):
        await peer.send("status", status={"exec_info": {"queue_remaining": 1}})
    following.cancel()
    assert (await asyncio.wait([following], timeout=HUNG_SECONDS))[0]
    await asyncio.wait_for(peer.disconnected.wait(), HUNG_SECONDS)
    assert not peer.sockets


@pytest.mark.parametrize(
    ("login", "shown"),
    [("a%40b:p%3A%2F%E9%9B%A8+", "a@b:p:/雨+"), ("artist", "artist:"), ("artist:", "artist:")],
)
async def test_a_socket_opens_with_any_login_that_an_address_can_have(
    host: Host, peer: Peer, login: str, shown: str
) -> None:
    async with (
        asyncio.timeout(HUNG_SECONDS),
        ComfyUIClient(host.url.replace("//", f"//{login}@")) as client,
        client.listening("client", uuid4()),
    ):
        await peer.connected.wait()
    header = peer.greeted_with[-1].removeprefix("Basic ")
    assert base64.b64decode(header).decode() == shown


@pytest.mark.parametrize(
    ("now", "address"),
    [
        ("HTTP://me:two@Studio:8188/", "ws://me:two@studio:8188/ws?clientId=x"),
        ("http://me:two@studio:99999", "ws://me:one@studio:8188/ws?clientId=x"),
    ],
    ids=["spelled otherwise", "none"],
)
async def test_events_come_from_the_same_server_whatever_its_address_is_now(
    now: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO", now)
    client = ComfyUIClient("HTTP://me:one@Studio:8188", text="{env:STUDIO}")
    assert client.websocket_url("x") == address


async def test_each_socket_opens_with_the_login_of_the_moment(
    host: Host, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_listener, "GREETING_SECONDS", HUNG_SECONDS)
    file = tmp_path / "password"
    file.write_text("one")
    address = host.url.replace("//", f"//artist:{{file:{file}}}@")
    async with (
        asyncio.timeout(HUNG_SECONDS),
        ComfyUIClient(host.url, text=address) as client,
        client.listening("client", uuid4()) as listener,
    ):
        assert await listener.wait_until_up()
        shown = [peer.sockets[0].headers["authorization"]]
        file.write_text("two")
        peer.connected.clear()
        await peer.drop_sockets()
        await peer.connected.wait()
        shown.append(peer.sockets[-1].headers["authorization"])
    logins = [base64.b64decode(each.removeprefix("Basic ")).decode() for each in shown]
    assert logins == ["artist:one", "artist:two"]
