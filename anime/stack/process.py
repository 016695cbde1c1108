"""Starting and ending a program, which has a session and a log of its own and ends with us."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from anime.errors import StackError
from anime.stack.logs import LogPipe, log_tail
from anime.stack.parts import Part
from anime.stack.start_progress import StartProgress

POLL_SECONDS = 0.1
LOG_SECONDS = 2.0  # for the last lines of a program that has ended
PARENT_WATCH = Path(__file__).with_name("parent_watch.py")


@dataclass(frozen=True, slots=True)
class PartProcess:
    """A started program, leader of its own session and process group."""

    process: Process
    log: LogPipe | None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self.process.returncode

    async def ended(self) -> int:
        """Its return code, once it has ended, its children are killed and its log is written."""
        returncode = await self.process.wait()
        kill_process_group(self.pid)
        if self.log is not None:
            await asyncio.to_thread(self.log.wait, LOG_SECONDS)
        return returncode


async def launch(part: Part, inherited_fds: tuple[int, ...] = ()) -> PartProcess:
    """The process of the part, just started."""
    owner = f"{part.account.uid}:{part.account.gid}" if part.account else "-"
    numbers = (os.getpid(), int(part.stop_signal))
    parent_watch = (sys.executable, "-I", "-S", str(PARENT_WATCH), *map(str, numbers), owner)
    with ExitStack() as opened:
        log = None if part.inherits_output else opened.enter_context(closing(LogPipe(part.log)))
        process = await asyncio.create_subprocess_exec(
            *parent_watch,
            *part.command,
            stdin=DEVNULL,
            stdout=log.write_end if log else None,
            stderr=STDOUT,
            env=dict(part.environment),
            cwd=part.folder,
            start_new_session=True,
            pass_fds=inherited_fds,
        )
        return PartProcess(process, log)


async def stop(child: PartProcess, part: Part) -> None:
    """End the program and its process group: by its stop signal, then by SIGKILL."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.process.send_signal(part.stop_signal)
        with suppress(TimeoutError):
            async with asyncio.timeout(part.stop_timeout_seconds):
                await child.process.wait()
    kill_process_group(child.pid)
    await child.ended()


async def run(part: Part, inherited_fds: tuple[int, ...] = ()) -> None:
    """Run a program that ends by itself, within the time-outs of a part's start.

    Raises:
        StackError: it failed, or took too long.
    """
    child = await launch(part, inherited_fds)
    progress = StartProgress(child.pid, part.log, part.start_timeout_seconds)
    try:
        while child.returncode is None:
            if progress.is_stuck() or progress.seconds > part.start_limit_seconds:
                raise part_error(part, "took too long")
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await child.process.wait()
        returncode = child.returncode
    finally:
        await stop(child, part)
    if returncode:
        raise part_error(part, f"failed ({describe_exit(returncode)})")


def part_error(part: Part, what: str) -> StackError:
    """The error `NAME what.`, with the end of the part's log."""
    return StackError(f"{part.name} {what}.", f"Read {part.log}.", log_tail=log_tail(part.log))


def lower_priority(leader_pid: int, niceness: int) -> None:
    """Give the processor to other parts first when they need it at the same time."""
    own_niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):  # it has ended, or runs as another user
        # On Linux, the priority of a group is that of all threads of all its processes.
        os.setpriority(os.PRIO_PGRP, leader_pid, own_niceness + niceness)
        # With autogroups, Linux applies the niceness only within a session.
        # https://man7.org/linux/man-pages/man7/sched.7.html
        Path(f"/proc/{leader_pid}/autogroup").write_text(str(niceness))


def kill_process_group(leader_pid: int) -> None:
    """Kill what is left of the process group of that leader, which may have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)


def describe_exit(returncode: int) -> str:
    """The return code in words: `exit status 1`, `killed by SIGKILL`."""
    if returncode >= 0:
        return f"exit status {returncode}"
    return f"killed by {signal.Signals(-returncode).name}"
