"""Calls that may hang, such as DNS or a dead network mount, in threads of their own.

asyncio's own pool has a few threads for everything: a few calls that hang would block all others,
and keep the process from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class BoundedThreads:
    """At most so many threads at a time, for one event loop; those whose call hangs are counted."""

    def __init__(self, name: str, at_most: int) -> None:
        self._name = name
        self._free = asyncio.Semaphore(at_most)

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

        def work() -> None:
            try:
                result.set_result(call())
            except Exception as fault:  # noqa: BLE001  raised where the result is waited for
                result.set_exception(fault)

        def release(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(self._free.release)

        result.add_done_callback(release)
        try:
            threading.Thread(target=work, name=self._name, daemon=True).start()
        except RuntimeError as fault:  # the system has no more threads
            result.set_exception(fault)
        return asyncio.wrap_future(result)
