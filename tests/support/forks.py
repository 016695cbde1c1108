"""Programs forked from a process that has all modules loaded, in a tenth of a second of CPU.

To start one as `python -m` takes two seconds, nearly all of them imports. What a program finds is
the same: its environment, folder, arguments and output, and settings that nothing has read yet.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL
from typing import Self, TypeAlias

from anime.settings import PROJECT_DIR
from tests.support.fork_server import ADDRESS, NUMBER, OPTIONS, Order
from tests.support.waiting import HUNG_SECONDS

# For functions of ours, not for programs. A process has one such server, whatever its tests fork.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.faults.children", "tests.support.frozen"])


@dataclass(frozen=True)
class Program:
    """`python -P -m MODULE ARGUMENTS`, run in that folder."""

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    output: Path = Path(os.devnull)
    errors: Path = Path(os.devnull)
    folder: Path = PROJECT_DIR

    @property
    def command(self) -> list[str]:
        """How one would start it."""
        return [sys.executable, *OPTIONS, self.module, *self.arguments]

    @property
    def order(self) -> Order:
        """What the fork server is told."""
        return Order(self.module, self.arguments, dict(self.environment), str(self.folder))


class ForkedProgram:
    """A running program, to be used like `subprocess.Popen`; it ends with this process."""

    def __init__(self, command: list[str], connection: socket.socket, pid: int) -> None:
        self.command = command
        self.pid = pid
        self._connection = connection
        self._status: int | None = None

    @classmethod
    def begin(cls, program: Program, descriptors: Sequence[int]) -> Self:
        """The program, running; the descriptors are its input, output, errors and more."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(start_fork_server())
            program.order.send(connection, descriptors)
            connection.settimeout(HUNG_SECONDS)
            (pid,) = NUMBER.unpack(_received(connection))
        except BaseException:
            connection.close()
            raise
        return cls(program.command, connection, pid)

    def poll(self) -> int | None:
        """Its exit status once it has ended; negative, the signal that has killed it."""
        with suppress(BlockingIOError, subprocess.TimeoutExpired):
            self.wait(0)
        return self._status

    def wait(self, timeout_seconds: float) -> int:
        """Its exit status, when it has ended.

        Raises:
            TimeoutExpired: it goes on.
        """
        if self._status is None:
            self._connection.settimeout(timeout_seconds)
            try:
                self._note_end(_received(self._connection))
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.command, timeout_seconds) from None
        assert self._status is not None
        return self._status

    async def ended(self) -> int:
        """Its exit status, when it has ended; for one at a time, and no other thread."""
        if self._status is None:
            self._connection.setblocking(False)
            loop = asyncio.get_running_loop()
            self._note_end(await loop.sock_recv(self._connection, NUMBER.size))
        assert self._status is not None
        return self._status

    def send_signal(self, number: int) -> None:
        """Send the signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(SIGKILL)

    def _note_end(self, answer: bytes) -> None:
        if not answer:
            raise ConnectionError("The fork server has ended.")
        (self._status,) = NUMBER.unpack(answer)
        self._connection.close()


def _received(connection: socket.socket) -> bytes:
    return connection.recv(NUMBER.size, socket.MSG_WAITALL)


class PipedProgram:
    """A running program, to be used like `asyncio.subprocess.Process`."""

    def __init__(self, forked: ForkedProgram, *pipes: asyncio.StreamReader) -> None:
        self.pid = forked.pid
        self._forked = forked
        self._pipes = pipes
        self._end = asyncio.create_task(forked.ended())

    @property
    def stdout(self) -> asyncio.StreamReader:
        return self._pipes[0]

    @property
    def stderr(self) -> asyncio.StreamReader:
        return self._pipes[1]

    @property
    def returncode(self) -> int | None:
        return self._end.result() if self._end.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    async def communicate(self) -> tuple[bytes, bytes]:
        out, err, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return out, err

    def send_signal(self, number: int) -> None:
        if not self._end.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(SIGKILL)


AnyProcess: TypeAlias = ForkedProgram | subprocess.Popen[bytes]


@cache
def start_fork_server() -> str:
    """The address of the fork server, which is started unless another process has done so."""
    if given := os.environ.get(ADDRESS):
        return given
    os.environ[ADDRESS] = path = str(Path(tempfile.mkdtemp(prefix="anime-forks-"), "socket"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)  # orders wait there until everything is loaded
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(listener.fileno())],
            cwd=PROJECT_DIR,
            stdin=subprocess.PIPE,  # ends when this process does, and the server with it
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    _servers.append(server)
    return path


_servers: list["subprocess.Popen[bytes]"] = []
_worker_servers: list[ForkedProgram] = []  # each ends once nothing refers to it


def start_worker_server(arguments: Sequence[str]) -> str:
    """The address of a server that forks workers of pytest, which have collected its tests."""
    path = str(Path(start_fork_server()).with_name(f"workers-{os.getpid()}"))
    program = Program(
        "tests.support.forked_workers", ["serve", *arguments], os.environ, folder=Path.cwd()
    )
    with socket.socket(socket.AF_UNIX) as listener, Path(os.devnull).open("wb") as nothing:
        listener.bind(path)
        listener.listen(64)  # orders wait there until all is collected
        given = [listener.fileno(), nothing.fileno(), nothing.fileno()]
        _worker_servers.append(ForkedProgram.begin(program, given))
    return path


def stop_fork_server() -> None:
    """End the one that this process has started, and what it has forked."""
    for server in _servers:
        server.communicate(timeout=HUNG_SECONDS)
    _servers.clear()
    start_fork_server.cache_clear()


def spawn(program: Program) -> "subprocess.Popen[bytes]":
    """The program, started as people start it."""
    with program.output.open("ab") as output, program.errors.open("ab") as errors:
        return subprocess.Popen(
            program.command,
            env=program.environment,
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )


def fork(program: Program) -> ForkedProgram:
    """The program, running."""
    with (
        Path(os.devnull).open("rb") as nothing,
        program.output.open("ab") as output,
        program.errors.open("ab") as errors,
    ):
        return ForkedProgram.begin(program, [file.fileno() for file in (nothing, output, errors)])


async def fork_with_pipes(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    errors_to_output: bool = False,
) -> PipedProgram:
    """The program, running, with pipes to its output and its errors, or one for both."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    (output, to_output), (errors, to_errors) = os.pipe(), os.pipe()
    given = [nothing, to_output, to_output if errors_to_output else to_errors]
    try:
        program = Program(module, arguments, environment)
        forked = await asyncio.to_thread(ForkedProgram.begin, program, given)
    finally:
        for descriptor in (nothing, to_output, to_errors):
            os.close(descriptor)
    return PipedProgram(forked, await _reader(output), await _reader(errors))


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader


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
