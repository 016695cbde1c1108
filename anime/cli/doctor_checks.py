"""The checks of `anime doctor`: the probes, and those that only it has."""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from anime.assets.backup.drill import scratch_databases
from anime.assets.backup.drill_results import drills_of, last_green, times_of
from anime.assets.backup.folder import BackupFolder
from anime.assets.folder_reader import FolderReader
from anime.assets.workflow_catalogue import in_workflows, workflow_summaries
from anime.comfyui.address import canonical_url, checked_address, without_login
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.workflow_check import problems_at
from anime.comfyui.workflow_templates import list_templates
from anime.core.backups import overdue
from anime.core.graph_validation import listed
from anime.core.servers import differences
from anime.db.repositories import SlotRepository
from anime.db.session import Database
from anime.errors import (
    AnimeError,
    BackupFailed,
    ComfyUIError,
    ConfigurationError,
    StorageError,
    VaultUnavailable,
    reason_of,
)
from anime.jobs.low_disk import DiskReader
from anime.jobs.probes import (
    CheckResult,
    CheckWarning,
    check_database,
    check_deployments,
    check_library,
    check_prefect,
    check_redis,
    check_vault,
    check_work_pool,
    describe_comfyui,
    result_of,
)
from anime.jobs.servers.registry import connect_registry
from anime.net.vault.process_status import ProcessStatus, other_processes
from anime.settings import Settings
from anime.settings.addresses import database_address, job_server
from anime.settings.tokens import api_tokens
from anime.settings.variables import misspelt
from anime.stack.systemd.installation import is_service
from anime.webhooks.policy import signing_key

TIMEOUT_SECONDS = 8.0
DISK_SECONDS = 6.0  # for a disk, within which it is told which one does not answer
UNKNOWN = "not known to run; `anime up` and `anime serve` start it"


async def run_checks(settings: Settings) -> list[CheckResult]:
    """A result for each system, in the order in which to repair them."""
    servers = await _known_servers(settings)
    checks: list[tuple[str, Awaitable[str]]] = [
        ("settings", _settings(settings)),
        ("vault", _vault(settings)),
        ("database", _database(settings)),
        ("redis", check_redis(settings)),
        *(("comfyui", _comfyui(settings, url)) for url in servers),
        *(("slots", _slots(settings, url)) for url in servers),
        ("servers", _servers(settings)),
        ("pauses", _pauses(settings)),
        ("disk", _disk(settings)),
        ("prefect", check_prefect(settings)),
        ("deployment", check_deployments(settings)),
        ("work pool", check_work_pool(settings)),
        ("api", _api(settings)),
        ("websocket", _websocket(settings)),
        ("webhooks", _webhooks(settings)),
        ("library", check_library(settings)),
        ("sweeps", _sweeps(settings)),
        ("backups", _backups(settings)),
        ("workflows", _workflows(settings)),
    ]
    return await asyncio.gather(
        *(result_of(system, check, TIMEOUT_SECONDS) for system, check in checks)
    )


async def _known_servers(settings: Settings) -> Sequence[str]:
    """The addresses to check; an empty one if none is known."""
    try:
        async with connect_registry(settings) as registry:
            return await registry.addresses() or ("",)
    except (ConfigurationError, VaultUnavailable):  # which the database's own check tells
        with suppress(ConfigurationError, VaultUnavailable):
            return settings.comfyui_urls or ("",)
    return ("",)


async def _settings(settings: Settings) -> str:
    said = f"data folder {settings.home}, time zone {settings.timezone or settings.zone}"
    if wrong := misspelt():
        meant = f"Did you mean {', '.join(wrong.values())}?"
        raise CheckWarning(f"{said}; no setting is called {', '.join(wrong)}.", meant)
    return said


async def _vault(settings: Settings) -> str:
    """How Vault is for this program; and for each that runs, if it is away: until when it goes on.

    What is at fault for a program that runs is told even if Vault answers this one.
    """
    running = await asyncio.to_thread(other_processes, settings.home / "run")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS - 1):
            said = await check_vault(settings)
    except (ConfigurationError, VaultUnavailable) as fault:
        raise ConfigurationError(_with_processes(fault.what, running), fault.todo) from fault
    except TimeoutError as fault:
        told = _with_processes("Vault takes more than some seconds to answer.", running)
        raise ConfigurationError(told, "Check whether it is overloaded.") from fault
    if faulty := [each for each in running if each.status.fault]:
        raise ConfigurationError(_with_processes(f"{said}.", faulty), faulty[0].status.todo)
    return said


