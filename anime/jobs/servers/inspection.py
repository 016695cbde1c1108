"""Looking at one ComfyUI server: whether it answers, whether it renders, what it can do."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from anime.comfyui.client import ComfyUIClient
from anime.core.graphs import Graph
from anime.core.prompt_state import Finished, Pending, Running
from anime.core.server_health import Sight
from anime.errors import ComfyUIError, ComfyUIRefused, PromptRejected
from anime.retry_policies import CANARY

CANARY_SECONDS = 20.0
CANARY_CLIENT = "anime-canary"
CANCEL_SECONDS = 10.0
_PICTURE = {"width": 16, "height": 16, "batch_size": 1, "color": 0}
# Classes that show a picture: the first leaves no file at all, the other one of the temporary
# folder, which ComfyUI empties when it starts.
_SHOWN_BY = {"PreviewAny": "source", "PreviewImage": "images"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one light request told. `queue_length`: running and waiting prompts of everybody."""

    sight: Sight
    queue_length: int = 0
    detail: str = ""


async def glimpse(client: ComfyUIClient) -> Glimpse:
    """Whether the server answers, by the request that costs it least."""
    try:
        return Glimpse(Sight.ANSWERS, await client.queue_length())
    except ComfyUIRefused as fault:
        return Glimpse(Sight.REFUSES, detail=fault.what)
    except ComfyUIError as fault:
        return Glimpse(Sight.SILENT, detail=fault.what)


async def renders(client: ComfyUIClient, *, seconds: float = CANARY_SECONDS) -> bool | None:
    """Whether a canary prompt renders there; None while others' prompts are there, or unknown.

    The prompt is tiny, needs no model, and is removed from the history. Servers of the default
    settings keep the results of the last prompt's nodes only, so it costs the next prompt a look
    at its model's file: it is not for every minute.

    Raises:
        ComfyUIError: the server does not answer.
    """
    if await client.queue_length() or (graph := await _canary_graph(client)) is None:
        return None
    prompt_id = uuid4()
    try:
        await client.submit(graph, prompt_id=prompt_id, client_id=CANARY_CLIENT)
        return await _outcome(client, prompt_id, seconds)
    except PromptRejected as fault:
        _log.warning("The canary prompt was refused: %s", fault)
        return None
    finally:
        with suppress(ComfyUIError):
            await client.cancel(prompt_id, timeout_seconds=CANCEL_SECONDS)
            await client.forget(prompt_id)


async def _canary_graph(client: ComfyUIClient) -> Graph | None:
    known = await client.object_info(["EmptyImage", *_SHOWN_BY])
    shows = next((name for name in _SHOWN_BY if name in known), None)
    if shows is None or "EmptyImage" not in known:
        return None
    return {
        "1": {"class_type": "EmptyImage", "inputs": _PICTURE},
        "2": {"class_type": shows, "inputs": {_SHOWN_BY[shows]: ["1", 0]}},
    }


async def _outcome(client: ComfyUIClient, prompt_id: UUID, seconds: float) -> bool | None:
    """Whether it rendered in time; None if others were before it."""
    sighting = None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for delay in CANARY.delays():
                sighting = await client.find(prompt_id)
                if isinstance(sighting, Finished):
                    return sighting.entry.succeeded
                await asyncio.sleep(delay)
    is_stuck = isinstance(sighting, Running) or (isinstance(sighting, Pending) and sighting.is_idle)
    return False if is_stuck else None
