"""Programs forked from a process that has all modules loaded, in a tenth of a second of CPU.

To start one as `python -m` takes two seconds, nearly all of them imports. What a program finds is
the same: its environment, folder, arguments and output, and settings that nothing has read yet.
"""

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from runpy import run_module
from signal import Signals

from anime.settings import PROJECT_DIR

FORKS = get_context("forkserver")
# A process has one fork server, whatever its tests fork.
FORKS.set_forkserver_preload(["tests.support.preloaded", "tests.faults.children"])


@dataclass(frozen=True)
class Program:
    """`python -m MODULE ARGUMENTS`, run in the project's folder."""

    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    output: Path
    errors: Path

    @property
    def command(self) -> list[str]:
        """How one would start it."""
        return [sys.executable, "-m", self.module, *self.arguments]

    def run(self) -> None:
        """Become that program, in a process that was forked for it."""
        self._become()
        try:
            run_module(self.module, run_name="__main__", alter_sys=True)
        finally:  # as an interpreter does at its end, which multiprocessing leaves out
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()

    def _become(self) -> None:
        os.setsid()
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(PROJECT_DIR)
        for descriptor, path in ((1, self.output), (2, self.errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
        sys.argv = [self.module, *self.arguments]
        sys.orig_argv[:] = self.command
        _read_settings_anew()


@dataclass(frozen=True)
class ForkedProgram:
    """A running program, to be used like `subprocess.Popen`."""

    command: list[str]
    process: ForkServerProcess

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        """Its exit status once it has ended; negative, the signal that has killed it."""
        return self.process.exitcode

    def wait(self, timeout_seconds: float) -> int:
        """Its exit status, when it has ended.

        Raises:
            TimeoutExpired: it goes on.
        """
        self.process.join(timeout_seconds)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.command, timeout_seconds)
        return self.process.exitcode

    def send_signal(self, number: Signals) -> None:
        """Send the signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.process.kill()


def spawn(program: Program) -> "subprocess.Popen[bytes]":
    """The program, started as people start it."""
    with program.output.open("ab") as output, program.errors.open("ab") as errors:
        return subprocess.Popen(
            program.command,
            env=program.environment,
            cwd=PROJECT_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )


def fork(program: Program) -> ForkedProgram:
    """The program, running. The first call starts the fork server, which takes seconds."""
    for path in (program.output, program.errors):
        path.touch()
    process = FORKS.Process(target=program.run)
    process.start()
    return ForkedProgram(program.command, process)


def run_forked(program: Program, timeout_seconds: float) -> "subprocess.CompletedProcess[str]":
    """The program, ended, with what it wrote; it is killed if it takes longer.

    Raises:
        TimeoutExpired: it did.
    """
    forked = fork(program)
    try:
        status = forked.wait(timeout_seconds)
    finally:
        forked.kill()
    texts = [path.read_text() for path in (program.output, program.errors)]
    return subprocess.CompletedProcess(program.command, status, *texts)


def _read_settings_anew() -> None:
    """Forget what the fork server has read of its own environment."""
    from prefect.context import refresh_global_settings_context

    from anime.settings import get_settings

    refresh_global_settings_context()
    get_settings.cache_clear()
