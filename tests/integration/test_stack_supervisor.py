"""The supervisor with small programs that do as they are told."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from anime.errors import StackError
from anime.retry_policies import PART_RESTART
from anime.stack import logs
from anime.stack import supervisor as module
from anime.stack.parts import Part, PartState, PartStatus
from anime.stack.process import run
from anime.stack.supervisor import Supervisor
from tests.support.waiting import HUNG_SECONDS

SLEEPS = "import time; time.sleep(60)"
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(61)"]).wait()
"""


class Watched:
    """A supervisor, and all that it said."""

    def __init__(self) -> None:
        self.said: list[PartStatus] = []
        self._news = asyncio.Event()
        self.supervisor = Supervisor(self._note)

    def _note(self, status: PartStatus) -> None:
        self.said.append(status)
        self._news.set()

    def pid(self, name: str) -> int:
        return self.supervisor.running()[name].pid

    def times(self, state: PartState) -> int:
        return sum(status.state is state for status in self.said)

    async def until(self, state: PartState, times: int = 1) -> None:
        async with asyncio.timeout(HUNG_SECONDS):
            while self.times(state) < times:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    await watched.supervisor.stop()


@pytest.fixture
def quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = replace(PART_RESTART, first_seconds=0.01)
    monkeypatch.setattr(module, "PART_RESTART", soon)


def program(tmp_path: Path, code: str, name: str = "part", **options: object) -> Part:
    settled: dict[str, object] = {"start_timeout_seconds": HUNG_SECONDS} | options
    return Part(
        name=name,
        command=(sys.executable, "-c", code),
        log=tmp_path / f"{name}.log",
        environment=dict(os.environ),
        folder=tmp_path,
        **settled,  # type: ignore[arg-type]  # fields of Part, by name
    )


def log_says(path: Path, word: str) -> Callable[[float], Awaitable[bool]]:
    async def is_ready(_: float) -> bool:
        return path.exists() and word in path.read_text()

    return is_ready


async def until_gone(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(pid).wait, HUNG_SECONDS)


async def test_a_part_is_ready_when_its_probe_says_so(watched: Watched, tmp_path: Path) -> None:
    code = "import time; time.sleep(0.3); print('open', flush=True); time.sleep(60)"
    part = program(tmp_path, code, is_ready=log_says(tmp_path / "part.log", "open"))
    await watched.supervisor.start(part)
    assert [status.state for status in watched.said] == [PartState.STARTING, PartState.READY]
    assert watched.said[-1].seconds >= 0.3


async def test_a_part_that_ends_at_once_is_an_error_with_the_end_of_its_log(
    watched: Watched, tmp_path: Path
) -> None:
    part = program(
        tmp_path,
        "import sys; sys.exit('no such colour')",
        is_ready=log_says(tmp_path / "x", "never"),
    )
    with pytest.raises(StackError, match=r"part did not start \(exit status 1\)") as caught:
        await watched.supervisor.start(part)
    assert caught.value.log_tail == "no such colour"


async def test_a_program_that_does_not_exist_is_named(watched: Watched, tmp_path: Path) -> None:
    never = log_says(tmp_path / "x", "never")
    part = Part("part", ("/nowhere/bin/x",), tmp_path / "part.log", {}, tmp_path, is_ready=never)
    with pytest.raises(StackError) as caught:
        await watched.supervisor.start(part)
    assert "/nowhere/bin/x cannot be started: No such file" in caught.value.log_tail


async def test_a_part_that_is_never_ready_is_stopped_again(
    watched: Watched, tmp_path: Path
) -> None:
    never = log_says(tmp_path / "x", "never")
    part = program(tmp_path, SLEEPS, is_ready=never, start_timeout_seconds=0.5)
    with pytest.raises(StackError, match="not ready in time"):
        await watched.supervisor.start(part)
    assert not psutil.pid_exists(watched.pid("part"))


