"""Stopping one prompt, and no other."""

import asyncio
import logging
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from anime.comfyui.models import HistoryEntry
from anime.core.prompt_state import Absent, Finished, Pending, Running, Sighting
from anime.errors import ComfyUIError
from anime.retry_policies import PROMPT_INTERRUPT

_log = logging.getLogger(__name__)


class CancelResult(StrEnum):
    """What became of a prompt that was to be stopped."""

    REMOVED = "removed"  # it never ran, or the server no longer knows it
    INTERRUPTED = "interrupted"  # it stopped in the middle
    COMPLETED = "completed"  # it had ended, or its last node ignored the interrupt: files exist
    FAILED = "failed"  # it had failed by itself
    STILL_RUNNING = "still_running"  # it did not stop in the time given
    UNANSWERED = "unanswered"  # the server said nothing of it in the time given


class PromptControl(Protocol):
    """The calls of a server that stopping one of its prompts needs."""

    async def find(self, prompt_id: UUID) -> Sighting[HistoryEntry]:
        """Where the prompt is now."""
        ...

    async def cancel_job(self, prompt_id: UUID) -> bool | None:
        """Stop the prompt wherever it is, in one step; None if the server has no such call."""
        ...

    async def delete_queued(self, prompt_id: UUID) -> None:
        """Remove the prompt from the queue, if it still waits there."""
        ...

    async def interrupt(self, prompt_id: UUID) -> None:
        """Stop the prompt between two steps or nodes, if it runs."""
        ...


async def cancel_prompt(
    client: PromptControl, prompt_id: UUID, *, timeout_seconds: float
) -> CancelResult:
    """How the prompt ended; it is polled until it has.

    ComfyUI answers 200 to every delete and interrupt, whether it acts or not: an interrupt acts
    between two steps or nodes and is lost in the last one, and a pending prompt may start just
    before it is deleted. So each round does what fits where the prompt is now.
    A server with jobs has one call for both, which cannot hit another prompt. Elsewhere only a
    running prompt is interrupted: old servers stop whatever runs.
    """
    result = CancelResult.UNANSWERED
    try:
        async with asyncio.timeout(timeout_seconds):
            is_first = True
            while True:
                sighting = await client.find(prompt_id)
                result = CancelResult.STILL_RUNNING
                match sighting:
                    case Absent():
                        return CancelResult.REMOVED
                    case Finished(entry):
                        return _result_of(entry)
                if await client.cancel_job(prompt_id) is None:
                    if isinstance(sighting, Pending):
                        await client.delete_queued(prompt_id)
                    else:
                        await client.interrupt(prompt_id)
                # A pending prompt is gone in the first round, or does not heed the server.
                if isinstance(sighting, Running) or not is_first:
                    await PROMPT_INTERRUPT.wait()
                is_first = False
    except TimeoutError:
        return result


async def stop_prompt(client: PromptControl, prompt_id: UUID, *, timeout_seconds: float) -> bool:
    """Stop the prompt: whether the server no longer works on it.

    True as well if the server does not answer, by an error or in time: whoever waits for it would
    wait for ever.
    """
    try:
        result = await cancel_prompt(client, prompt_id, timeout_seconds=timeout_seconds)
    except ComfyUIError as fault:
        _log.warning("ComfyUI did not confirm that prompt %s stopped: %s", prompt_id, fault)
        return True
    if result is CancelResult.UNANSWERED:
        _log.warning("ComfyUI has not said within %g s of prompt %s", timeout_seconds, prompt_id)
    return result is not CancelResult.STILL_RUNNING


def _result_of(entry: HistoryEntry) -> CancelResult:
    if entry.is_interrupted:
        return CancelResult.INTERRUPTED
    return CancelResult.COMPLETED if entry.succeeded else CancelResult.FAILED
