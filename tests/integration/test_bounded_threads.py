"""Calls that may hang, in threads of their own."""

import asyncio
import sys
import threading
import time
from functools import partial

import pytest

from anime.net import bounded_threads
from anime.net.bounded_threads import BoundedThreads
from tests.support.waiting import HUNG_SECONDS

SECONDS = HUNG_SECONDS
HANGING = """
import asyncio, threading
from anime.net.bounded_threads import BoundedThreads

async def main():
    try:
        await BoundedThreads("test", 1).run(threading.Event().wait, timeout_seconds=0.1)
    except TimeoutError:
        print("left", flush=True)

asyncio.run(main())
"""


async def test_it_gives_what_the_call_gives_and_raises_what_it_raises() -> None:
    threads = BoundedThreads("test", 1)
    assert await threads.run(lambda: int("7"), timeout_seconds=SECONDS) == 7
    with pytest.raises(ValueError, match="seven"):
        await threads.run(lambda: int("seven"), timeout_seconds=SECONDS)
    assert await threads.run(lambda: int("8"), timeout_seconds=SECONDS) == 8


async def test_a_call_that_hangs_keeps_its_thread_and_no_more_are_started() -> None:
    threads, released = BoundedThreads("test", 2), threading.Event()
    begun = list[int]()

    def hang() -> None:
        begun.append(1)
        released.wait()

    for _ in range(4):
        with pytest.raises(TimeoutError):
            await threads.run(hang, timeout_seconds=0.2)
    assert len(begun) == 2
    released.set()
    assert await threads.run(lambda: "free again", timeout_seconds=SECONDS) == "free again"


async def test_one_call_after_the_other_takes_one_thread_which_ends_when_none_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = BoundedThreads("one of many", 4)
    seen = {await threads.run(threading.get_ident, timeout_seconds=SECONDS) for _ in range(50)}
    assert len(seen) == 1
    monkeypatch.setattr(bounded_threads, "IDLE_SECONDS", 0.0)
    await threads.run(lambda: None, timeout_seconds=SECONDS)
    async with asyncio.timeout(SECONDS):
        while any(each.name == "one of many" for each in threading.enumerate()):
            await asyncio.sleep(0.01)
    assert await threads.run(lambda: "another", timeout_seconds=SECONDS) == "another"


async def test_many_calls_at_a_time_take_no_more_threads_than_allowed_and_all_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_threads, "IDLE_SECONDS", 0.0)  # so that threads end all the time
    threads = BoundedThreads("of three", 3)
    most = 0

    def count(number: int) -> int:
        nonlocal most
        most = max(most, sum(each.name == "of three" for each in threading.enumerate()))
        return number

    for _ in range(20):
        calls = [threads.run(partial(count, n), timeout_seconds=SECONDS) for n in range(20)]
        assert await asyncio.gather(*calls) == list(range(20))
    assert most <= 6, "of those that are about to end, three may still be there"


async def test_who_is_cancelled_while_it_waits_for_a_thread_takes_none() -> None:
    threads, released = BoundedThreads("test", 1), threading.Event()
    first = asyncio.create_task(threads.run(released.wait, timeout_seconds=SECONDS))
    second = asyncio.create_task(threads.run(released.wait, timeout_seconds=SECONDS))
    await asyncio.sleep(0)  # both have begun: one has the thread, the other waits
    second.cancel()
    released.set()
    assert await first
    assert await threads.run(lambda: 7, timeout_seconds=SECONDS) == 7


async def test_a_process_ends_although_a_call_hangs() -> None:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HANGING, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert (out, process.returncode) == (b"left\n", 0), time.monotonic() - began
