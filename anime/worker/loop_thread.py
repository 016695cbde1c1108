"""A thread with an event loop of its own, which runs one flow run at a time.

A run that blocks its loop, or leaves threads and tasks behind, affects no other run. Nor does an
exception that is thrown into its thread.
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

from uvicorn.loops.auto import auto_loop_factory

from anime.net.shared_connections import sharing_connections
from anime.worker.prefect_internals import warm_client
from anime.worker.run_control import RunEnded

T = TypeVar("T")
_STACK_LINES = 3


class LoopThreadLost(Exception):
    """The thread ended during its run, or the run could not be ended and was abandoned."""


class LoopThread:
    """Public methods are called in the worker's thread, private ones in this thread."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._loop = auto_loop_factory()()  # uvloop's where it is there
        self._context: Context = copy_context()  # it has Prefect's settings
        self._result: Future[Any] | None = None  # of whatever the run returns
        self._task: asyncio.Task[Any] | None = None  # the same
        self._main_task: asyncio.Task[Any] | None = None  # lasts as long as the thread
        self._blocking_thread: int | None = None
        self._stop = asyncio.Event()
        self._pinged_at: float | None = None  # when the loop was asked to show that it runs
        self._thread = threading.Thread(
            target=self._context.run, args=(self._run_loop,), name=f"run-loop-{number}", daemon=True
        )
        self._thread.start()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:  # as coroutines are
        """The result of the work, which runs in this thread.

        Raises:
            LoopThreadLost: the thread ended first, or its run was abandoned.
        """
        self._result = result = Future[T]()
        if not self._thread.is_alive():
            raise LoopThreadLost("The run's thread had ended before.")
        self._loop.call_soon_threadsafe(self._start_task, work, result)
        return await asyncio.wrap_future(result)

    def cancel(self) -> None:
        """Cancel the run's task; a sync flow is interrupted at its next step."""
        if self._blocking_thread is not None:
            _throw(self._blocking_thread, RunEnded)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def interrupt(self, error: type[BaseException]) -> None:
        """Raise the error in whatever the run is doing: its loop is blocked."""
        thread = self._blocking_thread or self._thread.ident
        if thread is not None and self._thread.is_alive():  # else another thread may have its id
            _throw(thread, error)

    def abandon(self, why: str) -> None:
        """Stop waiting for the run. A thread inside a C call cannot be ended from outside."""
        if self._result is not None and not self._result.done():
            self._result.set_exception(LoopThreadLost(why))

    def close(self) -> None:
        """End the thread as soon as its loop is free."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    @property
    def is_usable(self) -> bool:
        """Whether another run may be started here."""
        return self._thread.is_alive() and self._task is None

    def seconds_blocked(self) -> float:
        """For how long the loop has not answered. Each call also sends it the next question."""
        if self._pinged_at is not None:
            return time.monotonic() - self._pinged_at
        if not self._loop.is_closed():
            self._pinged_at = time.monotonic()
            self._loop.call_soon_threadsafe(self._mark_responsive)
        return 0.0

    def stack(self) -> str:
        """The innermost stack lines of what the thread is doing, the most recent call last."""
        thread = self._blocking_thread or self._thread.ident or 0
        frame = sys._current_frames().get(thread)  # noqa: SLF001  documented
        return "".join(traceback.format_stack(frame)[-_STACK_LINES:]) if frame else ""

    async def in_thread(self, work: Callable[[], T]) -> T:
        """The result of the work, in a thread that `cancel` can interrupt. Only within a run."""

        def recorded() -> T:
            self._blocking_thread = threading.get_ident()
            try:
                return work()
            finally:
                self._blocking_thread = None

        return await asyncio.to_thread(recorded)

    def _run_loop(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        except RunEnded:
            pass  # it hit the loop, not the run: the thread is lost, which `finally` reports
        finally:
            self.abandon("The run's thread ended.")

    async def _main(self) -> None:
        self._main_task = asyncio.current_task()
        async with warm_client(), sharing_connections():
            self._context = copy_context()
            await self._stop.wait()

    def _start_task(self, work: Callable[[], Awaitable[T]], result: "Future[T]") -> None:
        async def run_to_result() -> None:
            try:
                deliver = partial(result.set_result, await work())
            except BaseException as error:  # noqa: BLE001  raised where the result is waited for
                deliver = partial(result.set_exception, error)
            _cancel_others(self._main_task)
            self._task = None
            with suppress(InvalidStateError):  # it was abandoned meanwhile
                deliver()

        # A copy: until there is a client, this is the very context that the thread runs in.
        self._task = self._loop.create_task(run_to_result(), context=self._context.copy())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _mark_responsive(self) -> None:
        self._pinged_at = None


def _cancel_others(main_task: asyncio.Task[Any] | None) -> None:
    """Cancel what a run has left behind in its loop."""
    for task in asyncio.all_tasks() - {main_task, asyncio.current_task()}:
        task.cancel()


def _throw(thread: int, error: type[BaseException]) -> None:
    """Raise the error in that thread, as soon as it runs Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
