"""Fifteen facts that clients of ComfyUI get wrong, and that ours gets right.

Those that need a real socket (10, 11, 15) are in tests/integration/test_comfyui_tracker.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from anime.comfyui import prompt_cancellation, protocol, requests
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.failures import failure_of
from anime.comfyui.frames import decode_frame
from anime.comfyui.models import HistoryEntry
from anime.comfyui.prompt_cancellation import CancelResult
from anime.comfyui.protocol import Reply
from anime.core.prompt_state import Absent, Finished, Pending, Running
from anime.errors import NodeFailed, PromptInterrupted, PromptRejected
from anime.retry_policies import RetryPolicy

SAMPLES = Path(__file__).parent / "samples" / "comfyui"
PROMPT_ID = UUID("6f1c2a34-0000-5000-8000-000000000001")
GRAPH = {"1": {"class_type": "NoSuchNode", "inputs": {}, "_meta": {"title": "Blank"}}}
EMPTY_QUEUE: dict[str, Any] = {"queue_running": [], "queue_pending": []}
OURS = [7, str(PROMPT_ID), {}, {}, []]
OTHERS = [6, "another", {}, {}, []]


def sample(name: str) -> Any:  # any JSON
    return json.loads((SAMPLES / f"{name}.json").read_text())


def reply(name: str, status: int = 200) -> Reply:
    return Reply(status, "application/json", (SAMPLES / f"{name}.json").read_bytes())


def entry(name: str) -> HistoryEntry:
    found = protocol.decode_history(reply(name), str(PROMPT_ID))
    assert found is not None
    return found


class Script(httpx.AsyncBaseTransport):
    """A server that answers each route from its list, the last answer again and again."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self.sent: list[Any] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        route = request.url.path.split("/")[1]
        if route == "api":  # 0.3.64 has no jobs
            return httpx.Response(405)
        self.asked.append(f"{request.method} {route}")
        if request.method == "POST":
            self.sent.append(json.loads(await request.aread()))
        if request.method == "POST" and route != "prompt":
            return httpx.Response(200)
        answers = self._answers[route]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def client_of(script: Script) -> ComfyUIClient:
    return ComfyUIClient("http://comfyui", transport=script)


def test_fact_01_a_prompt_is_never_sent_with_a_number() -> None:
    request = requests.submit_request(GRAPH, prompt_id=str(PROMPT_ID), client_id="c")
    assert set(json.loads(request.body or b"")) == {"prompt", "prompt_id", "client_id"}


async def test_fact_02_submit_posts_once_and_leaves_looking_to_the_caller() -> None:
    script = Script(prompt=[httpx.Response(503), sample("submitted")])
    with pytest.raises(Exception, match=f"Whether it took prompt {PROMPT_ID} is unknown"):
        await client_of(script).submit(GRAPH, prompt_id=PROMPT_ID, client_id="c")
    assert script.asked == ["POST prompt"]


async def test_f12_fact_03_a_partial_rejection_is_a_rejection_and_its_rest_is_taken_back() -> None:
    queue = {"queue_running": [OTHERS], "queue_pending": [OURS]}
    script = Script(prompt=[sample("partly_rejected")], queue=[queue, EMPTY_QUEUE], history=[{}])
    with pytest.raises(PromptRejected) as caught:
        await client_of(script).submit(GRAPH, prompt_id=PROMPT_ID, client_id="c")
    assert caught.value.problems == (
        "EmptyImage (node 3): width is 999999, above its maximum of 16384",
    )
    assert {"delete": [str(PROMPT_ID)]} in script.sent


def test_fact_03_a_partial_rejection_is_an_answer_with_problems() -> None:
    submission = protocol.decode_submit(reply("partly_rejected"))
    assert len(submission.problems) == 1


def test_fact_03_a_rejection_without_node_errors_still_says_why() -> None:
    with pytest.raises(PromptRejected) as caught:
        protocol.decode_submit(reply("rejected_class", 400), graph=GRAPH)
    assert caught.value.problems == (
        "“Blank” (NoSuchNode, node 1): Cannot execute because node NoSuchNode does not exist",
    )


def test_fact_04_a_500_is_bad_input_and_not_to_be_retried() -> None:
    answer = Reply(500, "text/plain", b"500 Internal Server Error\n\nServer got itself in trouble")
    with pytest.raises(PromptRejected, match="could not read the graph") as caught:
        protocol.decode_submit(answer)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("queue", "history", "expected"),
    [
        ({**EMPTY_QUEUE, "queue_running": [OURS]}, {}, Running()),
        ({"queue_running": [OTHERS], "queue_pending": [OURS]}, {}, Pending(0)),
        ({**EMPTY_QUEUE, "queue_pending": [OURS]}, {}, Pending(0, is_idle=True)),
        (EMPTY_QUEUE, {}, Absent()),
    ],
)
async def test_fact_05_only_the_queue_tells_why_a_history_is_empty(
    queue: Any, history: Any, expected: object
) -> None:
    script = Script(queue=[queue], history=[history])
    assert await client_of(script).find(PROMPT_ID) == expected


