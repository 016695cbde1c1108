"""Progress messages of one prompt: progress_state, progress and previews.

They go to the prompt's client, or to all clients if it has none.
"""

import io
import time

from PIL import Image, ImageFilter, ImageOps

from anime.rehearsal.events import Sockets
from anime.rehearsal.node_types import JsonObject
from anime.rehearsal.values import Frame

MAX_PREVIEW_SIDE = 512  # pixels
LEAST_SECONDS = 0.1  # between two steps of a node that are told, unless there is a preview
LEAST_SHARE = 0.005  # of a node's steps between two that are told
PREVIEW_BLUR = 24  # pixels of blur before the first step


class PromptProgress:
    """The progress of each node that was started; every message repeats all of it."""

    def __init__(
        self, prompt_id: str, client_id: str | None, sockets: Sockets, *, tells_every_step: bool
    ) -> None:
        self._prompt_id = prompt_id
        self._tells_every_step = tells_every_step
        self._told: dict[str, tuple[int, float]] = {}  # step of each node, and when it was told
        self._client_id = client_id
        self._sockets = sockets
        self._nodes: dict[str, JsonObject] = {}

    def start(self, node_id: str) -> None:
        """Report that the node runs."""
        self._set(node_id, 0.0, 1.0, "running")

    def step(self, node_id: str, step: int, steps: int, preview: bytes | None) -> None:
        """Report a step, unless the last one was told just now.

        A preview with metadata goes before `progress`, others after.
        """
        if not (preview or self._is_told(node_id, step, steps)):
            return
        self._told[node_id] = step, time.monotonic()
        self._set(node_id, step, steps, "running")
        about = {"value": step, "max": steps, "prompt_id": self._prompt_id, "node": node_id}
        early = self._sockets.takes_preview_metadata(self._client_id)
        if preview and early:
            self._send_preview(node_id, preview)
        self._sockets.send("progress", about, self._client_id)
        if preview and not early:
            self._send_preview(node_id, preview)

    def _is_told(self, node_id: str, step: int, steps: int) -> bool:
        """Whether it is the first or the last step, or far enough from the one before it."""
        if self._tells_every_step or node_id not in self._told or step >= steps:
            return True
        before, told_at = self._told[node_id]
        is_late = time.monotonic() - told_at >= LEAST_SECONDS
        return is_late and step - before >= LEAST_SHARE * steps

    def finish(self, node_id: str) -> None:
        """Report that the node has ended."""
        maximum = self._nodes[node_id]["max"]
        self._set(node_id, maximum, maximum, "finished")

    def skip(self, node_id: str) -> None:
        """Report that the node has ended because its result was cached."""
        self._set(node_id, 1, 1, "finished")

    def send_all(self) -> None:
        """Send the latest progress of all its nodes."""
        payload = {"prompt_id": self._prompt_id, "nodes": self._nodes}
        self._sockets.send("progress_state", payload, self._client_id)

    def _set(self, node_id: str, value: float, maximum: float, state: str) -> None:
        self._nodes[node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        self.send_all()

    def _send_preview(self, node_id: str, jpeg: bytes) -> None:
        metadata = {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
            "image_type": "image/jpeg",
        }
        self._sockets.send_preview(jpeg, metadata, self._client_id)


def small_picture(frame: Frame) -> Image.Image:
    """The finished picture at the size of a preview."""
    return ImageOps.contain(frame.draw(None), (MAX_PREVIEW_SIDE, MAX_PREVIEW_SIDE))


def preview_jpeg(picture: Image.Image, done: float) -> bytes:
    """The picture, less blurred the more is done; `done` from 0 to 1."""
    if done < 1:
        picture = picture.filter(ImageFilter.GaussianBlur(PREVIEW_BLUR * (1 - done)))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
