"""Following one prompt to its end: /history decides, the WebSocket tells how far it is."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

from anime.comfyui.event_listener import EventListener
from anime.comfyui.event_sockets import event_sockets
from anime.comfyui.models import (
    Event,
    HistoryEntry,
    NodeExecuting,
    NodeProgressed,
    PreviewFrame,
)
from anime.comfyui.prompt_cancellation import CancelResult, PromptControl, cancel_prompt
from anime.comfyui.server_login import ServerLogin
from anime.core.prompt_state import (
    Absent,
    Finished,
    Lost,
    Pending,
    PromptWatch,
    RenderPoint,
    Running,
    RunState,
    Sighting,
    Unknown,
)
from anime.core.stall_clock import Stall, StallClock, StallLimits
from anime.errors import (
    ComfyUIError,
    ComfyUIRefused,
    ComfyUIUnreachable,
    PromptLost,
    RenderStalled,
    ServerIdle,
)
from anime.retry_policies import HISTORY_AFTER_SUCCESS

LOST_GRACE_SECONDS = 2.0
STALL_CANCEL_SECONDS = 10.0
SILENCE_SECONDS = 30.0  # most nodes send an event sooner; reconnecting harms none
CLOSING_SECONDS = 0.1  # from a prompt's last event to the one by which its history is complete

_START_IT = "Start ComfyUI again; raise ANIME_COMFYUI_WAIT_SECONDS if it needs longer."
TODO_WHEN_STALLED = {
    Stall.NOTHING_RUNS: "It waited although nothing ran: restart ComfyUI, whose worker has died.",
    Stall.NO_STEP: "Read ComfyUI's log; raise ANIME_STALL_TIMEOUT_SECONDS if it is merely slow.",
    Stall.SILENCE: "Read ComfyUI's log; raise ANIME_SILENCE_TIMEOUT_SECONDS if it is merely "
    "slow and reports nothing meanwhile.",
}


@dataclass(frozen=True)
class TrackerTimeouts:
    """How long to wait, in seconds. `anime.core.stall_clock` explains `stall` and `silence`.

    `refused`: for a server at whose port nobody listens; None: as for any that does not answer.
    """

    poll: float
    stall: float
    silence: float
    unreachable: float
    refused: float | None = None


class TrackedServer(PromptControl, Protocol):
    """The calls of a server that following one of its prompts needs."""

    @property
    def name(self) -> str:
        """The server as messages name it."""
        ...

    @property
    def base_url(self) -> str:
        """The server's URL, without user and password."""
        ...

    @property
    def login(self) -> ServerLogin: ...

    def websocket_url(self, client_id: str) -> str:
        """The address of that client's events."""
        ...

    async def history(self, prompt_id: UUID) -> HistoryEntry | None:
        """How the prompt ended; None while it has not."""
        ...


@asynccontextmanager
async def listening(
    client: TrackedServer, client_id: str, prompt_id: UUID
) -> AsyncIterator[EventListener]:
    """Listen to what that client is sent about the prompt for as long as the block lasts."""
    listener = EventListener(
        client.base_url,
        client_id,
        str(prompt_id),
        address=partial(client.websocket_url, client_id),
        login=client.login,
        silence_seconds=SILENCE_SECONDS,
    )
    sockets = event_sockets()
    sockets.add(listener)
    try:
        yield listener
    finally:
        sockets.remove(listener)


async def follow_prompt(
    client: TrackedServer,
    prompt_id: UUID,
    listener: EventListener,
    timeouts: TrackerTimeouts,
    *,
    has_heard_all: bool = False,
) -> AsyncGenerator[Event | Finished[HistoryEntry], None]:
    """The prompt's events as they come, and last how it ended.

    It connects first and reads the history second: the end of a fast prompt is in one of them.
    `has_heard_all`: the listener was up before the prompt was sent, so that there is nothing to
    ask before it is time. What an event tells of the prompt is not asked for either.

    Raises:
        PromptLost: the server has forgotten it.
        RenderStalled: no progress for too long; it was cancelled there.
        ComfyUIRefused: nobody listened there for too long.
        ComfyUIUnreachable: no answer for too long.
    """
    tracker = PromptTracker(client, prompt_id, timeouts, listener)
    clock = asyncio.get_running_loop().time
    await listener.wait_for_first_try()
    state: RunState[HistoryEntry] = Unknown()
    if not has_heard_all:
        state = await tracker.poll(is_hinted=False)
    while not isinstance(state, Finished):
        next_poll = clock() + timeouts.poll
        is_hinted = is_closing = False
        while not is_hinted and (event := await listener.next_event(until=next_poll)):
            is_hinted = tracker.hints_at_end(event)
            if own_event := tracker.own_event(event):
                is_closing |= own_event.ends_prompt
                if is_closing:
                    next_poll = min(next_poll, clock() + CLOSING_SECONDS)
                elif not tracker.has_lost_socket:
                    next_poll = clock() + timeouts.poll
                yield own_event
            if clock() >= next_poll:
                break
        state = await tracker.poll(is_hinted=is_hinted or is_closing)
    for event in listener.received():
        if own_event := tracker.own_event(event):
            yield own_event
    yield state


