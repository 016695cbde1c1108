import json
import struct
from pathlib import Path

import pytest

from anime.comfyui.frames import decode_frame
from anime.comfyui.models import (
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionStarted,
    ExecutionSucceeded,
    NodeExecuted,
    NodeExecuting,
    NodeProgressed,
    NodesCached,
    PreviewFrame,
    ProgressStates,
    StatusEvent,
    Unrecognised,
)

SAMPLES = Path(__file__).parent / "samples" / "comfyui"
PROMPT_ID = "6f1c2a34-0000-5000-8000-000000000001"
EVENTS = [decode_frame(line) for line in (SAMPLES / "frames.jsonl").read_text().splitlines()]


def test_each_frame_of_a_run_becomes_its_event() -> None:
    assert [type(event) for event in EVENTS] == [
        StatusEvent,
        ExecutionStarted,
        NodesCached,
        ProgressStates,
        NodeExecuting,
        NodeProgressed,
        NodeExecuted,
        ExecutionSucceeded,
        StatusEvent,
        NodeExecuting,
        NodeExecuting,
        ExecutionFailed,
        ExecutionInterrupted,
        Unrecognised,
    ]


def test_events_carry_what_progress_is_reckoned_from() -> None:
    _, _, cached, states, _, step, executed, *_ = EVENTS
    assert isinstance(cached, NodesCached)
    assert cached.nodes == ("4",)
    assert isinstance(states, ProgressStates)
    assert (states.nodes["3"].value, states.nodes["3"].max) == (0, 3)
    assert states.nodes["3"].display_node_id == "3"
    assert isinstance(step, NodeProgressed)
    assert (step.node, step.value, step.max, step.prompt_id) == ("3", 1, 3, PROMPT_ID)
    assert isinstance(executed, NodeExecuted)
    assert executed.outputs[0].subfolder == "jobs/1"


def test_a_status_names_no_prompt() -> None:
    first = EVENTS[0]
    assert isinstance(first, StatusEvent)
    assert (first.queue_remaining, first.session_id, first.prompt_id) == (1, "c", None)


def test_a_failure_says_which_node_raised_what() -> None:
    failed = EVENTS[11]
    assert isinstance(failed, ExecutionFailed)
    assert (failed.node_id, failed.exception_type, failed.message) == ("3", "ValueError", "boom\n")


def test_only_the_frames_that_end_a_prompt_say_so() -> None:
    assert [index for index, event in enumerate(EVENTS) if event.ends_prompt] == [7, 9, 11, 12]


def test_a_plain_preview_is_a_picture_of_an_unnamed_prompt() -> None:
    preview = decode_frame(struct.pack(">II", 1, 2) + b"\x89PNG")
    assert preview == PreviewFrame(image=b"\x89PNG", media_type="image/png")


def test_a_preview_with_metadata_names_its_prompt_and_node() -> None:
    about = json.dumps(
        {"node_id": "3", "prompt_id": PROMPT_ID, "image_type": "image/jpeg"}
    ).encode()
    preview = decode_frame(struct.pack(">II", 4, len(about)) + about + b"\xff\xd8")
    assert preview == PreviewFrame(
        image=b"\xff\xd8", media_type="image/jpeg", node="3", prompt_id=PROMPT_ID
    )


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "junk",
        "[]",
        "null",
        '{"type": "progress"}',
        '{"type": "executed", "data": null}',
        '{"type": "progress", "data": {"value": "x", "max": null}}',
        b"",
        b"\x00\x00",
        struct.pack(">II", 1, 99),
        struct.pack(">II", 4, 4_000_000) + b"{}",
        struct.pack(">I", 3) + b"text",
        "[" * 100_000,
        struct.pack(">II", 4, 100_000) + b"[" * 100_000 + b"picture",
    ],
)
def test_a_frame_that_cannot_be_read_harms_nobody(frame: str | bytes) -> None:
    assert isinstance(decode_frame(frame), Unrecognised)


def test_a_status_without_content_is_tolerated() -> None:
    assert decode_frame('{"type": "status", "data": {"status": null}}') == StatusEvent()
