"""HTTP logins whose user and password are references, which may change while a client is open."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from http import HTTPStatus

import httpx

from anime.errors import AnimeError
from anime.settings.secret_references import (
    has_references,
    known_value,
    refresh_references,
    resolve_reference,
)

Login = tuple[str, str]


class FollowedLogin(httpx.Auth):
    """Basic auth with what a text stands for at each request.

    If that is refused, it is asked for anew. A server may also learn of the newest one later than
    we do: so the last one that it has taken is tried, too.
    """

    def __init__(self, text: str, login_of: Callable[[str], Login | None]) -> None:
        """`login_of` finds user and password in the text, once its references are resolved."""
        self._text, self._login_of = text, login_of
        self._taken: str | None = None

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Part of httpx' interface.

        Raises:
            httpx.ConnectError: a reference has no value.
        """
        value = known_value(self._text)
        if value is None:
            value = await asyncio.to_thread(self._asked, resolve_reference)
        answer = yield self._signed(request, value)
        if self._is_taken(value, answer):
            return
        newer = await asyncio.to_thread(self._asked, refresh_references)
        for other in self._others(value, newer):
            answer = yield self._signed(request, other)
            if self._is_taken(other, answer):
                return

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Part of httpx' interface.

        Raises:
            httpx.ConnectError: a reference has no value.
        """
        value = self._asked(resolve_reference)
        answer = yield self._signed(request, value)
        if self._is_taken(value, answer):
            return
        for other in self._others(value, self._asked(refresh_references)):
            answer = yield self._signed(request, other)
            if self._is_taken(other, answer):
                return

    def _asked(self, ask: Callable[[str], str]) -> str:
        try:
            return ask(self._text)
        except AnimeError as fault:  # for who asks, it is as if the server were away
            raise httpx.ConnectError(fault.what) from fault

    def _others(self, refused: str, newer: str) -> list[str]:
        found = dict.fromkeys((newer, self._taken))
        return [each for each in found if each is not None and each != refused]

    def _is_taken(self, value: str, answer: httpx.Response) -> bool:
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            return False
        self._taken = value
        return True

    def _signed(self, request: httpx.Request, value: str) -> httpx.Request:
        if login := self._login_of(value):
            request.headers["Authorization"] = httpx.BasicAuth(*login)._auth_header  # noqa: SLF001  it has no other
        return request


def login_for(text: str, login_of: Callable[[str], Login | None]) -> httpx.Auth | Login | None:
    """How a client of that address or `user:password` logs in; None if it does not."""
    return FollowedLogin(text, login_of) if has_references(text) else login_of(text)


def login_in(auth_string: str) -> Login | None:
    """User and password in `user:password`.

    >>> login_in("anime:a:b")
    ('anime', 'a:b')
    """
    user, _, password = auth_string.partition(":")
    return (user, password) if auth_string else None