def _with_processes(said: str, processes: Sequence[ProcessStatus]) -> str:
    return " ".join([said, *(each.describe() for each in processes)])


async def _database(settings: Settings) -> str:
    async with Database(database_address(settings)) as database:
        return await check_database(database)


async def _comfyui(settings: Settings, url: str) -> str:
    return await describe_comfyui(url or job_server(settings), TIMEOUT_SECONDS / 2)


async def _slots(settings: Settings, url: str) -> str:
    server = canonical_url(url or job_server(settings))
    async with (
        Database(database_address(settings)) as database,
        database.session_scope() as session,
    ):
        state = await SlotRepository(session).state(server)
    since = f", the first since {state.oldest_wait:%H:%M:%S} UTC" if state.oldest_wait else ""
    return (
        f"{state.held} of {settings.in_flight} slots at {server} taken, "
        f"{state.waiting} waiting{since}"
    )


async def _servers(settings: Settings) -> str:
    """How the servers are; which differ in what a graph may need is a warning."""
    async with connect_registry(settings) as registry:
        found = await registry.list_all()
    told = ", ".join(
        f"{each.name} is {each.health}{', drained' * each.is_drained}" for each in found
    )
    if differing := differences(found):
        raise CheckWarning(
            f"{told}. They differ in {'; '.join(differing)}.",
            "Update them alike: a graph may render otherwise on each, or not on all.",
        )
    return told or "none is known"


async def _pauses(settings: Settings) -> str:
    async with connect_registry(settings) as registry:
        pauses = await registry.pauses()
    if pauses:
        raise CheckWarning(
            " ".join(f"{each.describe()}." for each in pauses),
            " ".join(dict.fromkeys(each.todo for each in pauses)),
        )
    return "nothing is paused"


async def _disk(settings: Settings) -> str:
    disks = DiskReader([settings.library])
    free = (await disks.free_mb(seconds=DISK_SECONDS))[settings.library]
    if free is None:
        raise StorageError(
            f"The disk of the library, {settings.library}, does not answer.",
            "Look at the disk or its network mount; renders begin again by themselves.",
        )
    where, needed = f"{free} MB are free for {settings.library}", settings.min_free_disk_mb
    if free < needed:
        raise StorageError(
            f"{where}, fewer than ANIME_MIN_FREE_DISK_MB, {needed}: no new render begins.",
            "Free some space there; renders begin again by themselves.",
        )
    return where


def _is_api_known(settings: Settings) -> bool:
    """Whether there is to be an API: a stack that runs says so, or it is a service."""
    return settings.public_url is not None or is_service("anime-api.service", settings.home)


async def _api(settings: Settings) -> str:
    if not _is_api_known(settings):
        return UNKNOWN
    url = settings.browser_url
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS / 2) as http:
            (await http.get(f"{url}/health")).raise_for_status()
    except httpx.HTTPError as fault:
        raise ConfigurationError(
            f"The API does not answer at {url}: {reason_of(fault)}.",
            "Start it with `anime serve`, or correct ANIME_PUBLIC_URL.",
        ) from fault
    return f"{url} answers, {'with a token' if api_tokens(settings) else 'to this machine only'}"


async def _websocket(settings: Settings) -> str:
    if settings.ws_url is None and not _is_api_known(settings):
        return UNKNOWN
    tokens = api_tokens(settings)
    headers = {"Authorization": f"Bearer {tokens[0].value}"} if tokens else {}
    try:
        opening = connect(settings.websocket_url, additional_headers=headers, proxy=None)
        async with asyncio.timeout(TIMEOUT_SECONDS / 2), opening as socket:
            await socket.send('{"action": "ping"}')
            await socket.recv()
    except (OSError, TimeoutError, WebSocketException) as fault:
        is_refused = isinstance(fault, InvalidStatus) and fault.response.status_code == 401
        raise ConfigurationError(
            f"No WebSocket opens at {settings.websocket_url}: {reason_of(fault)}.",
            "Set ANIME_API_TOKEN or ANIME_API_USERS here as the API has it."
            if is_refused
            else "Start the API with `anime serve`, or correct ANIME_WS_URL.",
        ) from fault
    return f"{settings.websocket_url} answers"


