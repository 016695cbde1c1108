"""What a run makes of the events of its prompt."""

import inspect
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.frames import decode_frame
from anime.comfyui.models import Event, HistoryEntry
from anime.core.prompt_state import Finished
from anime.errors import NodeFailed
from anime.progress.publisher import ProgressPublisher
from blocks.comfyui import ComfyUIServer
from tasks.comfyui import poll_completion
from tasks.progress import Reporter

PROMPT_ID = UUID(int=8)
GRAPH = {"2": {"class_type": "SaveImage", "inputs": {}, "_meta": {"title": "Close-up"}}}
BLOCKED = {
    "prompt_id": str(PROMPT_ID),
    "node_id": "2",
    "node_type": "SaveImage",
    "executed": ["1"],
    "exception_message": "Execution Blocked: no face was found",
    "exception_type": "ExecutionBlocked",
    "traceback": [],
    "current_inputs": [],
    "current_outputs": [],
}


async def completed(monkeypatch: pytest.MonkeyPatch, entry: HistoryEntry) -> HistoryEntry:
    """The entry as the run goes on with it, after a node of its prompt was blocked."""

    async def follow(*_: object, **__: object) -> AsyncIterator[Event | Finished[HistoryEntry]]:
        yield decode_frame(json.dumps({"type": "execution_error", "data": BLOCKED}))
        yield Finished(entry)

    monkeypatch.setattr(ComfyUIClient, "follow", follow)
    poll: Any = inspect.unwrap(poll_completion)
    found: HistoryEntry = await poll(
        ComfyUIClient("http://comfyui"),
        ComfyUIServer(),
        GRAPH,
        prompt_id=PROMPT_ID,
        listener=SimpleNamespace(),
        reporter=Reporter(ProgressPublisher(None), UUID(int=9)),
    )
    return found


async def test_a_node_that_was_blocked_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = HistoryEntry(prompt_id=str(PROMPT_ID), succeeded=True, unkept=("text of node 3",))
    found = await completed(monkeypatch, entry)
    assert found.unkept == (
        "text of node 3",
        "“Close-up” (SaveImage, node 2): it was blocked: no face was found",
    )


async def test_a_prompt_that_fails_after_that_has_its_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(NodeFailed, match="does not name failed"):
        await completed(monkeypatch, HistoryEntry(prompt_id=str(PROMPT_ID), succeeded=False))


def test_a_prompt_goes_on_without_a_node_that_was_blocked() -> None:
    event = decode_frame(json.dumps({"type": "execution_error", "data": BLOCKED}))
    assert not event.ends_prompt
