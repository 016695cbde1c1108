"""The program `anime` and its commands."""

import atexit
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from anime.cli.error_boundary import run_command

COMMANDS = (
    *("up", "generate", "batch", "cancel", "requeue", "jobs", "files", "metadata", "sheet"),
    *("retention", "rebuild", "verify", "sweep", "backup", "restore", "projects", "characters"),
    *("shots", "takes", "review", "reproduce", "diff", "servers", "pause", "resume", "quarantine"),
    *("workflow", "vault", "services", "demo", "doctor", "env", "migrate", "worker", "serve"),
    *("intake", "rehearsal"),
)
_MODULES = {"review": "takes", "diff": "reproduce", "resume": "pause"}  # others have their own


class CommandGroup(TyperGroup):
    """The commands; each is imported once it is asked for, as that takes longer than most run."""

    def list_commands(self, ctx: Any) -> list[str]:  # its class is private to Typer
        """Their names, in the order in which the help has them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # as above
        """The command of that name; None if there is none."""
        del ctx
        if cmd_name in COMMANDS:
            return _command(cmd_name)
        self.commands.update({name: _command(name) for name in COMMANDS})  # for what may be meant
        return None


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def anime() -> None:
    """A prompt becomes a picture in the library, a row in PostgreSQL and a run in Prefect."""


def _command(name: str) -> Any:  # as above
    found = getattr(import_module(f"anime.cli.{_MODULES.get(name, name)}"), name)
    if isinstance(found, typer.Typer):
        return get_group(found)
    alone = typer.Typer(add_completion=False)
    alone.command()(found)
    return get_command(alone)


def main() -> NoReturn:
    """Run the command that the arguments name, and exit with its code."""
    run_command(app)


def run() -> NoReturn:
    """The program: `main`, and then the end of the process.

    To take apart what all modules have made takes Python up to half a second: it is left out.
    """
    _open_outputs()
    try:
        main()
    except SystemExit as end:
        if threading.active_count() == 1 and isinstance(end.code, int):
            atexit._run_exitfuncs()  # noqa: SLF001  as multiprocessing ends its children
            with suppress(OSError):  # nobody reads it: Python says so
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                os._exit(end.code)
        raise


def _open_outputs() -> None:
    """Take any text, as names of files are: what an encoding lacks is spelled out."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  until the end
        getattr(sys, name).reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    run()
