"""The checks of `anime doctor`: each returns what it found, or raises what is wrong."""

import asyncio
import os
from collections.abc import Awaitable

import httpx
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from anime.assets.store import AssetStore
from anime.comfyui.address import checked_address, without_login
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.workflow_templates import list_templates
from anime.db.migrate import revision
from anime.db.repositories import SlotRepository
from anime.db.session import Database
from anime.errors import (
    AnimeError,
    ConfigurationError,
    DatabaseUnavailable,
    PrefectUnavailable,
    StorageError,
)
from anime.jobs.dispatcher import BATCH_DEPLOYMENT, DEPLOYMENT
from anime.net.prefect_api import PrefectApi
from anime.settings import Settings
from anime.settings.addresses import comfyui_addresses, database_address, redis_address
from anime.settings.tokens import api_tokens
from anime.webhooks.policy import signing_key

TIMEOUT_SECONDS = 8.0
MB = 2**20
DEPLOYMENTS = (DEPLOYMENT, BATCH_DEPLOYMENT)
UNKNOWN = "none is known to run; `anime up` and `anime serve` start it"


class CheckResult(BaseModel):
    """What one check found; `todo` is empty when all is well."""

    system: str
    ok: bool
    detail: str
    todo: str = ""


async def check_up(settings: Settings) -> list[CheckResult]:
    """One finding a system, in the order in which one would mend them."""
    servers = settings.comfyui_urls or ("",)
    return await asyncio.gather(
        _finding("settings", _settings(settings)),
        _finding("database", _database(settings)),
        _finding("redis", _redis(settings)),
        *(_finding("comfyui", _comfyui(settings, url)) for url in servers),
        *(_finding("window", _window(settings, url)) for url in servers),
        _finding("prefect", _prefect(settings)),
        _finding("deployment", _deployment(settings)),
        _finding("work pool", _work_pool(settings)),
        _finding("api", _api(settings)),
        _finding("websocket", _websocket(settings)),
        _finding("webhooks", _webhooks(settings)),
        _finding("library", _library(settings)),
        _finding("sweeps", _sweeps(settings)),
        _finding("workflows", _workflows(settings)),
    )


async def _finding(system: str, check: Awaitable[str]) -> CheckResult:
    try:
        detail = await asyncio.wait_for(check, TIMEOUT_SECONDS)
    except AnimeError as error:
        return CheckResult(system=system, ok=False, detail=error.what, todo=error.todo)
    except TimeoutError:
        return CheckResult(
            system=system,
            ok=False,
            detail=f"No answer within {TIMEOUT_SECONDS:g} s.",
            todo="Look whether it is overloaded, or its address wrong.",
        )
    return CheckResult(system=system, ok=True, detail=detail)


async def _settings(settings: Settings) -> str:
    return f"data folder {settings.home}, time zone {settings.timezone or settings.zone}"


async def _database(settings: Settings) -> str:
    current, head = await revision(database_address(settings))
    if current != head:
        raise DatabaseUnavailable(
            f"The tables are at revision {current or 'none'}, the newest is {head}.",
            "Bring them up to date with `anime migrate`.",
        )
    return f"answers, revision {current}"


async def _redis(settings: Settings) -> str:
    url = redis_address(settings)
    if url is None:
        raise ConfigurationError(
            "No Redis is known: progress moves once a second only.",
            "Start everything with `anime up`, or set ANIME_REDIS_URL.",
        )
    try:
        async with Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2) as redis:
            version = (await redis.info("server")).get("redis_version", "?")
    except (RedisError, OSError, ValueError) as fault:
        raise ConfigurationError(
            f"Redis does not answer: {fault}.", "Start it, or correct ANIME_REDIS_URL."
        ) from fault
    return f"answers, version {version}"


async def _comfyui(settings: Settings, url: str) -> str:
    address = url or comfyui_addresses(settings)[0]
    async with ComfyUIClient(address, timeout_seconds=TIMEOUT_SECONDS / 2) as comfyui:
        stats, checkpoints = await comfyui.system_stats(), await comfyui.checkpoints()
        where = f"{comfyui.name}, version {stats.comfyui_version or '?'}"
    if not checkpoints:
        raise ConfigurationError(
            f"{where}, has no checkpoint.", "Put one into its models/checkpoints folder."
        )
    devices = ", ".join(
        f"{device.name} ({device.vram_free // MB} of {device.vram_total // MB} MB free)"
        for device in stats.devices
    )
    return f"{where}; {devices or 'no device'}; {len(checkpoints)} checkpoint(s)"


