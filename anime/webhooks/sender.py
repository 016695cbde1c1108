"""Sending one signed message: to an address that was checked before, and to no other."""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Self

import httpx

from anime.core.public_addresses import is_never_public, is_public
from anime.core.webhooks import content_of, signed_headers
from anime.db.repositories import Delivery
from anime.errors import DeliveryFailed
from anime.net.bounded_threads import BoundedThreads
from anime.net.sockets import tls_context

TIMEOUT_SECONDS = 15.0  # for name, connection and answer together
NAME_SECONDS = 5.0
MAX_CONCURRENT_NAMES = 32  # a strange name server may leave each of them unanswered for a minute
CONNECT_SECONDS = 5.0  # for each of the receiver's addresses
_PORTS = {"http": 80, "https": 443}


class Sender:
    """Posts messages signed with the key of the moment, to be used in `async with`."""

    def __init__(
        self,
        key: Callable[[], bytes],
        *,
        allow_private: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._key = key
        self._allow_private = allow_private
        self._timeout_seconds = timeout_seconds
        self._names = BoundedThreads("webhook-names", MAX_CONCURRENT_NAMES)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
            verify=tls_context(),
            # A TLS connection belongs to one name, but would be kept and reused by its address.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,  # a proxy would resolve the name once more
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, delivery: Delivery) -> None:
        """Post the message until the receiver has accepted it. The answer's body is not read.

        Raises:
            DeliveryFailed: it has not, or its address is not allowed.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status = await self._post(delivery)
        except TimeoutError as fault:
            raise DeliveryFailed(f"No answer within {self._timeout_seconds:g} s.") from fault
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as fault:
            raise DeliveryFailed(f"{type(fault).__name__}: {fault}".strip(": ")) from fault
        if status // 100 != 2:
            raise DeliveryFailed(
                f"The receiver answered {status}.", is_final=status == HTTPStatus.GONE
            )

    async def _post(self, delivery: Delivery) -> int:
        """The answer's status, from the first of the receiver's addresses that can be reached."""
        url = httpx.URL(delivery.url)
        host = url.raw_host.decode("ascii")
        *others, last = await self._addresses(host, url.port or _PORTS[url.scheme])
        for address in others:
            try:
                return await self._post_to(address, url, delivery)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._post_to(last, url, delivery)

    async def _post_to(self, address: str, url: httpx.URL, delivery: Delivery) -> int:
        content = content_of(delivery.body)
        request = self._http.build_request(
            "POST",
            url.copy_with(host=address),
            content=content,
            headers={
                "Host": url.netloc.decode("ascii"),
                "Content-Type": "application/json",
                "User-Agent": "anime-production",
                **signed_headers(self._key(), delivery.id, content, timestamp=int(time.time())),
            },
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        answer = await self._http.send(request, stream=True)
        await answer.aclose()
        return answer.status_code

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of the host that we may post to, at least one.

        These are connected to: another answer of DNS in between changes nothing.
        """
        if is_never_public(host) and not self._allow_private:
            raise _private_address_refused()
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await self._names.run(ask, timeout_seconds=NAME_SECONDS)
        except TimeoutError as fault:
            raise DeliveryFailed(f"Its name was not resolved within {NAME_SECONDS:g} s.") from fault
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        allowed = [each for each in addresses if self._allow_private or is_public(each)]
        if not allowed:
            raise _private_address_refused()
        return allowed


def _private_address_refused() -> DeliveryFailed:
    return DeliveryFailed(
        "The webhook leads to a private or reserved address.",
        "Give a public one, or set ANIME_WEBHOOK_ALLOW_PRIVATE=true.",
    )
