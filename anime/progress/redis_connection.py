"""Connections to Redis, all made alike."""

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as ConnectionFailed

from anime.errors import VaultUnavailable
from anime.settings.secret_references import has_references, resolve_reference

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
    """A client of that URL; user and password that are references count for each connection.

    Raises:
        ConfigurationError, VaultUnavailable: a reference has no value.
    """
    if not has_references(url):
        return Redis.from_url(url, **options)
    client = Redis.from_url(resolve_reference(url), **options)
    known = client.connection_pool.connection_kwargs
    if {"username", "password"} & known.keys():
        known.pop("username", None)
        known.pop("password", None)
        known["credential_provider"] = FollowedCredentials(url)
    return client


class FollowedCredentials(CredentialProvider):
    """User and password in a URL with references, as they are when a connection opens."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Part of redis-py's interface.

        Raises:
            redis.exceptions.ConnectionError: Vault does not say what they are.
        """
        try:
            found = parse_url(resolve_reference(self._url))
        except VaultUnavailable as fault:  # for who connects, it is as if Redis were away
            raise ConnectionFailed(fault.what) from fault
        password = str(found.get("password", ""))
        return (str(found["username"]), password) if "username" in found else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same, without holding up the event loop."""
        return await asyncio.to_thread(self.get_credentials)
