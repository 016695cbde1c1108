"""Has new files in ComfyUI's folder swept within seconds; the schedule is what can be relied on."""

import asyncio
import hashlib
import logging
import time
from dataclasses import replace
from pathlib import Path

from anime.assets.watcher import watch_folder
from anime.core.work_queues import WorkQueue
from anime.errors import PrefectUnavailable
from anime.net.prefect_api import PrefectApi, RunState
from anime.retry_policies import SWEEP_TRIGGER
from anime.settings import Settings

SWEEP = "sweep/sweep"
ASK_SECONDS = 1.0  # between two questions whether a sweep has ended
FOLLOW_SECONDS = 900.0  # then it is taken to have ended; the next news orders another one
_NOT_SWEPT = "Nothing was swept"  # as flows/sweep.py says when another sweep is at work

_log = logging.getLogger(__name__)


class SweepTrigger:
    """Watches one folder and orders one sweep at a time."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    async def keep(self) -> None:
        """Go on until cancelled."""
        _log.info("Watching %s", self._folder)
        async for _ in watch_folder(self._folder, polls=self._settings.watch_polling):
            await self._until_swept()

    async def _until_swept(self) -> None:
        """Order sweeps until one that began after the news has completed.

        Meanwhile nothing else is ordered, so however much comes, sweeps follow one another.
        """
        seconds = self._settings.watch_seconds
        failures = 0
        while True:
            window = window_to_order_in(failures, seconds, time.time())
            await asyncio.sleep(max(0.0, window * seconds - time.time()))
            try:
                state = await self._sweep(order_key(self._folder, window))
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
        """How a new sweep ended; one that another worker has ordered with that key is ours, too."""
        async with PrefectApi.from_settings(self._settings) as prefect:
            deployment = await prefect.deployment_id(SWEEP)
            run_id = await prefect.start_run(
                deployment, {"folder": str(self._folder)}, key=key, queue=WorkQueue.MAINTENANCE
            )
            give_up_at = time.monotonic() + FOLLOW_SECONDS
            while True:
                state = await prefect.run_state(run_id)
                if state.is_final or time.monotonic() > give_up_at:
                    return state
                await asyncio.sleep(ASK_SECONDS)


def order_key(folder: Path, window: int) -> str:
    """What makes a second order for the folder in that window the same order.

    An order is made when a window begins, for what came before: workers that have the same news
    have the same key, and what comes later gets another one.

    >>> order_key(Path("/output"), 7)[-2:]
    '-7'
    """
    place = hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"watch-{place}-{window}"


def window_to_order_in(failures: int, seconds: float, now: float) -> int:
    """The next window, counted from the epoch; after failures a later one.

    >>> window_to_order_in(0, seconds=5, now=11.0)
    3
    >>> window_to_order_in(3, seconds=5, now=11.0)
    10
    """
    wait_seconds = replace(SWEEP_TRIGGER, first_seconds=seconds).delay(failures)
    return int(now // seconds) + max(1, int(wait_seconds // seconds))
