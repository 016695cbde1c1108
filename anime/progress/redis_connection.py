"""Connections to Redis, all made alike."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    ConnectKwargs,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as ConnectionFailed

from anime.errors import AnimeError, ConfigurationError
from anime.settings.secret_changes import SecretChanges
from anime.settings.secret_references import (
    has_references,
    known_value,
    refresh_references,
    resolve_reference,
)

CONNECT_SECONDS = 1.0


def connect_redis(url: str, *, read_seconds: float) -> Redis:
    """A client that waits so long for an answer; it connects when it is first used."""
    return redis_at(
        url,
        protocol=2,  # one shape of answers from every server
        decode_responses=True,
        encoding_errors="replace",  # one bad message is no reason to lose the next
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=read_seconds,
        # Once more at once: a connection that the server closed while idle is no outage.
        retry=Retry(NoBackoff(), 1),
    )


def redis_at(url: str, **options: Any) -> Redis:  # as redis-py has them
    """A client of that URL, whose references count for each connection.

    A reference without a value is to its users as if Redis were away.

    Raises:
        ConfigurationError: it is no URL of Redis.
    """
    if not has_references(url):
        try:
            _parsed(url)
        except ConnectionFailed as fault:
            raise ConfigurationError(
                f"Redis cannot be reached: {fault}.",
                "Correct ANIME_REDIS_URL, or the block Progress Redis.",
            ) from None
        return Redis.from_url(url, **options)
    return Redis.from_pool(FollowedPool(url, **options))


class FollowedPool(ConnectionPool):
    """Connections whose user and password are those of the moment in which each opens.

    Once there are others, it closes those that are idle, and each of the rest when its user has
    done with it: `replace_older` is for who keeps one. The server is where the URL leads at first.
    """

    def __init__(self, text: str, **options: Any) -> None:  # as redis-py has them
        super().__init__(**options)
        self._text = text
        self._question = SecretQuestion(text)
        self._newest: str | None = None  # the URL with which connections are opened
        self._changes = SecretChanges(text, self._retire_older)

    async def get_connection(
        self, command_name: object = None, *keys: object, **options: object
    ) -> AbstractConnection:
        """Part of redis-py's interface.

        Raises:
            redis.exceptions.ConnectionError: a reference has no value, or Redis is away.
        """
        del command_name, keys, options  # redis-py has no use for them
        if self._newest is None:
            url = await asyncio.to_thread(_asked, resolve_reference, self._text)
            if self._newest is None:  # nobody else has asked meanwhile
                self._lead_to(url)
        await self._retire_older()
        try:
            return await self._taken()
        except AuthenticationError:
            await self._question.ask(refresh_references)
            return await self._taken()

    async def aclose(self) -> None:
        """Part of redis-py's interface."""
        await self._changes.close()
        await super().aclose()

    async def _taken(self) -> AbstractConnection:
        taken: AbstractConnection = await super().get_connection()  # type: ignore[no-untyped-call]
        return taken

    def _lead_to(self, url: str) -> None:
        found: dict[str, Any] = dict(_parsed(url))
        self.connection_class = found.pop("connection_class", Connection)
        if {"username", "password"} & found.keys():
            found.pop("username", None)
            found.pop("password", None)
            found["credential_provider"] = FollowedCredentials(self._question)
        self.connection_kwargs = {**self.connection_kwargs, **found}
        self._newest = url
        self._changes.begin()

    async def _retire_older(self) -> None:
        url = known_value(self._text)
        if url is None or url == self._newest:
            return
        self._newest = url
        await self.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        # Those that are idle leave the pool, so that nobody gets one that is being closed.
        idle, self._available_connections = self._available_connections, []
        for each in idle:
            with suppress(RedisError, OSError):
                await each.disconnect()


class FollowedCredentials(CredentialProvider):
    """User and password in a URL with references, as they are when a connection opens."""

    def __init__(self, question: "SecretQuestion") -> None:
        self._question = question

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Part of redis-py's interface.

        Raises:
            redis.exceptions.ConnectionError: a reference has no value, or none yet.
        """
        found = _parsed(await self._question.ask(resolve_reference))
        password = str(found.get("password", ""))
        return (str(found["username"]), password) if "username" in found else (password,)


class SecretQuestion:
    """What a text with references stands for, asked for in one thread, however many wait for it.

    While Vault hangs, nobody waits for longer than for Redis itself, nor takes more threads.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._answer: asyncio.Future[str] | None = None

    async def ask(self, ask: Callable[[str], str]) -> str:
        """What `ask` says of the text; later ones have the answer that is coming already.

        Raises:
            redis.exceptions.ConnectionError: a reference has no value, or none yet.
        """
        if self._answer is None or self._answer.done():
            loop = asyncio.get_running_loop()
            self._answer = loop.run_in_executor(None, _asked, ask, self._text)
            # Retrieved here, as perhaps nobody else does.
            self._answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.shield(self._answer)
        except TimeoutError:
            raise ConnectionFailed("its login is not known yet: who knows it is slow") from None


async def replace_older(subscription: PubSub) -> None:
    """Close the subscription's connection if its credentials have been replaced.

    The next look for a message opens another one and subscribes again.
    """
    connection = subscription.connection
    if connection is not None and connection.should_reconnect():
        await connection.disconnect()


def _parsed(url: str) -> ConnectKwargs:
    """Its parts.

    Raises:
        redis.exceptions.ConnectionError: it is no URL of Redis.
    """
    # Of a password with a slash, a part would be taken for the port, and be told.
    with suppress(ValueError):
        if "@" not in urlsplit(url).path:
            return parse_url(url)
    raise ConnectionFailed(
        "its URL is not like redis://user:password@host:6379/1, in which / is written as %2F"
    )


def _asked(ask: Callable[[str], str], text: str) -> str:
    """What the text stands for; it may wait.

    Raises:
        redis.exceptions.ConnectionError: a reference has no value.
    """
    try:
        return ask(text)
    except AnimeError as fault:
        raise ConnectionFailed(fault.what) from fault