class PromptTracker:
    """Where one prompt is, poll by poll, and for how long it has shown no progress."""

    def __init__(
        self,
        client: TrackedServer,
        prompt_id: UUID,
        timeouts: TrackerTimeouts,
        listener: EventListener,
    ) -> None:
        self._client = client
        self._prompt_id = prompt_id
        self._timeouts = timeouts
        self._listener = listener
        self._clock = asyncio.get_running_loop().time
        self._watch = PromptWatch[HistoryEntry](accepted=True, grace_seconds=LOST_GRACE_SECONDS)
        self._last_sighting: Sighting[HistoryEntry] | None = None
        self._was_running = False
        self._dead_sockets = 0  # when the server was last asked and had the prompt
        self._node: str | None = None
        self._named_node: str | None = None  # without its prompt, since the server last answered
        self._point = RenderPoint()
        limits = StallLimits(stall=timeouts.stall, silence=timeouts.silence)
        self._stall_clock = StallClock(limits, at=self._clock())
        self._unanswered_since: float | None = None
        self._refused_since: float | None = None

    @property
    def has_lost_socket(self) -> bool:
        """Whether a socket has died since the server was last asked and had the prompt."""
        return self._listener.dead_sockets > self._dead_sockets

    def own_event(self, event: Event) -> Event | None:
        """The event, if it is this prompt's; None if not.

        A preview without metadata names no prompt, but only one prompt runs at a time.
        """
        if event.prompt_id == str(self._prompt_id):
            self._note_progress(event)
            return event
        if isinstance(event, PreviewFrame) and event.prompt_id is None and self._node:
            return event.model_copy(update={"prompt_id": str(self._prompt_id), "node": self._node})
        return None

    def _note_progress(self, event: Event) -> None:
        self._unanswered_since = self._refused_since = None
        self._stall_clock.heard(at=self._clock())
        match event:
            case NodeExecuting():
                self._was_running = True
                self._node = event.node
                if event.node != self._point.node:
                    self._point = RenderPoint(event.node)
                self._stall_clock.entered(event.node)
            case NodeProgressed():
                share = event.value / event.max if event.max > 0 else 0.0
                self._point = RenderPoint(event.node, share)
                self._stall_clock.stepped(event.node, value=event.value, maximum=event.max)

    def hints_at_end(self, event: Event) -> bool:
        """Whether to poll now, rather than when it is time again: the history is complete.

        After connecting in mid-run a node is named without a prompt: that is a hint, too. It is
        sent only to the client of the prompt that runs.
        """
        if event.prompt_id is None and isinstance(event, NodeExecuting):
            self._named_node = event.node
            return True
        is_own = event.prompt_id == str(self._prompt_id)
        return is_own and isinstance(event, NodeExecuting) and event.ends_prompt

    async def poll(self, *, is_hinted: bool) -> RunState[HistoryEntry]:
        """Where the prompt is now. Raises as `follow_prompt` does."""
        asked_at = self._clock()
        try:
            async with asyncio.timeout(self._timeouts.unreachable):
                sighting = await self._find(is_hinted=is_hinted)
        except (ComfyUIError, TimeoutError) as fault:
            self._note_no_answer(asked_at, fault)
            return self._watch.state
        return await self._update(sighting)

    async def _find(self, *, is_hinted: bool) -> Sighting[HistoryEntry]:
        for delay in (0.0, *HISTORY_AFTER_SUCCESS.delays()) if is_hinted else ():
            await asyncio.sleep(delay)
            if entry := await self._client.history(self._prompt_id):
                return Finished(entry)
        return await self._client.find(self._prompt_id)

    async def _update(self, sighting: Sighting[HistoryEntry]) -> RunState[HistoryEntry]:
        """The prompt's state after this poll. Waiting behind a prompt that runs is no stall."""
        now = self._clock()
        self._unanswered_since = self._refused_since = None
        self._stall_clock.looked(at=now, deaf_seconds=self._listener.disconnected_seconds)
        self._watch = self._watch.saw(sighting, at=now)
        if isinstance(sighting, Running):
            self._was_running = True
            if self._named_node is not None:
                self._stall_clock.entered(self._named_node)
        self._named_node = None
        if not isinstance(sighting, Absent):
            self._dead_sockets = self._listener.dead_sockets
        state = self._watch.state
        if isinstance(state, Lost):
            raise self._lost_error(state)
        waits = isinstance(sighting, Pending) and not sighting.is_idle
        if waits or sighting != self._last_sighting:
            self._stall_clock.moved()
        self._last_sighting = sighting
        stall = self._stall_clock.stall(sighting)
        return state if stall is None else await self._cancel_stalled(stall)

    def _note_no_answer(self, asked_at: float, fault: Exception) -> None:
        self._watch = self._watch.heard_nothing()
        self._stall_clock.not_answered(at=self._clock())
        if self._unanswered_since is None:
            self._unanswered_since = asked_at
        is_refused = isinstance(fault, ComfyUIRefused)
        self._refused_since = (self._refused_since or asked_at) if is_refused else None
        now, patience = self._clock(), self._timeouts.refused
        if self._refused_since and patience and now - self._refused_since >= patience:
            raise self._refused_error(
                f"{self._client.name} is dead: nobody has listened there for {patience:.0f} s"
            ) from fault
        silence = now - self._unanswered_since
        if silence >= self._timeouts.unreachable:
            what = f"{self._client.name} has not answered for {silence:.0f} s"
            if is_refused:
                raise self._refused_error(what) from fault
            raise ComfyUIUnreachable(self._with_prompt(what), _START_IT) from fault

    def _with_prompt(self, what: str) -> str:
        return f"{what}, while it had prompt {self._prompt_id}."

    def _refused_error(self, what: str) -> ComfyUIRefused:
        error = ComfyUIRefused(self._with_prompt(what), _START_IT)
        error.died_at = self._point if self._was_running else None
        return error

    def _lost_error(self, state: Lost) -> PromptLost:
        # A quick restart is over before the next poll; the socket to the old process shows it.
        has_restarted = state.restarted or self.has_lost_socket
        why = "it restarted" if has_restarted else "it restarted, or somebody removed it"
        error = PromptLost(
            f"{self._client.name} no longer knows prompt {self._prompt_id}: {why}.",
            "Send it again, under a new id.",
        )
        error.died_at = self._point if has_restarted and self._was_running else None
        return error

    async def _cancel_stalled(self, stall: Stall) -> RunState[HistoryEntry]:
        """How it ended, if it did so just now.

        Raises:
            RenderStalled: it did not.
        """
        cause: ComfyUIError | None = None
        try:
            result = await cancel_prompt(
                self._client, self._prompt_id, timeout_seconds=STALL_CANCEL_SECONDS
            )
            if result in {CancelResult.COMPLETED, CancelResult.FAILED} and (
                entry := await self._client.history(self._prompt_id)
            ):
                return Finished(entry)
        except ComfyUIError as fault:
            result, cause = CancelResult.UNANSWERED, fault
        raise self._stalled_error(stall, result) from cause

    def _stalled_error(self, stall: Stall, result: CancelResult) -> RenderStalled:
        todo = TODO_WHEN_STALLED[stall]
        goes_on = result in {CancelResult.STILL_RUNNING, CancelResult.UNANSWERED}
        if stall is not Stall.NOTHING_RUNS and goes_on:
            todo = "It does not stop either: restart ComfyUI."
        is_idle = stall is Stall.NOTHING_RUNS and result is CancelResult.REMOVED
        kind = ServerIdle if is_idle else RenderStalled
        return kind(
            f"Prompt {self._prompt_id} made no progress at {self._client.name} for "
            f"{self._stall_clock.silent_seconds:.0f} s.",
            todo,
        )
