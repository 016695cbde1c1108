"""uvicorn's WebSocket protocol, with what ASGI has no word for: dropping who does not read."""

from collections.abc import Callable
from typing import TypeAlias

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

Drop: TypeAlias = Callable[[int, str], None]

EXTENSION = "anime.drop"
LINGER_SECONDS = 2.0  # for the last words to a peer that may be listening after all
BUFFER_BYTES = 32 * 1024  # written and not taken by the system; beyond that, sending waits


class DroppingProtocol(WebSocketsSansIOProtocol):
    """A connection that can be ended although its peer takes nothing.

    uvicorn closes a transport once everything written has been taken, which here is never:
    socket, task and memory would stay for good.
    """

    def handle_connect(self, event: Request) -> None:
        """Offer `drop` to the application."""
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        super().handle_connect(event)
        if hasattr(self, "scope"):  # else the handshake was refused
            self.scope["extensions"][EXTENSION] = self.drop  # type: ignore[assignment]  # typed for uvicorn's own

    def drop(self, code: int, reason: str) -> None:
        """Close with that code; after a moment without regard to what was not taken."""
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._abort_soon()

    def keepalive_timeout(self) -> None:
        """Drop a peer that does not answer pings."""
        super().keepalive_timeout()
        self._abort_soon()

    def _abort_soon(self) -> None:
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def drop(socket: WebSocket, code: int, reason: str) -> None:
    """End the connection now, whether its peer reads or not; nothing under other servers."""
    offered: Drop | None = socket.scope.get("extensions", {}).get(EXTENSION)
    if offered is not None:
        offered(code, reason)