async def _window(settings: Settings, url: str) -> str:
    server = without_login(checked_address(url or comfyui_addresses(settings)[0]))
    async with (
        Database(database_address(settings)) as database,
        database.session_scope() as session,
    ):
        state = await SlotRepository(session).state(server)
    since = f", the first since {state.oldest_wait:%H:%M:%S} UTC" if state.oldest_wait else ""
    return (
        f"{state.held} of {settings.in_flight} places at {server} taken, "
        f"{state.waiting} waiting{since}"
    )


async def _prefect(settings: Settings) -> str:
    async with PrefectApi.from_settings(settings) as prefect:
        return f"{prefect.url} answers, version {await prefect.version()}"


async def _deployment(settings: Settings) -> str:
    async with PrefectApi.from_settings(settings) as prefect:
        found = [f"{name} is {await prefect.deployment_id(name)}" for name in DEPLOYMENTS]
        return ", ".join(found)


async def _work_pool(settings: Settings) -> str:
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


async def _library(settings: Settings) -> str:
    may_create = settings.library_dir is None
    await AssetStore(settings.library, may_create=may_create).check()
    return f"{settings.library} can be written"


async def _api(settings: Settings) -> str:
    if settings.public_url is None:
        return UNKNOWN
    url = settings.browser_url
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS / 2) as http:
            (await http.get(f"{url}/health")).raise_for_status()
    except httpx.HTTPError as fault:
        raise ConfigurationError(
            f"The API does not answer at {url}: {fault or type(fault).__name__}.",
            "Start it with `anime serve`, or correct ANIME_PUBLIC_URL.",
        ) from fault
    return f"{url} answers, {'with a token' if api_tokens(settings) else 'to this machine only'}"


async def _websocket(settings: Settings) -> str:
    if settings.ws_url is None:
        return UNKNOWN
    tokens = api_tokens(settings)
    headers = {"Authorization": f"Bearer {tokens[0]}"} if tokens else {}
    try:
        opening = connect(settings.ws_url, additional_headers=headers, proxy=None)
        async with asyncio.timeout(TIMEOUT_SECONDS / 2), opening as socket:
            await socket.send('{"action": "ping"}')
            await socket.recv()
    except (OSError, TimeoutError, WebSocketException) as fault:
        raise ConfigurationError(
            f"No WebSocket opens at {settings.ws_url}: {fault or type(fault).__name__}.",
            "Start the API with `anime serve`, or correct ANIME_WS_URL.",
        ) from fault
    return f"{settings.ws_url} answers"


async def _webhooks(settings: Settings) -> str:
    if signing_key(settings) is None:
        return "off: ANIME_WEBHOOK_SECRET is not set"
    where = "private networks, too" if settings.webhook_allow_private else "public addresses only"
    return f"signed, to {where}"


async def _sweeps(settings: Settings) -> str:
    folder = settings.swept_folder
    if folder is None:
        return "of no folder: ANIME_COMFYUI_OUTPUT_DIR is not set"
    if not await asyncio.to_thread(os.access, folder, os.R_OK | os.X_OK):
        raise StorageError(
            f"{folder}, which sweeps look through, is not there or cannot be read.",
            "Correct ANIME_SWEEP_DIR or ANIME_COMFYUI_OUTPUT_DIR.",
        )
    return f"of {folder}, by {settings.sweep_mode}{', watched as well' * settings.watch}"


async def _workflows(settings: Settings) -> str:
    templates = await asyncio.to_thread(list_templates, settings.workflows_dir)
    if not templates:
        raise ConfigurationError(
            f"There is no workflow in {settings.workflows_dir}.",
            "Point ANIME_WORKFLOWS_DIR to the folder that holds them.",
        )
    return ", ".join(template.name for template in templates)
