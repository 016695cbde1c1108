"""Whether the API lives, and whether each of its dependencies is there."""

import asyncio
from collections.abc import Awaitable
from enum import StrEnum
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, Field

from anime.db.session import Database
from anime.jobs.probes import (
    CheckResult,
    check_database,
    check_deployments,
    check_library,
    check_redis,
    check_servers,
    check_vault,
    check_work_pool,
    result_of,
)
from anime.settings import Settings

TIMEOUT_SECONDS = 3.0
NEEDED = ("database", "comfyui", "prefect", "library")  # without one of them no job can run


class Health(BaseModel):
    """That this process answers; nothing else is checked."""

    status: Literal["healthy"] = "healthy"
    service: Literal["anime-production"] = "anime-production"
    version: str = version("anime-production")


class State(StrEnum):
    """The state of a dependency."""

    UP = "up"
    DOWN = "down"
    NOT_CONFIGURED = "not configured"


class Dependency(BaseModel):
    """The state of one dependency, and what is wrong with it."""

    state: State
    is_needed: bool = Field(description="Whether no job can run without it.")
    error: str | None = None
    todo: str | None = None


class Readiness(BaseModel):
    """Whether a job can run now."""

    status: str = Field(description="`ready` or `not ready`.")
    dependencies: dict[str, Dependency]


async def readiness(settings: Settings, database: Database) -> Readiness:
    """The state of every dependency; all are checked at once, within some seconds."""
    checks: dict[str, Awaitable[str]] = {
        "database": check_database(database),
        "comfyui": _comfyui(settings, database),
        "prefect": _prefect(settings),
        "library": check_library(settings),
    }
    if settings.redis_url is not None:
        checks["redis"] = check_redis(settings)
    if settings.vault is not None:
        checks["vault"] = check_vault(settings)
    results = await asyncio.gather(
        *(result_of(name, check, TIMEOUT_SECONDS) for name, check in checks.items())
    )
    unset = Dependency(state=State.NOT_CONFIGURED, is_needed=False)
    dependencies = {"redis": unset, "vault": unset} | {
        each.system: _dependency_of(each) for each in results
    }
    is_ready = all(dependencies[name].state is State.UP for name in NEEDED)
    return Readiness(status="ready" if is_ready else "not ready", dependencies=dependencies)


def _dependency_of(result: CheckResult) -> Dependency:
    is_needed = result.system in NEEDED
    if result.ok:
        return Dependency(state=State.UP, is_needed=is_needed)
    return Dependency(state=State.DOWN, is_needed=is_needed, error=result.detail, todo=result.todo)


async def _comfyui(settings: Settings, database: Database) -> str:
    return await check_servers(settings, database, TIMEOUT_SECONDS / 2)


async def _prefect(settings: Settings) -> str:
    await check_deployments(settings)
    return await check_work_pool(settings)
