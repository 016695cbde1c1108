"""Following one prompt to its end: /history decides, the websocket tells how far it is."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from anime.comfyui.cancellation import CancelResult, PromptControl, cancel
from anime.comfyui.event_listener import EventListener
from anime.comfyui.models import (
    Event,
    HistoryEntry,
    NodeExecuting,
    NodeProgressed,
    PreviewFrame,
)
from anime.core.prompt_state import Finished, Lost, Pending, PromptWatch, RunState, Sighting
from anime.core.stall_clock import Stall, StallClock, StallLimits
from anime.errors import ComfyUIError, ComfyUIUnreachable, PromptLost, RenderStalled
from anime.retry_policies import HISTORY_AFTER_SUCCESS

LOST_GRACE_SECONDS = 2.0
STALL_CANCEL_SECONDS = 10.0
SILENCE_SECONDS = 30.0  # most nodes say something sooner; reconnecting harms none

TODO_WHEN_STALLED = {
    Stall.NOTHING_RUNS: "It waited although nothing ran: restart ComfyUI, whose worker has died.",
    Stall.NO_STEP: "Look at ComfyUI's log; raise ANIME_STALL_TIMEOUT_SECONDS if it is merely slow.",
    Stall.SILENCE: "Look at ComfyUI's log; raise ANIME_SILENCE_TIMEOUT_SECONDS if it is merely "
    "slow and says nothing meanwhile.",
}


@dataclass(frozen=True)
class TrackerTimeouts:
    """How long to wait for what, in seconds.

    `stall` and `silence` are explained in `anime.core.stall_clock`.
    """

    poll: float
    stall: float
    silence: float
    unreachable: float


class TrackedServer(PromptControl, Protocol):
    """What is asked of a server to follow one of its prompts."""

    @property
    def name(self) -> str:
        """The server as messages name it."""
        ...

    def websocket_url(self, client_id: str) -> str:
        """Where that client listens."""
        ...

    async def history(self, prompt_id: UUID) -> HistoryEntry | None:
        """How the prompt ended; None while it has not."""
        ...


async def follow(
    client: TrackedServer, prompt_id: UUID, client_id: str, patience: TrackerTimeouts
) -> AsyncGenerator[Event | Finished[HistoryEntry], None]:
    """The prompt's events as they come, and last how it ended.

    Connect first and ask the history second: the end of a fast prompt is in one of them.

    Raises:
        PromptLost: the server has forgotten it.
        RenderStalled: no progress for too long; it was cancelled there.
        ComfyUIUnreachable: no answer for too long.
    """
    listener = EventListener(client.websocket_url(client_id), silence_seconds=SILENCE_SECONDS)
    pursuit = PromptTracker(client, prompt_id, patience, listener)
    clock = asyncio.get_running_loop().time
    listener.start()
    try:
        await listener.tried()
        is_hinted = False
        while not isinstance(state := await pursuit.look(is_hinted=is_hinted), Finished):
            next_look = clock() + patience.poll
            is_hinted = False
            while not is_hinted and (event := await listener.next_event(until=next_look)):
                is_hinted = pursuit.hints_at_end(event)
                if own := pursuit.own(event):
                    yield own
                if clock() >= next_look:
                    break
        for event in listener.heard():
            if own := pursuit.own(event):
                yield own
    finally:
        await listener.close()
    yield state


class PromptTracker:
    """Where one prompt is, look by look, and how much patience is left."""

    def __init__(
        self,
        client: TrackedServer,
        prompt_id: UUID,
        patience: TrackerTimeouts,
        listener: EventListener,
    ) -> None:
        self._client = client
        self._prompt_id = prompt_id
        self._patience = patience
        self._listener = listener
        self._clock = asyncio.get_running_loop().time
        self._watch = PromptWatch[HistoryEntry](accepted=True, grace_seconds=LOST_GRACE_SECONDS)
        self._last_sighting: Sighting[HistoryEntry] | None = None
        self._node: str | None = None
        limits = StallLimits(stall=patience.stall, silence=patience.silence)
        self._stall_clock = StallClock(limits, at=self._clock())
        self._unanswered_since: float | None = None

    def own(self, event: Event) -> Event | None:
        """The event, if it is this prompt's: others' progress goes to every socket, too.

        A preview without metadata names no prompt, but only one prompt runs at a time.
        """
        if event.prompt_id == str(self._prompt_id):
            self._note_progress(event)
            return event
        if isinstance(event, PreviewFrame) and event.prompt_id is None and self._node:
            return event.model_copy(update={"prompt_id": str(self._prompt_id), "node": self._node})
        return None

    def _note_progress(self, event: Event) -> None:
        self._stall_clock.moved()
        match event:
            case NodeExecuting():
                self._node = event.node
                self._stall_clock.entered(event.node)
            case NodeProgressed():
                self._stall_clock.stepped(event.node, value=event.value, maximum=event.max)

    def hints_at_end(self, event: Event) -> bool:
        """Whether to ask the history now, rather than at the next poll.

        After connecting in mid-run a node is named without a prompt: that is a hint, too. It is
        said only to the client of the prompt that runs, and every prompt has a client of its own.
        """
        if event.prompt_id is None and isinstance(event, NodeExecuting):
            self._stall_clock.entered(event.node)
            return True
        return event.prompt_id == str(self._prompt_id) and event.ends_prompt

    async def look(self, *, is_hinted: bool) -> RunState[HistoryEntry]:
        """Where the prompt is now, and one look less of patience."""
        asked_at = self._clock()
        try:
            async with asyncio.timeout(self._patience.unreachable):
                sighting = await self._sight(is_hinted=is_hinted)
        except (ComfyUIError, TimeoutError) as fault:
            self._bear_silence(asked_at, fault)
            return self._watch.state
        return await self._judge(sighting)

    async def _sight(self, *, is_hinted: bool) -> Sighting[HistoryEntry]:
        for delay in (0.0, *HISTORY_AFTER_SUCCESS.delays()) if is_hinted else ():
            await asyncio.sleep(delay)
            if entry := await self._client.history(self._prompt_id):
                return Finished(entry)
        return await self._client.find(self._prompt_id)

    async def _judge(self, sighting: Sighting[HistoryEntry]) -> RunState[HistoryEntry]:
        """What the look comes to. Waiting behind a prompt that runs is no stall."""
        now = self._clock()
        self._unanswered_since = None
        self._stall_clock.looked(at=now, deaf_seconds=self._listener.deaf_seconds)
        self._watch = self._watch.saw(sighting, at=now)
        state = self._watch.state
        if isinstance(state, Lost):
            raise self._lost(state)
        waits = isinstance(sighting, Pending) and not sighting.is_idle
        if waits or sighting != self._last_sighting:
            self._stall_clock.moved()
        self._last_sighting = sighting
        stall = self._stall_clock.stall(sighting)
        return state if stall is None else await self._give_up(stall)

    def _bear_silence(self, asked_at: float, fault: Exception) -> None:
        self._watch = self._watch.heard_nothing()
        self._stall_clock.not_answered(at=self._clock())
        if self._unanswered_since is None:
            self._unanswered_since = asked_at
        silence = self._clock() - self._unanswered_since
        if silence >= self._patience.unreachable:
            raise ComfyUIUnreachable(
                f"{self._client.name} has not answered for {silence:.0f} s, while it had prompt "
                f"{self._prompt_id}.",
                "Start ComfyUI again; raise ANIME_COMFYUI_WAIT_SECONDS if it needs longer.",
            ) from fault

    def _lost(self, state: Lost) -> PromptLost:
        why = "it restarted" if state.restarted else "it restarted, or somebody removed it"
        return PromptLost(
            f"{self._client.name} no longer knows prompt {self._prompt_id}: {why}.",
            "Send it again, under an id of its own.",
        )

    async def _give_up(self, stall: Stall) -> RunState[HistoryEntry]:
        """How it ended, if it did so just now.

        Raises:
            RenderStalled: it did not.
        """
        cause: ComfyUIError | None = None
        try:
            ending = await cancel(
                self._client, self._prompt_id, timeout_seconds=STALL_CANCEL_SECONDS
            )
            if ending in {CancelResult.COMPLETED, CancelResult.FAILED} and (
                entry := await self._client.history(self._prompt_id)
            ):
                return Finished(entry)
        except ComfyUIError as fault:
            ending, cause = CancelResult.STILL_RUNNING, fault
        raise self._stalled(stall, ending) from cause

    def _stalled(self, stall: Stall, ending: CancelResult) -> RenderStalled:
        todo = TODO_WHEN_STALLED[stall]
        if stall is not Stall.NOTHING_RUNS and ending is CancelResult.STILL_RUNNING:
            todo = "It does not stop either: restart ComfyUI."
        return RenderStalled(
            f"Prompt {self._prompt_id} made no progress at {self._client.name} for "
            f"{self._stall_clock.silent_seconds:.0f} s.",
            todo,
        )
