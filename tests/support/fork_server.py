"""Forks programs from a process that has all modules loaded, in a tenth of a second of CPU.

    python -m tests.support.fork_server DESCRIPTOR

DESCRIPTOR is a listening socket. The server ends with its standard input. Whoever connects sends
one order, gets the pid of the program and, once that has ended, its exit status. A program ends
with the connection of who has ordered it.
"""

import atexit
import json
import logging
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from runpy import run_module
from typing import NoReturn

from anime.stack.prefect_command import PROGRAM

LENGTH = struct.Struct("!I")  # of an order
NUMBER = struct.Struct("!i")  # a pid; an exit status, negative for a signal
MOST_DESCRIPTORS = 16
ADDRESS = "TESTS_FORK_SERVER"  # the variable that has it
OPTIONS = ["-P", "-m"]  # of Python, with which our programs are started
WITHOUT_PREFECT = "anime.assets.limited_process"  # started most often; the rest may ask Prefect


@dataclass(frozen=True)
class Order:
    """`python -P -m MODULE ARGUMENTS`, in that folder, with these variables and no others."""

    module: str
    arguments: Sequence[str]
    environment: dict[str, str]
    folder: str

    def send(self, connection: socket.socket, descriptors: Sequence[int]) -> None:
        """Order the program; the first three descriptors are its input, output and errors."""
        text = json.dumps(asdict(self)).encode()
        socket.send_fds(connection, [LENGTH.pack(len(text))], list(descriptors))
        connection.sendall(text)

    @classmethod
    def receive(cls, connection: socket.socket) -> "tuple[Order, list[int]]":
        """The order and its descriptors.

        Raises:
            EOFError: nothing was ordered.
        """
        head, descriptors, *_ = socket.recv_fds(connection, LENGTH.size, MOST_DESCRIPTORS)
        if not head:
            raise EOFError
        with connection.makefile("rb") as text:
            return cls(**json.loads(text.read(*LENGTH.unpack(head)))), descriptors

    def run(self, descriptors: Sequence[int]) -> NoReturn:
        """Become that program, in a process that was forked for it."""
        os.setsid()
        for standard, given in enumerate(descriptors[:3]):
            os.dup2(given, standard)
            os.close(given)
        os.chdir(self.folder)
        os.execve = _execute  # type: ignore[assignment]
        self.go_on()

    def go_on(self) -> NoReturn:
        """Become that program, with what is open, as `exec` does."""
        os.environ.clear()
        os.environ.update(self.environment)
        sys.argv = [self.module, *self.arguments]
        sys.orig_argv[:] = [sys.executable, *OPTIONS, self.module, *self.arguments]
        is_unbuffered = bool(self.environment.get("PYTHONUNBUFFERED"))
        # As an interpreter opens them: those of the server know the files that it was given.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout.reconfigure(write_through=is_unbuffered)
        sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        _read_settings_anew(self.module)
        status: int | str | None = 0
        try:
            run_module(self.module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
        except KeyboardInterrupt:
            status = -signal.SIGINT
        except BaseException:  # noqa: BLE001  as the interpreter does
            traceback.print_exc()
            status = 1
        _end(status)


_execve = os.execve


def _execute(path: str, command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """`os.execve`, but that another of our programs needs no new interpreter."""
    python, *words = command
    if python == sys.executable and words[:2] == OPTIONS:
        Order(words[2], words[3:], dict(environment), str(Path.cwd())).go_on()
    _execve(path, tuple(command), environment)


def _end(status: int | str | None) -> NoReturn:
    """End as an interpreter does, which `os._exit` leaves out."""
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status or 0)


def _read_settings_anew(module: str) -> None:
    """Forget what the server has read of its own environment."""
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    from anime.settings import get_settings

    if module != WITHOUT_PREFECT:
        refresh_global_settings_context()
    get_settings.cache_clear()
    logging.root.handlers.clear()
    if module in {"prefect", PROGRAM[-1]}:  # others import it later, if at all
        setup_logging(incremental=False)


def assert_single_thread() -> None:
    """Make sure that no thread runs, not even one of a library: a forked process would miss it."""
    tasks = Path("/proc/self/task")
    count = len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()
    assert count == 1, "what a thread holds is held for ever in a forked process"


class ForkServer:
    """Its programs, and those who have ordered them."""

    def __init__(self, listener: socket.socket, *, ends_with_input: bool) -> None:
        self._listener = listener
        self._ends_with = [sys.stdin] if ends_with_input else []
        self._selector = selectors.DefaultSelector()
        self._pids: dict[socket.socket, int] = {}

    def run(self) -> None:
        """Fork what is ordered, until standard input ends, if that is to end it."""
        ended, wake = socket.socketpair()
        for each in (ended, wake):
            each.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno())
        for source in (*self._ends_with, self._listener, ended):
            self._selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    for connection in list(self._pids):
                        self._end(connection)
                    signal.set_wakeup_fd(-1)
                    return
                if key.fileobj is self._listener:
                    self._begin(self._listener.accept()[0])
                elif key.fileobj is ended:
                    ended.recv(4096)
                    self._report_ended()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pids:
                    self._end(key.fileobj)  # it has nothing to say but that it is gone

    def _begin(self, connection: socket.socket) -> None:
        try:
            order, descriptors = Order.receive(connection)
        except (EOFError, OSError):
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            self._forget(connection)
            order.run(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._pids[connection] = pid
        self._selector.register(connection, selectors.EVENT_READ)
        with suppress(OSError):
            connection.sendall(NUMBER.pack(pid))

    def _forget(self, *connections: socket.socket) -> None:
        """Leave nothing of the server in a forked process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A shell's background job hands on that Ctrl-C is to be ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for each in (self._listener, *connections, *self._pids):
            each.close()

    def _report_ended(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for connection in [each for each, of in self._pids.items() if of == pid]:
                with suppress(OSError):
                    connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))
                self._drop(connection)

    def _end(self, connection: socket.socket) -> None:
        pid = self._pids[connection]
        self._drop(connection)
        for kill in (os.killpg, os.kill):  # it may have no group of its own yet
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._pids[connection]
        connection.close()


def serve(listener: socket.socket) -> None:
    """Load everything, then fork what is ordered at that socket."""
    for module in ("tests.support.preloaded", "tests.support.frozen"):
        import_module(module)
    try:
        ForkServer(listener, ends_with_input=True).run()
    finally:
        shutil.rmtree(Path(listener.getsockname()).parent)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
