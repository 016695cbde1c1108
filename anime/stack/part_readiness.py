"""Whether a part of the stack is ready, asked by HTTP."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from anime.net.sockets import tls_context

TIMEOUT_SECONDS = 3


async def answers(url: str) -> bool:
    """Whether an HTTP server answers there, even with an error."""
    return await _status(url) is not None


async def is_healthy(url: str) -> bool:
    """Whether an HTTP server answers there with success."""
    status = await _status(url)
    return status is not None and httpx.codes.is_success(status)


async def worker_polls(
    pool_url: str, auth_string: str | None, name: str, *, within_seconds: float
) -> bool:
    """Whether the Prefect worker of that name had a heartbeat so lately, by the server's clock."""
    try:
        async with _client(basic_auth(auth_string)) as client:
            reply = await client.post(f"{pool_url}/workers/filter", json={"limit": 200})
        workers = reply.raise_for_status().json()
        now = parsedate_to_datetime(reply.headers["date"])
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    heartbeats = (worker["last_heartbeat_time"] for worker in workers if worker["name"] == name)
    oldest = now - timedelta(seconds=within_seconds)
    return any(
        heartbeat and datetime.fromisoformat(heartbeat) >= oldest for heartbeat in heartbeats
    )


def basic_auth(auth_string: str | None) -> httpx.BasicAuth | None:
    """The credentials in `user:password`."""
    return httpx.BasicAuth(*auth_string.split(":", 1)) if auth_string else None


async def _status(url: str) -> int | None:
    try:
        async with _client() as client:
            return (await client.get(url)).status_code
    except httpx.HTTPError:
        return None


def _client(auth: httpx.BasicAuth | None = None) -> httpx.AsyncClient:
    # No proxy for loopback.
    return httpx.AsyncClient(
        auth=auth, timeout=TIMEOUT_SECONDS, verify=tls_context(), trust_env=False
    )
