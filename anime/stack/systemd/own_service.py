"""Runs one program of others as a service: makes it ready, watches it, and ends it.

PostgreSQL, Valkey and Prefect give systemd no signs of life in the builds that we ship: they are
asked whether they answer, and each answer is passed on.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from pydantic import SecretStr

from anime.errors import ConfigurationError, StackError
from anime.retry_policies import cancel_until_ended
from anime.settings import Settings, resolve_reference
from anime.settings.secret_references import known_value
from anime.settings.service_manager import ServiceManager
from anime.stack.environment import child_environment
from anime.stack.home import prepare_home
from anime.stack.part_readiness import is_healthy
from anime.stack.parts import Part, PartStatus
from anime.stack.supervisor import READINESS_TIMEOUT_SECONDS, SupervisedPart

CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class OwnService:
    """A program, what is left to do once it answers, and references that it knows values of."""

    part: Part
    complete: Callable[[], Awaitable[None]] | None = None
    given: tuple[str, ...] = ()


async def run_service(name: str, settings: Settings) -> None:
    """Run the program until SIGTERM.

    Raises:
        ConfigurationError: there is no such service, or it cannot be made ready here.
        StackError: it ended by itself.
    """
    prepare_home(settings.home)
    own = await _prepared(name, settings)
    part = replace(own.part, inherits_output=True)
    service = SupervisedPart(part, _print_status, ())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running, stopping = (
        asyncio.create_task(_run(service, own)),
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


async def _prepared(name: str, settings: Settings) -> OwnService:
    match name:
        case "postgresql":
            from anime.stack.postgres import prepare_postgres

            postgres = await asyncio.to_thread(prepare_postgres, settings.home)
            return OwnService(postgres.part(settings.logs), postgres.create_databases)
        case "valkey":
            from anime.stack.valkey import prepare_valkey

            valkey = await asyncio.to_thread(prepare_valkey, settings.home)
            return OwnService(valkey.part(settings.logs))
        case "prefect":
            from anime.stack.prefect_database import prefect_database
            from anime.stack.prefect_server import prefect_server

            environment = child_environment(settings)
            database = await prefect_database(settings)
            part = prefect_server(_with_auth_string(settings), environment, database)
            given = (settings.prefect_database_url or settings.database_url,)
            secrets = (*given, settings.prefect_api_auth_string)
            return OwnService(
                part, given=tuple(each.get_secret_value() for each in secrets if each)
            )
        case "rehearsal":
            from anime.stack.services import Services

            return OwnService(Services(settings, child_environment(settings)).rehearsals()[0])
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


async def _run(service: SupervisedPart, own: OwnService) -> None:
    """Start the program and pass its signs of life on.

    Raises:
        StackError: it has ended, or is ended because what it was given is replaced.
    """
    manager = ServiceManager.of_this_process()
    given = [resolve_reference(text) for text in own.given]
    await service.start()
    if own.complete is not None:
        await own.complete()
    manager.tell_ready()
    while (child := service.child) is not None and child.returncode is None:
        if await _answers(service.part):
            manager.tell_alive()
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await child.process.wait()
        if any(map(_is_replaced, own.given, given)):
            await service.stop()
            raise StackError(
                f"{service.part.name} knows a password that has been replaced.",
                "systemd starts it again with the new one.",
            )
    raise StackError(
        f"{service.part.name} has ended.", "systemd starts it again; the lines above say why."
    )


def _is_replaced(text: str, given: str) -> bool:
    """Whether the references of the text stand for something else now; no, if nobody knows."""
    return known_value(text) not in (None, given)


async def _answers(part: Part) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
            return await part.is_ready(float("inf"))
    return False


def _print_status(status: PartStatus) -> None:
    print(f"{status.name}: {status}", flush=True)  # noqa: T201  the journal
