"""Runs one program of others as a service: makes it ready, watches it, and ends it.

PostgreSQL, Valkey and Prefect give systemd no signs of life in the builds that we ship: they are
asked whether they answer, and each answer is passed on.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from pydantic import SecretStr

from anime.errors import ConfigurationError, StackError
from anime.retry_policies import cancel_until_ended
from anime.settings import Settings, resolve_reference
from anime.settings.service_manager import ServiceManager
from anime.stack.environment import child_environment
from anime.stack.home import prepare_home
from anime.stack.part_readiness import is_healthy
from anime.stack.parts import Part, PartStatus
from anime.stack.supervisor import READINESS_TIMEOUT_SECONDS, SupervisedPart

CHECK_SECONDS = 5.0


async def run_service(name: str, settings: Settings) -> None:
    """Run the program until SIGTERM.

    Raises:
        ConfigurationError: there is no such service, or it cannot be made ready here.
        StackError: it ended by itself.
    """
    prepare_home(settings.home)
    part, complete = await _prepared(name, settings)
    service = SupervisedPart(replace(part, inherits_output=True), _print_status, ())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running, stopping = (
        asyncio.create_task(_run(service, complete)),
        asyncio.create_task(stop.wait()),
    )
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await cancel_until_ended(stopping)
    if running.done():
        running.result()
    await cancel_until_ended(running)
    await service.stop()


async def answers(name: str, settings: Settings, within_seconds: float) -> bool:
    """Whether a service answers; a worker does if it has polled so lately.

    Raises:
        ConfigurationError: no such service can be asked.
    """
    from anime.stack.services import Services

    services = Services(settings, {})
    match name:
        case "api":
            return await services.api().is_ready(within_seconds)
        case "worker":
            return await services.worker().is_ready(within_seconds)
        case "prefect":
            return await is_healthy(f"{settings.prefect_api_url}/health")
    raise ConfigurationError(f"There is no check of {name!r}.", "It is api, worker or prefect.")


async def _prepared(name: str, settings: Settings) -> tuple[Part, Callable[[], Awaitable[None]]]:
    """The program, and what is left to do once it answers."""
    match name:
        case "postgresql":
            from anime.stack.postgres import prepare_postgres

            postgres = await asyncio.to_thread(prepare_postgres, settings.home)
            return postgres.part(settings.logs), postgres.create_databases
        case "valkey":
            from anime.stack.valkey import prepare_valkey

            valkey = await asyncio.to_thread(prepare_valkey, settings.home)
            return valkey.part(settings.logs), _nothing
        case "prefect":
            from anime.stack.prefect_database import prefect_database
            from anime.stack.prefect_server import prefect_server

            environment = child_environment(settings)
            database = await prefect_database(settings)
            return prefect_server(_with_auth_string(settings), environment, database), _nothing
        case "rehearsal":
            from anime.stack.services import Services

            return Services(settings, child_environment(settings)).rehearsals()[0], _nothing
    raise ConfigurationError(
        f"There is no service {name!r}.", "It is postgresql, valkey, prefect or rehearsal."
    )


def _with_auth_string(settings: Settings) -> Settings:
    """The settings with the value of Prefect's password, as Prefect knows no references."""
    secret = settings.prefect_api_auth_string
    if secret is None:
        return settings
    value = SecretStr(resolve_reference(secret.get_secret_value()))
    return settings.model_copy(update={"prefect_api_auth_string": value})


async def _nothing() -> None:
    """Do nothing: it is complete."""


async def _run(service: SupervisedPart, complete: Callable[[], Awaitable[None]]) -> None:
    """Start the program and pass its signs of life on.

    Raises:
        StackError: it has ended.
    """
    manager = ServiceManager.of_this_process()
    await service.start()
    await complete()
    manager.tell_ready()
    while (child := service.child) is not None and child.returncode is None:
        if await _answers(service.part):
            manager.tell_alive()
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await child.process.wait()
    raise StackError(
        f"{service.part.name} has ended.", "systemd starts it again; the lines above say why."
    )


async def _answers(part: Part) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
            return await part.is_ready(float("inf"))
    return False


def _print_status(status: PartStatus) -> None:
    print(f"{status.name}: {status}", flush=True)  # noqa: T201  the journal