WORKS = """
import time
end = time.monotonic() + float("inf")
while time.monotonic() < end:
    until = time.process_time() + 0.02  # now and then, which is enough
    while time.process_time() < until: pass
    time.sleep(0.2)
"""
WRITES = """
import itertools, time
for number in itertools.count():
    print(number, flush=True)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("code", [WORKS, WRITES], ids=["uses the processor", "writes its log"])
async def test_a_part_that_still_works_is_waited_for_and_said_to_be(
    watched: Watched, tmp_path: Path, code: str
) -> None:
    opened = asyncio.Event()

    async def is_ready(_: float) -> bool:
        return opened.is_set()

    part = program(tmp_path, code, is_ready=is_ready, start_timeout_seconds=4)
    start = asyncio.create_task(watched.supervisor.start(part))
    await watched.until(PartState.STARTING, times=2)
    assert "still at work" in watched.said[-1].detail
    assert not start.done()
    opened.set()
    await start
    assert [status.state for status in watched.said] == [
        *(PartState.STARTING, PartState.STARTING, PartState.READY)
    ]


async def test_a_part_that_works_and_works_is_given_up_in_the_end(
    watched: Watched, tmp_path: Path
) -> None:
    never = log_says(tmp_path / "x", "never")
    part = program(
        tmp_path, WORKS, is_ready=never, start_timeout_seconds=0.5, start_limit_seconds=2
    )
    with pytest.raises(StackError, match="not ready in time"):
        await watched.supervisor.start(part)
    assert not psutil.pid_exists(watched.pid("part"))


async def test_a_step_that_still_works_is_waited_for(tmp_path: Path) -> None:
    await run(program(tmp_path, WORKS.replace("inf", "5"), start_timeout_seconds=3))


async def test_a_part_gives_way_only_once_it_is_ready_and_with_all_its_threads(
    watched: Watched, tmp_path: Path
) -> None:
    code = """
import os, threading, time
threading.Thread(target=time.sleep, args=[60], daemon=True).start()
print("niceness", os.nice(0), flush=True)
time.sleep(60)
"""
    log = tmp_path / "part.log"
    await watched.supervisor.start(
        program(tmp_path, code, niceness=5, is_ready=log_says(log, "niceness"))
    )
    own = psutil.Process().nice()
    assert log.read_text() == f"niceness {own}\n"
    process = psutil.Process(watched.pid("part"))
    assert [os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads()] == [
        *(own + 5, own + 5)
    ]


@pytest.mark.usefixtures("quick_restarts")
async def test_a_part_that_works_behind_gives_way(watched: Watched, tmp_path: Path) -> None:
    await watched.supervisor.start(
        program(
            tmp_path,
            "print('on', flush=True); " + SLEEPS,
            niceness=5,
            is_ready=log_says(tmp_path / "part.log", "on"),
        )
    )
    assert psutil.Process(watched.pid("part")).nice() == psutil.Process().nice() + 5


async def test_a_killed_part_is_started_anew(watched: Watched, tmp_path: Path) -> None:
    await watched.supervisor.start(program(tmp_path, SLEEPS))
    first = watched.pid("part")
    os.kill(first, signal.SIGKILL)
    await watched.until(PartState.READY, times=2)
    assert watched.pid("part") != first
    assert any("killed by SIGKILL" in status.detail for status in watched.said)


@pytest.mark.usefixtures("quick_restarts")
async def test_a_part_that_keeps_dying_is_given_up_and_named(
    watched: Watched, tmp_path: Path
) -> None:
    given_up = asyncio.Event()
    watched.supervisor.on_failure(given_up.set)
    await watched.supervisor.start(program(tmp_path, "print('ouch'); raise SystemExit(7)"))
    async with asyncio.timeout(HUNG_SECONDS):
        await given_up.wait()
    assert watched.times(PartState.DIED) == 3
    assert "part died again and again (exit status 7)" in str(watched.supervisor.failure)
    assert watched.supervisor.failure is not None
    assert "ouch" in watched.supervisor.failure.log_tail


async def test_stages_stop_in_reverse_order(watched: Watched, tmp_path: Path) -> None:
    await watched.supervisor.start(program(tmp_path, SLEEPS, "first"))
    await watched.supervisor.start(program(tmp_path, SLEEPS, "second"))
    await watched.supervisor.stop()
    stopped = [status.name for status in watched.said if status.state is PartState.STOPPED]
    assert stopped == ["second", "first"]


async def test_a_part_deaf_to_its_signal_is_killed(watched: Watched, tmp_path: Path) -> None:
    deaf = log_says(tmp_path / "part.log", "deaf")
    part = program(tmp_path, DEAF, is_ready=deaf, stop_timeout_seconds=0.3)
    await watched.supervisor.start(part)
    pid = watched.pid("part")
    await watched.supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_what_a_part_started_ends_with_it(watched: Watched, tmp_path: Path) -> None:
    async def has_child(_: float) -> bool:
        return bool(psutil.Process(watched.pid("part")).children())

    await watched.supervisor.start(program(tmp_path, PARENT, is_ready=has_child))
    grandchild = psutil.Process(watched.pid("part")).children()[0].pid
    await watched.supervisor.stop()
    await until_gone(grandchild)
    assert not psutil.pid_exists(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of the death")
async def test_a_part_ends_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    supervising = f"""
import asyncio, sys
from pathlib import Path
from anime.stack.parts import Part
from anime.stack.supervisor import Supervisor
async def main():
    here = Path({str(tmp_path)!r})
    part = Part("part", (sys.executable, "-c", {SLEEPS!r}), here / "part.log", {{}}, here)
    keeper = Supervisor()
    await keeper.start(part)
    print(keeper.running()["part"].pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", supervising, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    part_pid = int(await asyncio.wait_for(process.stdout.readline(), HUNG_SECONDS))
    process.kill()
    await process.wait()
    await until_gone(part_pid)
    assert not psutil.pid_exists(part_pid)


async def test_children_take_sigint_even_if_we_ignore_it(tmp_path: Path) -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a script's `anime up &`
    watched = Watched()
    try:
        code = "import signal; print(signal.getsignal(signal.SIGINT).__name__)"
        await run(program(tmp_path, code))
    finally:
        signal.signal(signal.SIGINT, previous)
        await watched.supervisor.stop()
    assert (tmp_path / "part.log").read_text().strip() == "default_int_handler"


async def test_a_step_that_fails_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"failed \(exit status 2\)") as caught:
        await run(program(tmp_path, "print('refused'); raise SystemExit(2)"))
    assert caught.value.log_tail == "refused"