async def test_fact_05_the_queue_is_asked_before_the_history() -> None:
    script = Script(queue=[EMPTY_QUEUE], history=[{}])
    await client_of(script).find(PROMPT_ID)
    assert script.asked == ["GET queue", "GET history", "GET history"]


async def test_fact_06_a_history_that_comes_late_is_asked_for_again() -> None:
    script = Script(queue=[EMPTY_QUEUE], history=[{}, sample("history_success")])
    assert isinstance(await client_of(script).find(PROMPT_ID), Finished)


def test_fact_07_executing_nothing_ends_a_prompt_without_saying_how() -> None:
    event = decode_frame(f'{{"type":"executing","data":{{"node":null,"prompt_id":"{PROMPT_ID}"}}}}')
    assert event.ends_prompt


def test_fact_07_only_the_messages_tell_an_interrupt_from_an_error() -> None:
    interrupted, failed = entry("history_interrupted"), entry("history_error")
    assert (interrupted.succeeded, failed.succeeded) == (False, False)
    assert isinstance(failure_of(interrupted), PromptInterrupted)
    assert isinstance(failure_of(failed), NodeFailed)


def test_fact_08_a_file_from_the_cache_is_known_by_its_node() -> None:
    cached = entry("history_cached")
    assert cached.succeeded
    assert cached.outputs[0].node_id in cached.cached_nodes


def test_fact_09_a_file_is_named_with_its_folder_since_names_repeat() -> None:
    request = requests.view_request(entry("history_success").outputs[0])
    assert dict(request.params) == {
        "filename": "frame_00001_.png",
        "subfolder": "jobs/1",
        "type": "output",
    }


def test_fact_12_every_event_names_its_prompt_so_that_others_can_be_told() -> None:
    lines = (SAMPLES / "frames.jsonl").read_text().splitlines()
    broadcast = [decode_frame(line) for line in lines if "progress" in line]
    assert {event.prompt_id for event in broadcast} == {str(PROMPT_ID)}


async def test_fact_13_an_interrupt_is_repeated_until_the_history_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        prompt_cancellation, "PROMPT_INTERRUPT", RetryPolicy(first_seconds=0, longest_seconds=0)
    )
    running = {**EMPTY_QUEUE, "queue_running": [OURS]}
    script = Script(queue=[running, running, EMPTY_QUEUE], history=[sample("history_interrupted")])
    ending = await client_of(script).cancel(PROMPT_ID, timeout_seconds=1)
    assert ending is CancelResult.INTERRUPTED
    assert script.sent == [{"prompt_id": str(PROMPT_ID)}] * 2


async def test_fact_13_an_interrupt_lost_in_the_last_node_leaves_a_completed_prompt() -> None:
    running = {**EMPTY_QUEUE, "queue_running": [OURS]}
    script = Script(queue=[running, EMPTY_QUEUE], history=[sample("history_success")])
    assert await client_of(script).cancel(PROMPT_ID, timeout_seconds=1) is CancelResult.COMPLETED


async def test_fact_13_a_prompt_that_never_stops_is_said_to_be_running_still() -> None:
    script = Script(queue=[{**EMPTY_QUEUE, "queue_running": [OURS]}])
    assert (
        await client_of(script).cancel(PROMPT_ID, timeout_seconds=0.05)
        is CancelResult.STILL_RUNNING
    )


async def test_fact_14_a_deleted_prompt_is_removed_only_when_it_is_seen_to_be_gone() -> None:
    pending = {"queue_running": [OTHERS], "queue_pending": [OURS]}
    script = Script(queue=[pending, pending, EMPTY_QUEUE], history=[{}])
    assert await client_of(script).cancel(PROMPT_ID, timeout_seconds=1) is CancelResult.REMOVED
    assert script.sent == [{"delete": [str(PROMPT_ID)]}] * 2


async def test_fact_14_a_prompt_that_stays_in_the_queue_is_not_asked_about_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_at: list[int] = []
    pending = {"queue_running": [OTHERS], "queue_pending": [OURS]}
    script = Script(queue=[*[pending] * 4, EMPTY_QUEUE], history=[{}])

    async def wait(_: RetryPolicy) -> None:
        asked_at.append(len(script.sent))

    monkeypatch.setattr(RetryPolicy, "wait", wait)
    assert await client_of(script).cancel(PROMPT_ID, timeout_seconds=60) is CancelResult.REMOVED
    assert asked_at == [2, 3, 4]


def test_fact_14_the_queue_is_read_in_the_order_in_which_it_will_run() -> None:
    queue = protocol.decode_queue(reply("queue"))
    assert [prompt.prompt_id for prompt in queue.pending] == ["rush", "a", "b", "later", "last"]
    assert (queue.position_of("b"), queue.position_of("now")) == (2, None)
    assert queue.is_running("now")


@pytest.mark.parametrize("follow_up", ["find", "history"])
async def test_fact_15_after_a_restart_nothing_is_an_error_only_absent(follow_up: str) -> None:
    client = client_of(Script(queue=[EMPTY_QUEUE], history=[{}]))
    ask: Callable[[UUID], Any] = getattr(client, follow_up)
    assert await ask(PROMPT_ID) in (Absent(), None)