async def _webhooks(settings: Settings) -> str:
    if signing_key(settings) is None:
        return "off: ANIME_WEBHOOK_SECRET is not set"
    where = "private networks, too" if settings.webhook_allow_private else "public addresses only"
    return f"signed, to {where}"


async def _sweeps(settings: Settings) -> str:
    folder = settings.swept_folder
    if folder is None:
        return "off: ANIME_COMFYUI_OUTPUT_DIR is not set"
    disk = FolderReader(folder, called="folder to sweep")
    if not await disk.run(partial(os.access, folder, os.R_OK | os.X_OK), seconds=DISK_SECONDS):
        raise StorageError(
            f"The folder to sweep, {folder}, does not exist or cannot be read.",
            "Correct ANIME_SWEEP_DIR or ANIME_COMFYUI_OUTPUT_DIR.",
        )
    return f"of {folder}, by {settings.sweep_mode}{', watched as well' * settings.watch}"


async def _backups(settings: Settings) -> str:
    if settings.backup_dir is None:
        return "off: ANIME_BACKUP_DIR is not set"
    folder = BackupFolder(settings.backup_dir)
    reader = FolderReader(folder.root, called="folder of backups")
    await reader.run(partial(folder.check, {}), seconds=DISK_SECONDS)
    times, names, drills, green = await reader.run(
        lambda: (times_of(folder), folder.names(), drills_of(folder), last_green(folder)),
        seconds=DISK_SECONDS,
    )
    if wrong := overdue(datetime.now(UTC), times):
        raise BackupFailed(*wrong)
    told = f"{len(names)} in {folder.root}, the last {names[-1]}{await _left_by_drills(settings)}"
    if drills and not drills[0].is_green:
        raise BackupFailed(
            f"{told}; the last drill has found: {drills[0].problems[0]}",
            "Mend it, then run `anime backup` and `anime backup drill`.",
        )
    if green is None:
        return f"{told}; no drill yet"
    return f"{told}; restored by a drill on {green.at:%Y-%m-%d} in {green.total_seconds:.0f} s"


async def _left_by_drills(settings: Settings) -> str:
    """Databases of drills, in words; nothing without PostgreSQL, as its own check tells that."""
    left: list[str] = []
    with suppress(AnimeError, TimeoutError):
        async with (
            asyncio.timeout(TIMEOUT_SECONDS / 2),
            Database(database_address(settings)) as database,
        ):
            left = await scratch_databases(database.address)
    return "".join(
        f"; a drill, at work or killed, has left the database {name}, which the next one drops"
        for name in left
    )


async def _workflows(settings: Settings) -> str:
    templates, summaries = await in_workflows(
        settings,
        lambda: (list_templates(*settings.workflow_folders), workflow_summaries(settings)),
        seconds=DISK_SECONDS,
    )
    own = {each.name for each in summaries if each.is_own}
    found = [f"{len(templates)} workflows: {', '.join(each.name for each in templates)}"]
    faults = []
    for url in settings.comfyui_urls:
        where = without_login(checked_address(url))
        try:
            async with ComfyUIClient(url, timeout_seconds=TIMEOUT_SECONDS / 2) as comfyui:
                problems = await problems_at(comfyui, templates)
        except ComfyUIError:  # which the check of the server tells
            found.append(f"not checked with {where}, which does not answer")
            continue
        lacking = {name: each for name, each in problems.items() if each}
        found += [f"{where} cannot run {name}: {listed(lacking[name])}" for name in lacking]
        faults += [name for name in lacking if name in own]
    if faults:
        raise ConfigurationError(
            " ".join(found), "Install in ComfyUI what is missing; `anime workflow check --server`."
        )
    return "; ".join(found)
