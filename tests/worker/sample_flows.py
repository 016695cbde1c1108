"""Flows that behave, and flows that do not."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

from prefect import Flow, flow, get_run_logger, runtime
from prefect.client.schemas.objects import FlowRun, State

kept: list[bytes] = []


def note(path: str, word: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{word} {runtime.flow_run.id} {os.getpid()} {time.time()}\n")


def released(path: str) -> Path:
    """The file whose existence ends the flows that wait."""
    return Path(f"{path}.released")


def write_down_hook(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    with Path(flow_run.parameters["path"]).open("a") as file:
        file.write(f"hook {flow_run.id} {os.getpid()} {time.time()}\n")


@flow(on_cancellation=[write_down_hook])
async def sleeps(path: str, seconds: float = 0.1) -> None:
    note(path, "begin")
    await asyncio.sleep(seconds)
    note(path, "end")


@flow(on_cancellation=[write_down_hook])
def sleeps_in_a_thread(path: str, seconds: float = 0.1) -> None:
    note(path, "begin")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    note(path, "end")


@flow
async def waits(path: str) -> None:
    """Until the test lets it end: `Site.let_them_end`."""
    note(path, "begin")
    while not released(path).exists():
        await asyncio.sleep(0.02)
    note(path, "end")


@flow
def waits_in_a_thread(path: str) -> None:
    note(path, "begin")
    while not released(path).exists():
        time.sleep(0.02)
    note(path, "end")


@flow(on_cancellation=[write_down_hook])
async def calls_another(path: str, seconds: float) -> None:
    await sleeps(path, seconds)


@flow(on_cancellation=[write_down_hook])
async def spins(path: str) -> None:
    note(path, "begin")
    _spin()


def _spin() -> NoReturn:
    """Never let the event loop go on; and nobody else, while others notice and ask it to end."""
    until = time.monotonic() + 1
    while True:
        if time.monotonic() > until:  # all that is left is to be interrupted, which takes a while
            time.sleep(0.01)


async def hanging_hook(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    del flow, flow_run, state
    await asyncio.sleep(3600)


@flow(on_cancellation=[hanging_hook])
async def hangs_when_cancelled() -> None: ...


@flow(timeout_seconds=1)
async def is_too_slow() -> None:
    await asyncio.sleep(60)


@flow(timeout_seconds=1)
async def spins_beyond_its_time() -> None:
    _spin()


@flow(timeout_seconds=1)
def is_too_slow_in_a_thread() -> None:
    while True:
        time.sleep(0.02)


@flow
async def raises() -> None:
    raise ValueError("what a flow may raise")


@flow
async def exits() -> None:
    raise SystemExit(3)


async def _fails_later() -> None:
    await asyncio.sleep(0.05)
    raise RuntimeError("left behind")


@flow
async def leaves_tasks_behind() -> None:
    for _ in range(10):
        asyncio.create_task(_fails_later())  # noqa: RUF006  that is what it does wrong
    asyncio.create_task(asyncio.sleep(3600))  # noqa: RUF006


@flow
async def hogs(megabytes: int) -> None:
    kept.append(os.urandom(1024) * 1024 * megabytes)


@flow
async def kills_its_process(path: str) -> None:
    note(path, "begin")
    os.kill(os.getpid(), signal.SIGKILL)


@flow(log_prints=True)
async def talks(word: str) -> None:
    for number in range(20):
        get_run_logger().info("%s logged %d", word, number)
        print(f"{word} printed {number}")  # noqa: T201
        await asyncio.sleep(0.01)


@flow
async def sweep(folder: str) -> None:
    """Stands in for the studio's own."""
    del folder
