"""Who may open a WebSocket: what browsers do not check for us."""

from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Access(Protocol):
    """What decides on tokens and pages."""

    def is_allowed(self, token: str | None) -> bool:
        """Whether that token opens the door; None stands for no token."""

    def is_own_page(self, origin: str) -> bool:
        """Whether a page of that origin may speak to us."""


class LoopbackAccess:
    """No token is asked for; pages of this machine only."""

    def is_allowed(self, token: str | None) -> bool:
        """True: who reaches us is on this machine."""
        del token
        return True

    def is_own_page(self, origin: str) -> bool:
        """Whether the page was loaded from this machine.

        >>> LoopbackAccess().is_own_page("http://localhost:4200")
        True
        >>> LoopbackAccess().is_own_page("https://localhost.example.org")
        False
        """
        return urlsplit(origin).hostname in LOOPBACK


def token_of(connection: HTTPConnection) -> str | None:
    """The token of the header `Authorization: Bearer …`, or of `?token=` as browsers send it."""
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return connection.query_params.get("token")


def refusal(connection: HTTPConnection, access: Access) -> tuple[HTTPStatus, str] | None:
    """Why the connection is not to be opened; None when it may be.

    Any page on the web may open a WebSocket to this machine in its visitor's browser. Only the
    origin, which no page can forge, tells ours from others; programs send none.
    """
    if not access.is_allowed(token_of(connection)):
        return HTTPStatus.UNAUTHORIZED, "Send a token: Authorization: Bearer …, or ?token=…"
    origin = connection.headers.get("Origin")
    if origin is not None and not access.is_own_page(origin):
        return HTTPStatus.FORBIDDEN, f"Pages of {origin} may not connect."
    return None
