"""Nothing that a test has started outlives the suite, whatever ends it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import pytest_asyncio

from anime.settings import PROJECT_DIR
from tests.support.fork_server import ADDRESS
from tests.support.forks import start_fork_server
from tests.support.reaper import folder_of, reap
from tests.support.waiting import HUNG_SECONDS

WORKERS = 2
# As a server that will not stop: deaf, in a session of its own, with a child that is no better.
SERVER = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
with open(os.environ["STARTED"], "a") as started:
    started.write(f"{sys.argv[1]} {os.getpid()}\\n")
time.sleep(3600)
"""
# A shell that starts `make test &` has SIGINT ignored; here a terminal starts it.
PYTEST = """
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main(sys.argv[1:]))
"""
SAMPLE = f"""
import os, subprocess, sys, time, pytest

@pytest.fixture(scope="session")
def server():
    command = [sys.executable, "-c", {SERVER!r}, str(os.getpid())]
    return subprocess.Popen(command, start_new_session=True)

def test_sample(server):
    time.sleep(3600)
"""


class SampleSuite:
    """pytest with two workers, each of which has started a server and now runs a test."""

    def __init__(self, process: Process, servers: dict[int, list[psutil.Process]]) -> None:
        self.process = process
        self.servers = servers  # by the worker's pid

    def left(self, *workers: int) -> list[psutil.Process]:
        """What of these workers' servers still runs, after all the time there is."""
        servers = [server for worker in workers for server in self.servers[worker]]
        return psutil.wait_procs(servers, HUNG_SECONDS)[1]


@pytest_asyncio.fixture
async def suite(tmp_path: Path) -> AsyncIterator[SampleSuite]:
    for name in "ab":
        (tmp_path / f"test_{name}.py").write_text(SAMPLE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PYTEST, "-p", "xdist", "-p", "tests.scheduling"),
        *("-p", "tests.support.reaper", "-p", "tests.support.forked_workers"),
        *("-p", "no:cacheprovider"),
        *("--numprocesses", str(WORKERS), "--rootdir", str(tmp_path), str(tmp_path)),
        env={
            "PYTHONPATH": str(PROJECT_DIR),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "STARTED": str(tmp_path / "started"),
            ADDRESS: start_fork_server(),
        },
        cwd=tmp_path,
        stdin=DEVNULL,
        stdout=DEVNULL,
        start_new_session=True,
    )
    try:
        yield SampleSuite(process, await _servers(process, tmp_path / "started"))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _servers(process: Process, started: Path) -> dict[int, list[psutil.Process]]:
    """Two processes for each worker, once all are started."""
    async with asyncio.timeout(HUNG_SECONDS):
        while not started.exists() or len(started.read_text().splitlines()) < 2 * WORKERS:
            assert process.returncode is None, "the sample suite has ended"
            await asyncio.sleep(0.05)
    servers: dict[int, list[psutil.Process]] = {}
    for line in started.read_text().splitlines():
        worker, pid = map(int, line.split())
        servers.setdefault(worker, []).append(psutil.Process(pid))
    assert [len(each) for each in servers.values()] == [2] * WORKERS
    return servers


def test_what_lies_in_memory_is_deleted_in_the_end() -> None:
    mark = uuid4().hex
    folder = folder_of(mark)
    folder.mkdir()
    (folder / "data").touch()
    reap(0, mark)  # nobody's child
    assert not folder.exists()


async def test_ctrl_c_leaves_nothing_running(suite: SampleSuite) -> None:
    os.killpg(suite.process.pid, signal.SIGINT)  # as a terminal does
    assert await asyncio.to_thread(suite.left, *suite.servers) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_no_signal_to_pytest_leaves_anything_running(
    suite: SampleSuite, number: signal.Signals
) -> None:
    suite.process.send_signal(number)
    assert await asyncio.to_thread(suite.left, *suite.servers) == []
    workers = [psutil.Process(pid) for pid in suite.servers if psutil.pid_exists(pid)]
    assert psutil.wait_procs(workers, HUNG_SECONDS)[1] == []


async def test_what_a_killed_worker_has_started_ends_while_the_suite_goes_on(
    suite: SampleSuite,
) -> None:
    killed, other = suite.servers
    os.kill(killed, signal.SIGKILL)
    assert await asyncio.to_thread(suite.left, killed) == []
    assert all(server.is_running() for server in suite.servers[other])
    assert suite.process.returncode is None
