"""Whether the API lives and what it stands on is there, each part asked on its own."""

import asyncio
from collections.abc import Awaitable
from enum import StrEnum
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError

from anime.comfyui.client import ComfyUIClient
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import AnimeError, ComfyUIUnreachable
from anime.jobs.dispatcher import DEPLOYMENT
from anime.net.prefect_api import PrefectApi
from anime.settings import Settings
from anime.settings.addresses import comfyui_addresses, redis_address

TIMEOUT_SECONDS = 3.0
NEEDED = ("database", "comfyui", "prefect")  # without one of them no picture is made


class Health(BaseModel):
    """An answer is all it takes: nothing else is asked."""

    status: Literal["healthy"] = "healthy"
    service: Literal["anime-production"] = "anime-production"
    version: str = version("anime-production")


class State(StrEnum):
    """How a dependency was found."""

    UP = "up"
    DOWN = "down"
    NOT_CONFIGURED = "not configured"


class Dependency(BaseModel):
    """How one dependency was found, and what is wrong with it."""

    state: State
    is_needed: bool = Field(description="Whether no picture can be made without it.")
    error: str | None = None
    todo: str | None = None


class Readiness(BaseModel):
    """Whether pictures can be made now."""

    status: str = Field(description="`ready` or `not ready`.")
    dependencies: dict[str, Dependency]


async def readiness(settings: Settings, database: Database) -> Readiness:
    """How every dependency was found; all are asked at once, within some seconds."""
    probes: dict[str, Awaitable[State]] = {
        "database": _database(database),
        "redis": _redis(settings),
        "comfyui": _comfyui(settings),
        "prefect": _prefect(settings),
    }
    found = await asyncio.gather(*(_found(name, probe) for name, probe in probes.items()))
    dependencies = dict(zip(probes, found, strict=True))
    # Secrets come from the environment; no Vault is asked for any.
    dependencies["vault"] = Dependency(state=State.NOT_CONFIGURED, is_needed=False)
    is_ready = all(dependencies[name].state is State.UP for name in NEEDED)
    return Readiness(status="ready" if is_ready else "not ready", dependencies=dependencies)


async def _found(name: str, probe: Awaitable[State]) -> Dependency:
    is_needed = name in NEEDED
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return Dependency(state=await probe, is_needed=is_needed)
    except AnimeError as error:
        return Dependency(state=State.DOWN, is_needed=is_needed, error=error.what, todo=error.todo)
    except (RedisError, OSError) as fault:  # a time-out is one, too
        return Dependency(
            state=State.DOWN,
            is_needed=is_needed,
            error=str(fault) or f"No answer within {TIMEOUT_SECONDS:g} s.",
            todo=f"`anime doctor` says more of {name}.",
        )


async def _database(database: Database) -> State:
    async with database.session_scope() as session:
        await JobRepository(session).newest(1)  # reads a table: answers, and is migrated
    return State.UP


async def _redis(settings: Settings) -> State:
    url = redis_address(settings)
    if url is None:
        return State.NOT_CONFIGURED
    async with Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS) as redis:
        await redis.ping()
    return State.UP


async def _comfyui(settings: Settings) -> State:
    """Up if one of the servers is.

    Raises:
        ComfyUIUnreachable: none is; says what is wrong with each.
    """
    asked = (_server(url) for url in comfyui_addresses(settings))
    faults = [fault for fault in await asyncio.gather(*asked) if fault]
    if len(faults) == len(settings.comfyui_urls):
        raise ComfyUIUnreachable(
            " ".join(fault.what for fault in faults), faults[0].todo
        ) from faults[0]
    return State.UP


async def _server(url: str) -> AnimeError | None:
    try:
        async with ComfyUIClient(url, timeout_seconds=TIMEOUT_SECONDS / 2) as comfyui:
            await comfyui.system_stats()
    except AnimeError as fault:
        return fault
    return None


async def _prefect(settings: Settings) -> State:
    async with PrefectApi.from_settings(settings) as prefect:
        await prefect.deployment_id(DEPLOYMENT)
    return State.UP
