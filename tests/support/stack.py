"""The stack as a person runs it, on a folder of its own: for tests and benchmarks.

Nothing of the caller's studio is touched: no address of anything is handed on, the ports are
free ones, and the data are deleted in the end.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import httpx
import psutil

from anime.errors import StackError
from anime.settings import PROJECT_DIR
from anime.settings.stack_record import StackRecord, read_record
from anime.stack.logs import log_tail
from anime.stack.part_readiness import basic_auth
from anime.stack.postgres import prepare_postgres
from tests.support.fork_server import ADDRESS
from tests.support.forks import AnyProcess, Program, fork, run_forked, start_fork_server
from tests.support.waiting import HUNG_SECONDS

ANY_PORT = {
    "ANIME_API_PORTS": "0,0",
    "ANIME_WS_PORT": "0",
    "ANIME_PREFECT_PORT": "0",
    "ANIME_REHEARSAL_PORT": "0",
}


@dataclass
class RunningStack:
    """The stack of one folder, and what terminals there have set; up between start and stop.

    `checkout`: of which project; another one than this has its own `.venv`. `is_forked`: its
    programs are forked from one that has everything loaded, not started as people start them.
    """

    folder: Path
    given: Mapping[str, str] = field(default_factory=dict)
    process: AnyProcess | None = None
    checkout: Path = PROJECT_DIR
    is_forked: bool = False

    @property
    def _anime(self) -> tuple[str, ...]:
        is_this = self.checkout == PROJECT_DIR
        python = sys.executable if is_this else str(self.checkout / ".venv/bin/python")
        return (python, "-m", "anime.cli.app")

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """What a terminal of this stack has set: no address of anything, any free port."""
        bare = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANIME_", "OTEL_", "PREFECT_"))
        }
        own = {"ANIME_HOME": str(self.home), "PREFECT_HOME": str(self.folder / "prefect")}
        return {**bare, **ANY_PORT, **own, **self.given}

    @property
    def record(self) -> StackRecord:
        """What the running stack wrote down.

        Raises:
            StackError: none runs here.
        """
        record = read_record(self.home)
        if record is None:
            raise StackError(f"No stack runs at {self.home}.", f"Read {self.log_file}.")
        return record

    @property
    def log_file(self) -> Path:
        """Where `anime up` writes what it says."""
        return self.folder / "up.log"

    @property
    def log(self) -> str:
        """What `anime up` has said."""
        return self.log_file.read_text()

    async def start(self) -> None:
        """Run `anime up` until it is ready.

        Raises:
            StackError: it ended instead, or took too long.
        """
        self.log_file.write_bytes(b"")
        self.process = await asyncio.to_thread(self._begin)
        try:
            async with asyncio.timeout(HUNG_SECONDS):
                await self._until_ready(self.process)
        except TimeoutError:
            raise self._error("was not ready in time") from None

    def _begin(self) -> AnyProcess:
        if self.is_forked:
            environment = {**self.environment, ADDRESS: start_fork_server()}
            words = ("tests.support.forked_stack", ("up",))
            return fork(Program(*words, environment, self.log_file, self.log_file))
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [*self._anime, "up"],
                env=self.environment,
                cwd=self.checkout,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Press Ctrl-C and wait; the exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, HUNG_SECONDS)

    async def run(
        self,
        *command: str,
        variables: Mapping[str, str] = MappingProxyType({}),
        timeout_seconds: float = HUNG_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a terminal of this stack, with these variables, too."""
        return await asyncio.to_thread(
            subprocess.run,
            list(command),
            env={**self.environment, **variables},
            cwd=self.checkout,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    async def anime(
        self,
        *arguments: str,
        timeout_seconds: float = HUNG_SECONDS,
        is_forked: bool | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run an `anime` command; forked as the stack is, if nothing else is said."""
        if not (self.is_forked if is_forked is None else is_forked):
            return await self.run(*self._anime, *arguments, timeout_seconds=timeout_seconds)
        with tempfile.TemporaryDirectory() as name:
            output, errors = Path(name, "output"), Path(name, "errors")
            program = Program("anime.cli.app", arguments, self.environment, output, errors)
            return await asyncio.to_thread(run_forked, program, timeout_seconds)

    def prefect(self) -> httpx.AsyncClient:
        """A client of the stack's Prefect server."""
        known = self.record.settings
        return httpx.AsyncClient(
            base_url=known["prefect_api_url"],
            auth=basic_auth(known["prefect_api_auth_string"]),
            timeout=HUNG_SECONDS,
            trust_env=False,
        )

    def processes(self) -> set[int]:
        """The pids of everything that `anime up` has started and that still runs."""
        if self.process is None:
            return set()
        try:
            return {
                child.pid for child in psutil.Process(self.process.pid).children(recursive=True)
            }
        except psutil.NoSuchProcess:
            return set()

    async def discard(self) -> None:
        """Stop what runs and delete the database; the rest lies in the folder."""
        if self.process is not None and self.process.poll() is None:
            await self.stop()
        if self.home.exists():  # as root the database lies outside of it
            (await asyncio.to_thread(prepare_postgres, self.home)).discard()

    async def _until_ready(self, process: AnyProcess) -> None:
        while read_record(self.home) is None:
            if process.poll() is not None:
                raise self._error("ended before it was ready")
            await asyncio.sleep(0.05)

    def _error(self, what: str) -> StackError:
        tail = log_tail(self.log_file)
        return StackError(f"`anime up` {what}: {tail}", f"Read {self.log_file}.", log_tail=tail)


StackT = TypeVar("StackT", bound=RunningStack)


@asynccontextmanager
async def running(stack: StackT) -> AsyncIterator[StackT]:
    """The stack, up; its data are deleted in the end."""
    try:
        await stack.start()
        yield stack
    finally:
        await stack.discard()
