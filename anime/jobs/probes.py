"""The probes of `anime doctor` and `/ready`: whether the systems that a job needs work.

A check returns what it found in a sentence, or raises what is wrong and what to do about it.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path

from pydantic import BaseModel
from redis.exceptions import RedisError

from anime.assets.store import AssetStore
from anime.comfyui.address import address_to_use
from anime.comfyui.client import ComfyUIClient
from anime.core.servers import EVERYTHING
from anime.db.repositories import PauseRepository, ServerRepository
from anime.db.repositories.revisions import NEWEST_REVISION, RevisionRepository
from anime.db.session import Database
from anime.errors import (
    AnimeError,
    ComfyUIError,
    ConfigurationError,
    DatabaseUnavailable,
    PrefectUnavailable,
)
from anime.jobs.dispatcher import BATCH_DEPLOYMENT, DEPLOYMENT
from anime.net.prefect_api import PrefectApi
from anime.net.vault import RESOLVER, vault_status
from anime.progress.redis_connection import redis_at
from anime.settings import Settings
from anime.settings.addresses import comfyui_addresses, redis_address

CONNECT_SECONDS = 2.0
DATABASE_SECONDS = 1.0  # for the list of servers, in a check that has other things to ask
DEPLOYMENTS = (DEPLOYMENT, BATCH_DEPLOYMENT)
MB = 2**20
_library_checks: dict[Path, asyncio.Task[None]] = {}


class CheckResult(BaseModel):
    """What one check found. `todo` is empty when all is well; with `ok`, it is a warning."""

    system: str
    ok: bool
    detail: str
    todo: str = ""


class CheckWarning(AnimeError):
    """Nothing fails of it, but a person should know."""


async def result_of(system: str, check: Awaitable[str], timeout_seconds: float) -> CheckResult:
    """What the check found, or what is wrong; a failure if it takes longer."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return CheckResult(system=system, ok=True, detail=await check)
    except CheckWarning as warning:
        return CheckResult(system=system, ok=True, detail=warning.what, todo=warning.todo)
    except AnimeError as error:
        return CheckResult(system=system, ok=False, detail=error.what, todo=error.todo)
    except TimeoutError:
        return CheckResult(
            system=system,
            ok=False,
            detail=f"No answer within {timeout_seconds:g} s.",
            todo="Check whether it is overloaded, or its address wrong.",
        )


async def check_database(database: Database) -> str:
    """PostgreSQL accepts writes, and its tables are at the newest revision, or a later one.

    Those of the next release are there before its programs, which replace these one by one.
    """
    async with database.session_scope() as session:
        revisions = RevisionRepository(session)
        current = await revisions.current()
        if current is None or current < NEWEST_REVISION:
            raise DatabaseUnavailable(
                f"The tables are at revision {current or 'none'}, the newest is {NEWEST_REVISION}.",
                "Bring them up to date with `anime migrate`.",
            )
        await revisions.try_to_write()
    newer = " of a newer release" if current > NEWEST_REVISION else ""
    return f"takes writes, revision {current}{newer}"


async def check_redis(settings: Settings) -> str:
    """Redis answers."""
    url = redis_address(settings)
    if url is None:
        raise ConfigurationError(
            "No Redis is known: progress moves once a second only.",
            "Start everything with `anime up`, or set ANIME_REDIS_URL.",
        )
    try:
        async with redis_at(
            url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS
        ) as redis:
            version = (await redis.info("server")).get("redis_version", "?")
    except (RedisError, OSError, ValueError) as fault:
        raise ConfigurationError(
            f"Redis does not answer: {fault}.", "Start it, or correct ANIME_REDIS_URL."
        ) from fault
    return f"answers, version {version}"


async def check_vault(settings: Settings) -> str:
    """Vault answers this process; until when what is known can be used, if it does not."""
    if settings.vault is None:
        return "not set up: ANIME_VAULT_URL is not set"
    status = vault_status()
    if status is None:
        await asyncio.to_thread(lambda: RESOLVER.session().log_in())
        status = vault_status()
        assert status is not None  # noqa: S101  it has just logged in
    if status.fault is not None:
        raise ConfigurationError(status.describe(), status.todo)
    if status.warning:
        raise CheckWarning(status.describe(), status.warning)
    return status.describe()


