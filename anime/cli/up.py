"""`anime up`: runs the whole stack on this machine, until Ctrl-C."""

import asyncio
import os
import shutil
import signal
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import print_note, print_result

if TYPE_CHECKING:
    from anime.settings import Settings
    from anime.settings.stack_record import StackRecord


def up(
    servers: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many rehearsal servers; 1 if unset.")
    ] = None,
    shared_output: Annotated[
        bool, typer.Option("--shared-output", help="They write into one output folder.")
    ] = False,
) -> None:
    """Start PostgreSQL, Valkey, Prefect, worker, API and, without a ComfyUI, the rehearsal."""
    from anime.settings import load_settings

    given = {"rehearsal_servers": servers, "rehearsal_shared_output": shared_output or None}
    chosen = {name: value for name, value in given.items() if value is not None}
    asyncio.run(_run_until_stopped(load_settings(**chosen)))


async def _run_until_stopped(settings: "Settings") -> None:
    """Run the stack until SIGINT or SIGTERM, or until a part is lost."""
    stack = asyncio.create_task(_run_stack(settings))
    signals: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        signals.append(number)
        if len(signals) == 1:
            stack.cancel()
        else:
            print_note("Stopping already; a few seconds more …")

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    with suppress(asyncio.CancelledError):
        await stack
    print_note("Stopped. All data is kept.")


async def _run_stack(settings: "Settings") -> None:
    from anime.cli.parts_display import PartsDisplay
    from anime.stack.stack import running_stack

    print_note("Starting …")
    with closing(PartsDisplay()) as display:
        async with running_stack(settings, report=display.show) as record:
            display.close()  # later states are shown below the addresses
            print_result(_addresses(record, settings))
            await asyncio.Event().wait()


def _addresses(record: "StackRecord", settings: "Settings") -> str:
    """The addresses of the parts, and commands to try."""
    from anime.comfyui.address import without_login
    from anime.settings import load_settings

    found = load_settings(home=settings.home)  # with what the stack's record adds
    api = record.parts["api"].url if "api" in record.parts else found.browser_url
    lines = {
        "Prefect": (found.prefect_api_url or "").removesuffix("/api"),
        "  sign in": _sign_in(found),
        "Page": f"{api}/",
        "API": f"{api}/docs",
        "WebSocket": found.ws_url or "",
        "Webhooks": "signed, for generations with a webhook_url" if found.webhook_secret else "",
        "ComfyUI": ", ".join(map(without_login, found.comfyui_texts))
        + " (rehearsal)" * ("rehearsal" in record.parts),
        "Library": str(found.library),
        "Swept": _sweeps(found),
        "Logs": str(found.logs),
    }
    anime = _command_name()
    listed = [f"  {name:<10} {value}" for name, value in lines.items() if value]
    return "\n".join(
        [
            "",
            *listed,
            "",
            "In another terminal:",
            *([f"  export ANIME_HOME={settings.home}"] if _has_own_home(settings) else []),
            f'  {anime} generate "a girl on a rooftop at dusk" --seed 7',
            f"  {anime} jobs",
            "",
            "Ctrl-C stops everything.",
        ]
    )


def _sign_in(settings: "Settings") -> str:
    """How to sign in to Prefect: the password at a terminal alone, as other output is kept."""
    from anime.stack.environment import prefect_home

    auth = settings.prefect_api_auth_string
    if auth is None or sys.stdout.isatty():
        return auth.get_secret_value() if auth else ""
    file = prefect_home(settings) / "auth"
    return f"as in {file}" if file.exists() else "with PREFECT_API_AUTH_STRING"


def _sweeps(settings: "Settings") -> str:
    """Which folder is swept, and when."""
    if settings.swept_folder is None:
        return ""
    when = "within seconds" if settings.watch else "every 15 minutes"
    return f"{settings.swept_folder}, {when}"


def _command_name() -> str:
    """The command as one can type it in another terminal in this folder."""
    program = Path(sys.argv[0])
    if shutil.which("anime") or program.name != "anime":
        return "anime"
    return os.path.relpath(program)


def _has_own_home(settings: "Settings") -> bool:
    """Whether another terminal needs ANIME_HOME to find the data folder."""
    from anime.settings import Settings

    default = Settings.model_fields["home"].get_default(call_default_factory=True)
    return bool(settings.home != default)
