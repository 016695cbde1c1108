"""HTTP logins whose user and password are references, which may change while a client is open."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus

import httpx

from anime.errors import VaultUnavailable
from anime.settings.secret_references import (
    has_references,
    known_value,
    refresh_references,
    resolve_reference,
)

Login = tuple[str, str]


class FollowedLogin(httpx.Auth):
    """Basic auth with what a text stands for at each request; once more if that is refused."""

    def __init__(self, text: str, login_of: Callable[[str], Login | None]) -> None:
        """`login_of` finds user and password in the text, once its references are resolved."""
        self._text, self._login_of = text, login_of

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Part of httpx' interface.

        Raises:
            httpx.ConnectError: Vault does not say what the login is.
        """
        value = known_value(self._text) or await self._asked(resolve_reference)
        self._sign(request, value)
        answer = yield request
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            newer = await self._asked(refresh_references)
            if newer != value:
                self._sign(request, newer)
                yield request

    async def _asked(self, ask: Callable[[str], str]) -> str:
        try:
            return await asyncio.to_thread(ask, self._text)
        except VaultUnavailable as fault:  # for who asks, it is as if the server were away
            raise httpx.ConnectError(fault.what) from fault

    def _sign(self, request: httpx.Request, value: str) -> None:
        if login := self._login_of(value):
            request.headers["Authorization"] = httpx.BasicAuth(*login)._auth_header  # noqa: SLF001  it has no other


def login_for(text: str, login_of: Callable[[str], Login | None]) -> httpx.Auth | Login | None:
    """How a client of that address or `user:password` logs in; None if it does not.

    Raises:
        ConfigurationError, VaultUnavailable: a reference has no value.
    """
    return FollowedLogin(text, login_of) if has_references(text) else login_of(text)


def login_in(auth_string: str) -> Login | None:
    """User and password in `user:password`.

    >>> login_in("anime:a:b")
    ('anime', 'a:b')
    """
    user, _, password = auth_string.partition(":")
    return (user, password) if auth_string else None
