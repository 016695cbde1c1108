"""Workers of pytest-xdist that are forked from a process which has collected the tests.

    python -S -m tests.support.forked_workers -u -c CODE
    python -m tests.support.forked_workers serve PYTEST_ARGUMENT…

A worker that starts as ever loads and collects everything for itself, six seconds of CPU each.
What execnet starts in place of Python is this module: it hands its input and output to a server,
which forks the worker, and ends when that does.
"""

import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.fork_server import NUMBER, ForkServer, Order, assert_single_thread

if TYPE_CHECKING:
    import pytest

ADDRESS = "TESTS_WORKER_SERVER"  # the variable that has it


def pytest_configure(config: "pytest.Config") -> None:
    """Let execnet start workers that are forked; they wait until all is collected."""
    options = config.option
    if not getattr(options, "numprocesses", None) or options.collectonly:
        return
    from tests.support.forks import start_worker_server  # what a worker need not import

    os.environ[ADDRESS] = start_worker_server(config.invocation_params.args)
    options.tx = [f"popen//python={sys.executable} -S -m {__name__}"] * len(options.tx)


def serve(arguments: list[str]) -> None:
    """Collect the tests of these arguments of pytest, then fork a worker for each who connects.

    Standard input is the listening socket.
    """
    import pytest

    pytest.main([*arguments, "--collect-only", "-qqq"])  # a worker tells what is wrong with them
    sys.stdout.flush()  # or each worker would say it again, to who expects an answer
    assert_single_thread()
    listener = socket.socket(fileno=0)
    ForkServer(listener, ends_with_input=False).run()


def launch(code: str) -> int:
    """Have a worker forked that runs the code; its exit status."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[ADDRESS])
        order = Order("tests.support.forked_code", [code], dict(os.environ), os.getcwd())  # noqa: PTH109
        order.send(connection, [0, 1, 2])
        for descriptor in (0, 1):
            os.close(descriptor)  # so that the worker's end is theirs, too
        (pid,) = NUMBER.unpack(connection.recv(NUMBER.size, socket.MSG_WAITALL))
        for number in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to this group
            signal.signal(number, lambda number, _: _pass_on(pid, number))
        answer = connection.recv(NUMBER.size, socket.MSG_WAITALL)
        return abs(NUMBER.unpack(answer)[0]) if answer else 1


def _pass_on(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:  # execnet's `python -u -c CODE`
        sys.exit(launch(sys.argv[-1]))
