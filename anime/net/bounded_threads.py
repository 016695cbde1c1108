"""Calls that may hang, such as DNS or a dead network mount, in threads of their own.

asyncio's own pool has a few threads for everything: a few calls that hang would block all others,
and keep the process from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

IDLE_SECONDS = 10.0  # how long a thread waits for another call: to start one costs 0.2 ms


class BoundedThreads:
    """At most so many threads at a time, for one event loop; those whose call hangs are counted."""

    def __init__(self, name: str, at_most: int) -> None:
        self._name = name
        self._free = asyncio.Semaphore(at_most)
        self._calls: SimpleQueue[Callable[[], Callable[[], None]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0  # threads that wait for a call, and are not promised one

    async def run(self, call: Callable[[], T], *, timeout_seconds: float) -> T:
        """What the call returns or raises.

        Raises:
            TimeoutError: no thread became free, or the call did not end, within that time. The
                thread cannot be stopped: it is free again when the call ends.
        """
        async with asyncio.timeout(timeout_seconds):
            await self._free.acquire()
            return await self._start(call)

    def _start(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        result: Future[T] = Future()
        result.set_running_or_notify_cancel()  # cancelling the wait does not cancel the call

        def work() -> Callable[[], None]:
            try:
                value = call()
            except BaseException as fault:  # noqa: BLE001  raised where the result is waited for
                error = fault
                return lambda: result.set_exception(error)
            return lambda: result.set_result(value)

        def release(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(self._free.release)

        result.add_done_callback(release)
        try:
            self._hand_over(work)
        except RuntimeError as fault:  # the system has no more threads
            result.set_exception(fault)
        return asyncio.wrap_future(result)

    def _hand_over(self, work: Callable[[], Callable[[], None]]) -> None:
        with self._lock:
            is_promised = self._idle > 0
            self._idle -= is_promised
        if is_promised:
            self._calls.put(work)
        else:
            threading.Thread(target=self._serve, args=(work,), name=self._name, daemon=True).start()

    def _serve(self, work: Callable[[], Callable[[], None]]) -> None:
        """Do the work, and then what else there is, until nothing has come for a while."""
        while True:
            tell = work()
            with self._lock:
                self._idle += 1  # before anybody knows: the next call needs no other thread
            tell()
            try:
                work = self._calls.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        return
                work = self._calls.get()  # it was promised in this moment
