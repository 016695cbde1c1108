"""The websockets, and who is told what.

`status` goes to everybody; all else to the socket whose client id the prompt carries, or, for
progress of a prompt without one, to everybody. The newest socket of a client id has it, and
whichever of them closes first takes the id away, as in ComfyUI.
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
    """One open websocket. What is put into `outbox` is sent in that order."""

    client_id: str
    outbox: asyncio.Queue[str | bytes] = field(default_factory=asyncio.Queue)
    wants_preview_metadata: bool = False


class Sockets:
    """The open websockets by client id."""

    def __init__(self) -> None:
        self._by_client: dict[str, EventClient] = {}

    def join(self, connection: EventClient) -> None:
        """From now on the connection gets what is for its client id."""
        self._by_client[connection.client_id] = connection

    def leave(self, client_id: str) -> None:
        """Drop the client id, whichever of its sockets it was that closed."""
        self._by_client.pop(client_id, None)

    def send(self, kind: str, payload: JsonObject, client_id: str | None) -> None:
        """Send a message to one client, or to all if `client_id` is None."""
        text = message(kind, payload)
        for connection in self._receivers(client_id):
            connection.outbox.put_nowait(text)

    def takes_preview_metadata(self, client_id: str | None) -> bool:
        """Whether the client asked for previews that name their node."""
        connection = self._by_client.get(client_id or "")
        return connection is not None and connection.wants_preview_metadata

    def send_preview(self, jpeg: bytes, metadata: JsonObject, client_id: str | None) -> None:
        """Send a preview picture in the form the client asked for."""
        if self.takes_preview_metadata(client_id):
            frame = preview_with_metadata(jpeg, metadata)
        else:
            frame = struct.pack(">II", PREVIEW, JPEG) + jpeg
        for connection in self._receivers(client_id):
            connection.outbox.put_nowait(frame)

    def _receivers(self, client_id: str | None) -> list[EventClient]:
        if client_id is None:
            return list(self._by_client.values())
        return [self._by_client[client_id]] if client_id in self._by_client else []


def message(kind: str, payload: JsonObject) -> str:
    """A text message as it goes over the wire."""
    return json.dumps({"type": kind, "data": payload})


def preview_with_metadata(jpeg: bytes, metadata: JsonObject) -> bytes:
    """The binary frame of a preview that names its node and prompt."""
    described = json.dumps(metadata).encode()
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(described)) + described + jpeg