async def test_a_step_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="took too long"):
        await run(program(tmp_path, SLEEPS, start_timeout_seconds=0.3))


async def test_a_full_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_bytes(b"x" * 10_000_001)
    await run(program(tmp_path, "print('fresh')"))
    assert log.read_text() == "fresh\n"
    assert log.with_name("part.log.1").stat().st_size == 10_000_001


@pytest.fixture
def small_logs(monkeypatch: pytest.MonkeyPatch) -> int:
    """So many bytes fill a log."""
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 10_000)
    return 10_000


def numbers_in(*files: Path) -> list[int]:
    found: list[int] = []
    for file in files:
        with suppress(FileNotFoundError):
            found += map(int, file.read_text().splitlines())
    return found


async def test_a_log_that_fills_while_the_part_runs_is_put_aside_and_no_line_is_lost(
    watched: Watched, tmp_path: Path, small_logs: int
) -> None:
    code = "for number in range(3000): print(number, flush=True)\nimport time; time.sleep(60)"
    log, aside = tmp_path / "part.log", tmp_path / "part.log.1"

    async def is_ready(_: float) -> bool:
        return 2999 in numbers_in(aside, log)

    await watched.supervisor.start(program(tmp_path, code, is_ready=is_ready))
    assert numbers_in(aside, log) == [*range(3000)]
    assert log.stat().st_size < small_logs < aside.stat().st_size


async def test_the_logs_of_a_part_that_says_much_stay_bounded(
    tmp_path: Path, small_logs: int
) -> None:
    code = "for number in range(100_000): print(number, flush=True)"
    await run(program(tmp_path, code))
    log, aside = tmp_path / "part.log", tmp_path / "part.log.1"
    kept = numbers_in(aside, log)
    assert kept == [*range(100_000 - len(kept), 100_000)]
    assert log.stat().st_size + aside.stat().st_size < 2 * (small_logs + logs.CHUNK_BYTES)
    assert {path.name for path in tmp_path.iterdir()} == {"part.log", "part.log.1"}


async def test_a_part_is_not_held_up_while_the_supervisor_is_busy(
    watched: Watched, tmp_path: Path
) -> None:
    code = f"""
from pathlib import Path
print("x" * 1_000_000, flush=True)
Path({str(tmp_path / "said")!r}).touch()
import time; time.sleep(60)
"""
    await watched.supervisor.start(program(tmp_path, code))
    end = time.monotonic() + HUNG_SECONDS
    while not (tmp_path / "said").exists():  # nothing else is done in this loop meanwhile
        assert time.monotonic() < end
        time.sleep(0.01)  # noqa: ASYNC251
