"""Has new files in ComfyUI's folder swept within seconds; the schedule finds what is missed."""

import asyncio
import hashlib
import logging
import time
from dataclasses import replace
from pathlib import Path

from anime.assets.watcher import watch_folder
from anime.core.debris import Debris
from anime.core.work_queues import WorkQueue
from anime.errors import PrefectUnavailable
from anime.net.prefect_api import PrefectApi, RunState
from anime.retry_policies import SWEEP_TRIGGER
from anime.settings import Settings

SWEEP = "sweep/sweep"
POLL_SECONDS = 1.0  # between two checks whether a sweep has ended
SWEEP_TIMEOUT_SECONDS = 900.0  # then the next new file starts another one
_NOT_SWEPT = "Nothing was swept"  # as flows/sweep.py says when another sweep is running

_log = logging.getLogger(__name__)


class SweepTrigger:
    """Watches one folder and starts one sweep at a time."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    async def run(self) -> None:
        """Watch and sweep until cancelled."""
        _log.info("Watching %s", self._folder)
        debris = Debris(self._settings.sweep_ignore)
        polls = self._settings.watch_polling
        async for _ in watch_folder(self._folder, polls=polls, debris=debris):
            await self._sweep_until_completed()

    async def _sweep_until_completed(self) -> None:
        """Start sweeps until one that began after the new files came has completed.

        Meanwhile no other is started: however many files come, sweeps follow one another.
        """
        seconds = self._settings.watch_seconds
        failures = 0
        while True:
            window = next_window(failures, seconds, time.time())
            await asyncio.sleep(max(0.0, window * seconds - time.time()))
            try:
                state = await self._sweep(idempotency_key(self._folder, window))
            except PrefectUnavailable as fault:
                reason = str(fault)
            else:
                if state.type == "COMPLETED" and not state.message.startswith(_NOT_SWEPT):
                    return
                reason = f"The sweep is {state.type}. {state.message}"
            if not failures:
                _log.warning("New files in %s are not swept yet. %s", self._folder, reason)
            failures += 1

    async def _sweep(self, key: str) -> RunState:
        """How the sweep with that key ended; another worker may have started it."""
        async with PrefectApi.from_settings(self._settings) as prefect:
            deployment = await prefect.deployment_id(SWEEP)
            run_id = await prefect.start_run(
                deployment, {"folder": str(self._folder)}, key=key, queue=WorkQueue.MAINTENANCE
            )
            deadline = time.monotonic() + SWEEP_TIMEOUT_SECONDS
            while True:
                state = await prefect.run_state(run_id)
                if state.is_final or time.monotonic() > deadline:
                    return state
                await asyncio.sleep(POLL_SECONDS)


def idempotency_key(folder: Path, window: int) -> str:
    """The key that makes a second sweep of the folder in that window the same run.

    A sweep starts when a window begins, for the files that came before: workers that have seen the
    same files have the same key, and later files get another one.

    >>> idempotency_key(Path("/output"), 7)[-2:]
    '-7'
    """
    folder_hash = hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"watch-{folder_hash}-{window}"


def next_window(failures: int, seconds: float, now: float) -> int:
    """The next window, counted from the epoch; after failures a later one.

    >>> next_window(0, seconds=5, now=11.0)
    3
    >>> next_window(3, seconds=5, now=11.0)
    10
    """
    wait_seconds = replace(SWEEP_TRIGGER, first_seconds=seconds).delay(failures)
    return int(now // seconds) + max(1, int(wait_seconds // seconds))
