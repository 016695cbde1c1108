"""The open WebSockets, and which of them gets which message.

`status` goes to all clients. All other messages go to the socket of the prompt's client id;
progress of a prompt without one goes to all. The newest socket of a client id gets its messages,
and the first of its sockets that closes removes the id, as in ComfyUI.
"""

import asyncio
import json
import struct
from dataclasses import dataclass, field

from anime.rehearsal.node_types import JsonObject

PREVIEW = 1  # binary event: image type, image
PREVIEW_WITH_METADATA = 4  # binary event: length of the metadata, metadata, image
JPEG = 1  # image type of event PREVIEW


@dataclass
class EventClient:
    """One open WebSocket. What is put into `outbox` is sent in that order."""

    client_id: str
    outbox: asyncio.Queue[str | bytes] = field(default_factory=asyncio.Queue)
    wants_preview_metadata: bool = False


class Sockets:
    """The open WebSockets by client id."""

    def __init__(self) -> None:
        self._by_client: dict[str, EventClient] = {}

    def add(self, client: EventClient) -> None:
        """Send messages for its client id to this client from now on."""
        self._by_client[client.client_id] = client

    def remove(self, client_id: str) -> None:
        """Remove the client id, whichever of its sockets has closed."""
        self._by_client.pop(client_id, None)

    def send(self, kind: str, payload: JsonObject, client_id: str | None) -> None:
        """Send a message to one client, or to all if `client_id` is None."""
        text = message(kind, payload)
        for client in self._receivers(client_id):
            client.outbox.put_nowait(text)

    def takes_preview_metadata(self, client_id: str | None) -> bool:
        """Whether the client asked for previews that name their node."""
        client = self._by_client.get(client_id or "")
        return client is not None and client.wants_preview_metadata

    def send_preview(self, jpeg: bytes, metadata: JsonObject, client_id: str | None) -> None:
        """Send a preview picture in the form that the client has asked for."""
        if self.takes_preview_metadata(client_id):
            frame = preview_with_metadata(jpeg, metadata)
        else:
            frame = struct.pack(">II", PREVIEW, JPEG) + jpeg
        for client in self._receivers(client_id):
            client.outbox.put_nowait(frame)

    def _receivers(self, client_id: str | None) -> list[EventClient]:
        if client_id is None:
            return list(self._by_client.values())
        return [self._by_client[client_id]] if client_id in self._by_client else []


def message(kind: str, payload: JsonObject) -> str:
    """A text message as it is sent."""
    return json.dumps({"type": kind, "data": payload})


def preview_with_metadata(jpeg: bytes, metadata: JsonObject) -> bytes:
    """The binary frame of a preview that names its node and prompt."""
    described = json.dumps(metadata).encode()
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(described)) + described + jpeg
