"""Stopping at a server what no job waits for any more: nothing is rendered twice to its end."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.prompt_cancellation import CancelResult
from anime.core.prompt_state import Absent, Finished, Pending
from anime.core.timeline import TimelineKind
from anime.db.repositories import SentPromptRepository, TimelineRepository, UnsettledPrompt
from anime.db.session import Database

CANCEL_SECONDS = 10.0
AT_ONCE = 8  # prompts of one server that are stopped side by side


class Leftover(StrEnum):
    """What became of a prompt that no job waits for, as its job's timeline tells it."""

    GONE = ""  # it is not there, or has ended as its job has
    STOPPED = "was stopped at {server}: nobody waits for it there any more"
    RENDERED = "had rendered to its end at {server}, where nobody waited for it"


async def clear_moved(
    client: ComfyUIClient, database: Database, prompts: Sequence[UnsettledPrompt]
) -> bool:
    """Whether none of the prompts is at the server any more; the history says of each how it ended.

    Twice is harmless: one that is gone is found to be gone.

    Raises:
        ComfyUIError: the server does not answer.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def clear(prompt: UnsettledPrompt) -> bool:
        async with gate:
            leftover = await _stop(client, prompt)
        if leftover is None:
            return False
        async with database.session_scope() as session:
            await SentPromptRepository(session).settle(prompt.prompt_id)
            if leftover:
                timeline = TimelineRepository(session)
                await timeline.add(
                    prompt.job_id, TimelineKind.SERVER, _told(prompt, leftover, client)
                )
        return True

    try:
        async with asyncio.TaskGroup() as group:
            clearing = [group.create_task(clear(prompt)) for prompt in prompts]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
    return all(task.result() for task in clearing)


async def take_back(client: ComfyUIClient, database: Database, server: str) -> None:
    """Remove what waits at a server that begins nothing; its runs miss it, and send it elsewhere.

    Raises as `clear_moved` does. Twice is harmless: what is gone is no longer found waiting.
    """
    async with database.autocommit() as session:
        prompts = await SentPromptRepository(session).unsettled_at(server)
    for prompt in prompts:
        sighting = await client.find(prompt.prompt_id)
        if isinstance(sighting, Pending) and sighting.is_idle:
            async with database.session_scope() as session:
                told = "was taken back from {server}, which begins no prompt"
                await TimelineRepository(session).add(
                    prompt.job_id, TimelineKind.SERVER, _told(prompt, told, client)
                )
            await client.delete_queued(prompt.prompt_id)


async def _stop(client: ComfyUIClient, prompt: UnsettledPrompt) -> Leftover | None:
    """What became of it; None while it does not stop."""
    if prompt.is_result:  # its files are in the library
        return Leftover.GONE
    sighting = await client.find(prompt.prompt_id)
    if isinstance(sighting, Absent):
        return Leftover.GONE
    if isinstance(sighting, Finished):
        return Leftover.RENDERED if sighting.entry.succeeded else Leftover.GONE
    match await client.cancel(prompt.prompt_id, timeout_seconds=CANCEL_SECONDS):
        case CancelResult.STILL_RUNNING | CancelResult.UNANSWERED:
            return None
        case CancelResult.COMPLETED:
            return Leftover.RENDERED
        case _:
            return Leftover.STOPPED


def _told(prompt: UnsettledPrompt, sentence: str, client: ComfyUIClient) -> str:
    return f"The prompt of attempt {prompt.attempt} {sentence.format(server=client.base_url)}."
