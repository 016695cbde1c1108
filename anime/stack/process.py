"""One started program: it ends with its parent, in a session of its own, with its log."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import suppress
from pathlib import Path

from anime.errors import StackError
from anime.stack.logs import log_tail, open_log
from anime.stack.parts import Part

PARENT_WATCH = Path(__file__).with_name("parent_watch.py")


async def launch(part: Part, inherited_fds: tuple[int, ...] = ()) -> Process:
    """The started program, leader of its own session and process group."""
    owner = f"{part.account.uid}:{part.account.gid}" if part.account else "-"
    numbers = (os.getpid(), int(part.stop_signal), part.niceness)
    watch = (sys.executable, "-I", "-S", str(PARENT_WATCH), *map(str, numbers), owner)
    with open_log(part.log) as log:
        return await asyncio.create_subprocess_exec(
            *watch,
            *part.command,
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
            env=dict(part.environment),
            cwd=part.folder,
            start_new_session=True,
            pass_fds=inherited_fds,
        )


async def stop(process: Process, part: Part) -> None:
    """End the program and all it started: asked first, then by force."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(part.stop_signal)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), part.stop_timeout_seconds)
    kill_family(process.pid)
    await process.wait()


async def run(part: Part, inherited_fds: tuple[int, ...] = ()) -> None:
    """Run a program that ends by itself, within its start time-out.

    Raises:
        StackError: it failed, or took too long.
    """
    process = await launch(part, inherited_fds)
    try:
        returncode = await asyncio.wait_for(process.wait(), part.start_timeout_seconds)
    except TimeoutError:
        raise part_error(part, "took too long") from None
    finally:
        await stop(process, part)
    if returncode:
        raise part_error(part, f"failed ({describe_exit(returncode)})")


def part_error(part: Part, what: str) -> StackError:
    """The error that says so of the part, with the end of its log."""
    return StackError(f"{part.name} {what}.", f"Read {part.log}.", log_tail=log_tail(part.log))


def kill_family(leader_pid: int) -> None:
    """Kill what is left of the process group of that leader, dead or alive."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)


def describe_exit(returncode: int) -> str:
    """The return code in words: `exit status 1`, `killed by SIGKILL`."""
    if returncode >= 0:
        return f"exit status {returncode}"
    return f"killed by {signal.Signals(-returncode).name}"
