"""uvicorn's WebSocket protocol, with two things that ASGI does not have.

A client that does not read is dropped, and one frame is written to many clients without a
task for each.
"""

from typing import TYPE_CHECKING, Protocol, cast

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

EXTENSION = "anime.send_channel"
LINGER_SECONDS = 2.0  # for the closing frame to a peer that may be reading after all
BUFFER_BYTES = 32 * 1024  # written but not yet taken by the system; beyond it, sending waits


class SendChannel(Protocol):
    """What a connection can do beyond ASGI."""

    def offer(self, frame: bytes) -> bool:
        """Write a whole frame now; False when the peer has yet to take what came before."""

    def drop(self, code: int, reason: str) -> None:
        """Close with that code; a moment later even if not everything was taken."""


class DroppingWebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection that can be ended although its peer takes nothing.

    uvicorn closes a transport once everything written has been taken, which here is never:
    socket, task and memory would stay for good.
    """

    def handle_connect(self, event: Request) -> None:
        """Give the application this connection's send channel."""
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        super().handle_connect(event)
        if hasattr(self, "scope"):  # else the handshake was refused
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]  # typed for uvicorn's own

    async def send(self, message: "ASGISendEvent") -> None:
        """Send the application's message.

        uvicorn takes a refusal with a body for a handshake that was forgotten, and logs each as
        an error.
        """
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def offer(self, frame: bytes) -> bool:
        """As `SendChannel` says. Without compression a frame is the same for everybody."""
        if self.close_sent or self.transport.is_closing() or not self.writable.is_set():
            return False
        self.transport.write(frame)
        return True

    def drop(self, code: int, reason: str) -> None:
        """As `SendChannel` says."""
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


class NoSendChannel:
    """The channel under any other server: everything goes through ASGI, nobody is dropped."""

    def offer(self, frame: bytes) -> bool:
        """False: the frame has to be sent through ASGI."""
        del frame
        return False

    def drop(self, code: int, reason: str) -> None:
        """Leave the connection to the server."""


def send_channel_of(socket: WebSocket) -> SendChannel:
    """The send channel of a socket."""
    return cast("SendChannel", socket.scope.get("extensions", {}).get(EXTENSION, NoSendChannel()))
