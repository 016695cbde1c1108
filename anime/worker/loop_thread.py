"""A thread with an event loop of its own, in which one run at a time is at home.

A run that blocks its loop, or leaves threads and tasks behind, does so to nobody else, and an
exception thrown into its thread hits nobody else.
"""

import asyncio
import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from anime.worker.prefect_internals import warm_client
from anime.worker.run_control import RunEnded

T = TypeVar("T")
_STACK_LINES = 3


class LoopThreadLost(Exception):
    """The lane ended under its run, or the run could not be moved to leave it."""


class LoopThread:
    """One lane. All methods but those with an underscore are for the worker's thread."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._loop = asyncio.new_event_loop()
        self._context: Context = copy_context()  # Prefect's settings come with it
        self._result: Future[Any] | None = None  # of whatever the run gives
        self._task: asyncio.Task[Any] | None = None  # the same
        self._home: asyncio.Task[Any] | None = None  # the lane's own, which lasts
        self._blocking_thread: int | None = None
        self._stop = asyncio.Event()
        self._asked_at: float | None = None  # to show that its loop turns
        self._thread = threading.Thread(
            target=self._context.run, args=(self._spin,), name=f"lane-{number}", daemon=True
        )
        self._thread.start()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:  # as coroutines are
        """What the work gives, done in this lane.

        Raises:
            LoopThreadLost: the lane ended first, or was abandoned.
        """
        self._result = result = Future[T]()
        if not self._thread.is_alive():
            raise LoopThreadLost("The lane had ended before.")
        self._loop.call_soon_threadsafe(self._begin, work, result)
        return await asyncio.wrap_future(result)

    def cancel(self) -> None:
        """Cancel the run's task; a sync flow is interrupted at its next step."""
        if self._blocking_thread is not None:
            _throw(self._blocking_thread, RunEnded)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def interrupt(self, error: type[BaseException]) -> None:
        """Throw the error into whatever the run is doing, as its loop does not turn."""
        thread = self._blocking_thread or self._thread.ident
        if thread is not None and self._thread.is_alive():  # else another may have its id
            _throw(thread, error)

    def abandon(self, why: str) -> None:
        """Wait for the run no longer. A thread inside a C call cannot be ended from outside."""
        if self._result is not None and not self._result.done():
            self._result.set_exception(LoopThreadLost(why))

    def close(self) -> None:
        """End the lane as soon as its loop turns."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    @property
    def is_usable(self) -> bool:
        """Whether another run may come here."""
        return self._thread.is_alive() and self._task is None

    def seconds_blocked(self) -> float:
        """For how long the loop has not turned. Asking is what makes it show itself."""
        if self._asked_at is not None:
            return time.monotonic() - self._asked_at
        if not self._loop.is_closed():
            self._asked_at = time.monotonic()
            self._loop.call_soon_threadsafe(self._turned)
        return 0.0

    def stack(self) -> str:
        """The innermost lines of what the lane is doing, the last one last."""
        thread = self._blocking_thread or self._thread.ident or 0
        frame = sys._current_frames().get(thread)  # noqa: SLF001  documented
        return "".join(traceback.format_stack(frame)[-_STACK_LINES:]) if frame else ""

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What the work gives, done in a thread that `cancel` knows. Within a run only."""

        def known() -> T:
            self._blocking_thread = threading.get_ident()
            try:
                return work()
            finally:
                self._blocking_thread = None

        return await asyncio.to_thread(known)

    def _spin(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._live())
        except RunEnded:
            pass  # it hit the loop, not the run: the lane is lost, which `finally` says
        finally:
            self.abandon("The lane ended under its run.")

    async def _live(self) -> None:
        self._home = asyncio.current_task()
        async with warm_client():
            self._context = copy_context()
            await self._stop.wait()

    def _begin(self, work: Callable[[], Awaitable[T]], result: "Future[T]") -> None:
        async def done() -> None:
            try:
                deliver = partial(result.set_result, await work())
            except BaseException as error:  # noqa: BLE001  it goes to whoever waits
                deliver = partial(result.set_exception, error)
            _cancel_others(self._home)
            self._task = None
            with suppress(InvalidStateError):  # it was abandoned meanwhile
                deliver()

        # A copy: until the lane has its client, the context is the one its thread is in.
        self._task = self._loop.create_task(done(), context=self._context.copy())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _turned(self) -> None:
        self._asked_at = None


def _cancel_others(home: asyncio.Task[Any] | None) -> None:
    """Cancel what a run has left behind in its loop."""
    for task in asyncio.all_tasks() - {home, asyncio.current_task()}:
        task.cancel()


def _throw(thread: int, error: type[BaseException]) -> None:
    """Raise the error in that thread, as soon as it runs Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