async def check_servers(settings: Settings, database: Database, timeout_seconds: float) -> str:
    """A ComfyUI server can take a job: it answers, has a model, and is neither drained nor paused.

    While PostgreSQL does not answer, or no server is registered, those of the settings are asked.
    """
    addresses = await _usable_addresses(settings, database)
    found = await asyncio.gather(
        *(
            result_of("", check_comfyui(each, timeout_seconds), 2 * timeout_seconds)
            for each in addresses
        )
    )
    if able := [each.detail for each in found if each.ok]:
        return "; ".join(able)
    raise ConfigurationError(" ".join(each.detail for each in found), found[0].todo)


async def _usable_addresses(settings: Settings, database: Database) -> Sequence[str]:
    """The addresses of the servers that may be given jobs, at least one.

    Raises:
        ConfigurationError: none is known, or all are drained, paused or at fault.
    """
    try:
        async with asyncio.timeout(DATABASE_SECONDS), database.autocommit() as session:
            servers = ServerRepository(session)
            known, usable = await servers.list_all(), await servers.not_held_back()
            pauses = await PauseRepository(session).in_force()
    except (DatabaseUnavailable, TimeoutError):
        return comfyui_addresses(settings)
    if everything := [each for each in pauses if each.scope == EVERYTHING]:
        raise ConfigurationError(f"{everything[0].describe()}.", everything[0].todo)
    if not known:
        return comfyui_addresses(settings)
    if not usable:
        states = ", ".join(f"{each.name} is {each.health}" for each in known)
        raise ConfigurationError(
            f"Every ComfyUI server is drained, paused or at fault: {states}.",
            "`anime servers` shows them, `anime servers resume NAME` gives one prompts again.",
        )
    return [address_to_use(each.url, settings.comfyui_urls) for each in usable]


async def check_comfyui(address: str, timeout_seconds: float) -> str:
    """A ComfyUI server answers and has a model."""
    async with ComfyUIClient(address, timeout_seconds=timeout_seconds) as comfyui:
        stats, checkpoints = await comfyui.system_stats(), await comfyui.checkpoints()
        diffusion_models = await comfyui.diffusion_models()
        where = f"{comfyui.name}, version {stats.comfyui_version or '?'}"
    if not checkpoints and not diffusion_models:
        raise ConfigurationError(
            f"{where}, has no model.",
            "Put one into its folder models/checkpoints or models/diffusion_models.",
        )
    devices = ", ".join(
        f"{device.name} ({device.vram_free // MB} of {device.vram_total // MB} MB free)"
        for device in stats.devices
    )
    models = f"{len(checkpoints)} checkpoint(s), {len(diffusion_models)} diffusion model(s)"
    return f"{where}; {devices or 'no device'}; {models}"


async def describe_comfyui(address: str, timeout_seconds: float) -> str:
    """What `check_comfyui` says, and the server's features and packages: for a person who asks."""
    found = await check_comfyui(address, timeout_seconds)
    try:
        async with ComfyUIClient(address, timeout_seconds=timeout_seconds) as comfyui:
            return f"{found}; {(await comfyui.fingerprint()).describe()}"
    except ComfyUIError as fault:
        return f"{found}; features and node packages unknown: {fault.what}"


async def check_prefect(settings: Settings) -> str:
    """Prefect answers."""
    async with PrefectApi.from_settings(settings) as prefect:
        return f"{prefect.url} answers, version {await prefect.version()}"


async def check_deployments(settings: Settings) -> str:
    """Prefect has the deployments that jobs are runs of."""
    async with PrefectApi.from_settings(settings) as prefect:
        found = [f"{name} is {await prefect.deployment_id(name)}" for name in DEPLOYMENTS]
        return ", ".join(found)


async def check_work_pool(settings: Settings) -> str:
    """A worker polls the pool, which is not paused."""
    async with PrefectApi.from_settings(settings) as prefect:
        status = await prefect.work_pool_status(settings.work_pool)
    if status != "READY":
        raise PrefectUnavailable(
            f"Work pool {settings.work_pool} is {status.lower().replace('_', ' ')}.",
            f"Resume it: `prefect work-pool resume {settings.work_pool}`."
            if status == "PAUSED"
            else "Start a worker with `anime worker`.",
        )
    return f"{settings.work_pool} has a worker"


async def check_library(settings: Settings) -> str:
    """The library can be written. Of a mount that hangs there is one check for all who ask."""
    folder = settings.library
    check = _library_checks.get(folder)
    if check is None:
        check = _library_checks[folder] = asyncio.create_task(AssetStore.of(settings).check())
        check.add_done_callback(lambda _: _library_checks.pop(folder))
    await asyncio.shield(check)
    return f"{folder} can be written"
