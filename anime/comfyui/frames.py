"""The WebSocket's frames, decoded without any I/O.

Nothing here raises: a frame that we cannot read is one that we do not need.
"""

import json
import struct
from typing import Any

from anime.comfyui.json_text import read_json
from anime.comfyui.models import (
    UNREADABLE,
    Event,
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
from anime.comfyui.outputs import node_files

# Sent first; the server then says which prompt and node a preview belongs to.
FEATURE_FLAGS = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})

# A binary frame starts with its kind, 4 bytes, big-endian.
PREVIEW, PREVIEW_WITH_METADATA = 1, 4
MEDIA_TYPES = {1: "image/jpeg", 2: "image/png"}

EVENTS: dict[str, type[Event]] = {
    "status": StatusEvent,
    "execution_start": ExecutionStarted,
    "execution_cached": NodesCached,
    "progress": NodeProgressed,
    "progress_state": ProgressStates,
    "executing": NodeExecuting,
    "execution_success": ExecutionSucceeded,
    "execution_error": ExecutionFailed,
    "execution_interrupted": ExecutionInterrupted,
}


def decode_frame(frame: str | bytes) -> Event:
    """What a frame says; Unrecognised for one that cannot be read."""
    try:
        return _decode_binary(frame) if isinstance(frame, bytes) else _decode_text(frame)
    except (*UNREADABLE, struct.error):
        return Unrecognised(kind="unreadable")


def _decode_text(frame: str) -> Event:
    message = read_json(frame)
    kind, content = message["type"], message.get("data") or {}
    if kind == "executed":
        return _executed(content)
    if kind in EVENTS:
        return EVENTS[kind].model_validate(content)
    return Unrecognised(kind=str(kind))


def _executed(content: dict[str, Any]) -> NodeExecuted:  # JSON as it comes
    node = str(content["node"])
    return NodeExecuted(
        prompt_id=content.get("prompt_id"),
        node=node,
        outputs=node_files(node, content.get("output")),
    )


def _decode_binary(frame: bytes) -> Event:
    (kind,) = struct.unpack_from(">I", frame)
    if kind == PREVIEW:
        (image_type,) = struct.unpack_from(">I", frame, 4)
        return PreviewFrame(image=frame[8:], media_type=MEDIA_TYPES[image_type])
    if kind == PREVIEW_WITH_METADATA:
        (length,) = struct.unpack_from(">I", frame, 4)
        if len(frame) <= 8 + length:
            return Unrecognised(kind="preview cut short")
        about = read_json(frame[8 : 8 + length])
        return PreviewFrame(
            image=frame[8 + length :],
            media_type=about.get("image_type") or MEDIA_TYPES[1],
            node=about.get("node_id"),
            prompt_id=about.get("prompt_id"),
        )
    return Unrecognised(kind=f"binary {kind}")
