"""Stopping at a server what no job waits for any more: nothing is rendered twice to its end."""

import asyncio
from collections.abc import Sequence

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.prompt_cancellation import CancelResult
from anime.core.timeline import TimelineKind
from anime.db.repositories import SentPromptRepository, TimelineRepository, UnsettledPrompt
from anime.db.session import Database

CANCEL_SECONDS = 10.0
AT_ONCE = 8  # prompts of one server that are stopped side by side
_SENTENCES = {
    CancelResult.INTERRUPTED: "was stopped at {server}: nobody waits for it there any more",
    CancelResult.COMPLETED: "had rendered to its end at {server}, where nobody waited for it",
}


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
            result = await _stop(client, prompt)
        if result is CancelResult.STILL_RUNNING:
            return False
        async with database.session_scope() as session:
            await SentPromptRepository(session).settle(prompt.prompt_id)
            if sentence := _SENTENCES.get(result):
                await TimelineRepository(session).add(
                    prompt.job_id,
                    TimelineKind.SERVER,
                    f"The prompt of attempt {prompt.attempt} "
                    f"{sentence.format(server=client.base_url)}.",
                )
        return True

    return all(await asyncio.gather(*map(clear, prompts)))


async def _stop(client: ComfyUIClient, prompt: UnsettledPrompt) -> CancelResult:
    if prompt.is_result:  # its files are in the library
        return CancelResult.REMOVED
    return await client.cancel(prompt.prompt_id, timeout_seconds=CANCEL_SECONDS)
