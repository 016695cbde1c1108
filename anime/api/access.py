"""Who may use the API: holders of a token or a session, known origins, and signed addresses."""

import ipaddress
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from anime.core.callers import ANYBODY, Caller
from anime.errors import AnimeError, ConfigurationError, PageRefused, TokenMissing
from anime.settings import Settings
from anime.settings.tokens import (
    ApiToken,
    api_tokens,
    has_changing_tokens,
    is_same,
    is_session,
    is_signed_address,
)

SESSION_COOKIE = "anime_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of this process, for HTTP and for sockets.

    `read_tokens` gives the tokens of the moment, if they are references.
    """

    tokens: tuple[ApiToken, ...] = field(default=(), repr=False)
    read_tokens: Callable[[], tuple[ApiToken, ...]] | None = field(default=None, repr=False)
    origins: frozenset[str] = frozenset()
    own_names: frozenset[str] = frozenset(LOOPBACK_NAMES)
    own_ports: frozenset[int] = frozenset()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The rules that the settings give.

        Raises:
            ConfigurationError: everybody could reach the API and none would need a token, or a
                token refers to nothing.
        """
        tokens = api_tokens(settings)
        if not tokens and not _is_loopback(settings.api_host):
            raise ConfigurationError(
                f"ANIME_API_HOST={settings.api_host} lets other machines in, and they would need "
                "no token: neither ANIME_API_TOKEN nor ANIME_API_USERS is set.",
                "Set ANIME_API_TOKEN to a long random text, or ANIME_API_HOST to 127.0.0.1.",
            )
        public = urlsplit(settings.browser_url).hostname
        names = (*LOOPBACK_NAMES, settings.api_host.lower(), public or "localhost")
        return cls(
            tokens=tokens,
            read_tokens=partial(api_tokens, settings) if has_changing_tokens(settings) else None,
            origins=frozenset(settings.api_cors_origins),
            own_names=frozenset(names),
            own_ports=frozenset(settings.api_ports),
        )

    @property
    def needs_token(self) -> bool:
        """Whether a request without a token is refused."""
        return bool(self.tokens)

    def token_of(self, value: str | None) -> ApiToken | None:
        """The token of that value, if it is one of ours."""
        # All are compared, so that the time it takes does not reveal which one matched.
        tokens = self._current_tokens()
        matches = [is_same(value or "", known.value) for known in tokens]
        return next((known for known, fits in zip(tokens, matches, strict=True) if fits), None)

    def _current_tokens(self) -> tuple[ApiToken, ...]:
        if self.read_tokens is not None:
            with suppress(AnimeError):  # what is known goes on
                return self.read_tokens()
        return self.tokens

    def caller_with(self, token: str | None) -> Caller | None:
        """Who shows that token; None if it does not open the API. Without tokens, anybody does."""
        if not self.tokens:
            return ANYBODY
        known = self.token_of(token)
        return known.caller if known else None

    def caller_in_session(self, cookie: str | None) -> Caller | None:
        """Whose browser has that cookie; None if it is of no token, or too old."""
        if not cookie:
            return None
        found = (token.caller for token in self._current_tokens() if is_session(cookie, token))
        return next(found, None)

    def caller_of(self, connection: HTTPConnection, *, token: str | None) -> Caller | None:
        """Who opened the connection, by a token or else by the cookie of a page of ours.

        A browser sends the cookie with whatever any page asks for, so what changes something, and
        a socket, must come from a page of a known origin.
        """
        if (caller := self.caller_with(token)) is not None:
            return caller
        caller = self.caller_in_session(connection.cookies.get(SESSION_COOKIE))
        is_reading = connection.scope.get("method") in SAFE_METHODS
        return caller if is_reading or self.is_sent_by_our_page(connection) else None

    def is_sent_by_our_page(self, connection: HTTPConnection) -> bool:
        """Whether a browser says that a page of a known origin sent the request."""
        origin, host = (connection.headers.get(name) for name in ("Origin", "Host"))
        return origin is not None and self.is_known_origin(origin, host)

    def is_known_origin(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of that origin, or a program without one (None), may open a socket.

        `host` is the request's own Host header. Pages that this API serves may, from any of its
        ports; others only if the settings list them.
        """
        if origin is None or origin.lower() in self.origins:
            return True
        try:
            page = urlsplit(origin.lower())
            name, port = page.hostname, page.port
        except ValueError:  # a bracket too many, or its port is no number
            return False
        if host is not None and page.netloc == host.lower() and self.is_own_name(host):
            return True
        return name in self.own_names and port in self.own_ports

    def is_own_name(self, host: str) -> bool:
        """Whether a Host header names this machine, or the proxy before it.

        With a token every name will do: a page on the web that has its own name point here has
        no token, and reads nothing.
        """
        return self.needs_token or _name_in(host) in self.own_names

    def is_signed(self, path: str, query: Mapping[str, str], *, now: float) -> bool:
        """Whether the query shows that the path may be read until some time after `now`.

        `now` is in seconds since the UTC epoch.
        """
        expires, signature = query.get("expires", ""), query.get("signature", "")
        address = f"{path}?expires={expires}&signature={signature}"
        values = [token.value for token in self._current_tokens()]
        return is_signed_address(address, values) and int(expires) >= now


def bearer_in(authorization: str | None) -> str | None:
    """The token in an Authorization header.

    >>> bearer_in("Bearer abc")
    'abc'
    """
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _name_in(host: str) -> str | None:
    """The name in a Host header, without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # a bracket too many
        return None


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def admit(connection: HTTPConnection, access: Access) -> Caller:
    """Who opens a WebSocket.

    Any page on the web can open one to this machine in its visitor's browser. Only the origin,
    which no page can forge, distinguishes our pages from others; programs send none.

    Raises:
        TokenMissing, PageRefused: it may not be opened.
    """
    headers = connection.headers
    token = bearer_in(headers.get("Authorization")) or connection.query_params.get("token")
    caller = access.caller_of(connection, token=token)
    if caller is None:
        raise TokenMissing(
            "The connection shows no token of this API.",
            "Send Authorization: Bearer TOKEN, or from a browser ?token=TOKEN.",
        )
    if not access.is_known_origin(headers.get("Origin"), headers.get("Host")):
        raise PageRefused(
            f"Pages of {headers.get('Origin')} may not connect.",
            "Add the origin to ANIME_API_CORS_ORIGINS.",
        )
    return caller
