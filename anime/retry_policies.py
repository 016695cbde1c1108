"""When what failed is tried again: every policy, with its numbers and why twice is harmless.

A policy calls something until it comes off, tells a loop how long to wait, and gives Prefect the
delays of its tasks. Jitter is where many would otherwise come back in the same moment. A
cancellation that is swallowed is tried again as well.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from anime.errors import is_retryable

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Waits that double from `first_seconds` to `longest_seconds`.

    `attempts` counts the first one; None goes on until cancelled. To each wait up to
    `jitter_seconds` are added at random.
    """

    first_seconds: float
    longest_seconds: float
    attempts: int | None = None
    jitter_seconds: float = 0.0

    def delay(self, retry: int = 0) -> float:
        """Seconds before that retry, counted from 0, without jitter.

        >>> policy = RetryPolicy(first_seconds=1, longest_seconds=5.0)
        >>> [policy.delay(retry) for retry in range(4)]
        [1.0, 2.0, 4.0, 5.0]
        """
        # The exponent is capped first: 2.0**1024 is more than a float holds.
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(retry, 60))

    def delays(self) -> Iterator[float]:
        """Seconds before each retry, without jitter."""
        return map(self.delay, count() if self.attempts is None else range(self.attempts - 1))

    async def wait(self, retry: int = 0) -> None:
        """Wait before that retry, counted from 0."""
        spread = random.uniform(0, self.jitter_seconds)  # noqa: S311  nobody gains by guessing it
        await asyncio.sleep(self.delay(retry) + spread)

    async def call(
        self,
        function: Callable[[], Awaitable[T]],
        *,
        retry_on: Callable[[Exception], bool] = is_retryable,
    ) -> T:
        """What the function gives in the end; its last error when the attempts are used up."""
        retrying = stamina.AsyncRetryingCaller(
            attempts=self.attempts,
            timeout=None,
            wait_initial=self.first_seconds,
            wait_max=self.longest_seconds,
            wait_jitter=self.jitter_seconds,
        )
        return await retrying(retry_on, function)


def _say_once(details: RetryDetails) -> None:
    level = logging.WARNING if details.retry_num == 1 else logging.DEBUG
    _log.log(level, "Trying again in %.1f s: %s", details.wait_for, details.caused_by)


set_on_retry_hooks([_say_once])


# Tasks of a flow, and steps too small to be one: a database or server that restarts is back within
# these 30 s. Why twice is harmless stands above each task.
TASK = RetryPolicy(first_seconds=1, longest_seconds=15, attempts=6)

# What only PostgreSQL can say or keep, such as how a job has ended, or only Prefect, such as where
# PostgreSQL is or that a run begins: ten minutes, as all else that a run could do has to wait for
# it. A row is changed under the run's lease, or not at all.
RECORD = RetryPolicy(first_seconds=1, longest_seconds=30, attempts=25)

# Has one generation of a batch run again that Prefect or PostgreSQL did not let run, for as long as
# a batch bears an outage. The run finds what an earlier run of its job has done.
BATCH_CHILD = RetryPolicy(first_seconds=5, longest_seconds=30)

# Has a run dispatched for somebody at a terminal while Prefect is too busy to answer: a minute,
# with the time that each attempt takes. A dispatch has an idempotency key.
DISPATCH = RetryPolicy(first_seconds=0.5, longest_seconds=5, attempts=8)

# Tasks that only read, or remove what is found again otherwise: 3.5 s, then the next night or the
# next look does it.
SHORT_TASK = RetryPolicy(first_seconds=0.5, longest_seconds=2, attempts=4)

# Asks whether ComfyUI is there before a render, for as long as its block allows. It reads.
COMFYUI_CHECK = RetryPolicy(first_seconds=1, longest_seconds=1)

# Looks whether a workflow's VRAM has become free, for as long as the settings allow: the GPU would
# idle until the next look. It reads.
VRAM_CHECK = RetryPolicy(first_seconds=1, longest_seconds=1)

# Asks ComfyUI's history, which is written just after execution_success: 3 of 200 asked at once were
# too early. It reads, for 75 ms in all; the next poll asks anyway.
HISTORY_AFTER_SUCCESS = RetryPolicy(first_seconds=0.005, longest_seconds=0.04, attempts=5)

# Asks the history once more, 20 ms later, about a prompt that has just left the queue. It reads.
HISTORY_AFTER_QUEUE = RetryPolicy(first_seconds=0.02, longest_seconds=0.02, attempts=2)

# Interrupts a prompt, or deletes it from the queue, until it has stopped, for as long as the caller
# allows: an interrupt acts between two steps and is lost in the last one. It is looked up anew
# before each, so that nobody else's is hit.
PROMPT_INTERRUPT = RetryPolicy(first_seconds=0.1, longest_seconds=0.1)

# Opens ComfyUI's WebSocket again, until the prompt has ended: /history tells of what is missed.
COMFYUI_WEBSOCKET = RetryPolicy(first_seconds=0.2, longest_seconds=5, jitter_seconds=0.2)

# Subscribes to Redis again, without end: whoever listens catches up with what was missed, or polls.
REDIS_SUBSCRIPTION = RetryPolicy(first_seconds=0.1, longest_seconds=2, jitter_seconds=0.1)

# Reads a job's stream in Redis again, without end, from the last event that was told.
REDIS_STREAM = RetryPolicy(first_seconds=1, longest_seconds=1)

# Publishes to Redis again, in so long: one late event is bearable, a second of waiting for each is
# not. A lost one does no harm, as each is a full snapshot.
REDIS_PUBLISHING = RetryPolicy(first_seconds=5, longest_seconds=5)

# Takes jobs from the Redis list again, without end, after Redis or PostgreSQL was away or while too
# many jobs wait. The same id is the same job.
REDIS_QUEUE = RetryPolicy(first_seconds=2, longest_seconds=2, jitter_seconds=0.2)

# Listens again for rows (PostgreSQL), without end. Whoever waits for them asks now and then all the
# same.
ROW_NOTIFICATIONS = RetryPolicy(first_seconds=5, longest_seconds=5, jitter_seconds=0.5)

# Brings jobs and their runs together again after a failure; then every 15 s as ever. Prefect knows
# a run by its job's key, and one process at a time has its turn.
MONITOR_STEP = RetryPolicy(first_seconds=1, longest_seconds=15)

# Has new files swept again after a failure, without end; the first wait is that of the setting. A
# file that was swept is known.
SWEEP_TRIGGER = RetryPolicy(first_seconds=5, longest_seconds=300)

# Starts a part of the stack anew that has died: three times within the supervisor's minute. It is
# dead, so there are never two.
PART_RESTART = RetryPolicy(first_seconds=0.5, longest_seconds=2, attempts=4)

# Looks at the ComfyUI servers again after PostgreSQL was away, without end. It reads, and what it
# cancels nobody waits for.
SERVER_WATCH = RetryPolicy(first_seconds=1, longest_seconds=15)

# Looks whether a disk is low, without end. It reads, and a pause that is set twice is one.
DISK_WATCH = RetryPolicy(first_seconds=30, longest_seconds=30)

# Looks whether renders are still paused, for as long as they are. It reads.
PAUSE_WATCH = RetryPolicy(first_seconds=5, longest_seconds=5, jitter_seconds=1)

# Begins a loop of the API again that a bug has ended, without end. Each goes by rows and entries
# that say what is done: a job has one run, an entry one job, and a message to a receiver one id.
BACKGROUND_LOOP = RetryPolicy(first_seconds=5, longest_seconds=5, jitter_seconds=1)

# Looks whether a canary prompt has rendered, for as long as it may take. It reads.
CANARY = RetryPolicy(first_seconds=0.05, longest_seconds=1)

# Renews what Vault has granted again, without end, while Vault is away or refuses; a lease that is
# renewed twice is renewed, and a secret that is read twice only has a newer lease.
VAULT_RENEWAL = RetryPolicy(first_seconds=0.5, longest_seconds=15, jitter_seconds=0.5)

# Sends a webhook again, for a day in all, kept in PostgreSQL; receivers know a message by its id.
WEBHOOK_DELAYS_SECONDS = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800)
WEBHOOK_JITTER = 0.2  # of a delay, both ways: receivers that come back are not met by all at once

# Cancels a task again that goes on, for 10 s: up to Python 3.11 `asyncio.wait_for`, with which
# redis-py sends, swallows a cancellation that comes when the send has just ended. A task that got
# the first one and still cleans up is cut short there: it has to bear that anyway, as its process
# can be killed at any moment. https://github.com/python/cpython/issues/86296
# Measured: a loop that sends all the time swallows two of three, and up to 20 in a row.
CLEANUP_SECONDS = 0.5  # before the second cancellation
CANCEL_AGAIN_SECONDS = 0.05  # before each further one
MAX_CANCELLATIONS = 200


def webhook_delay(
    attempt: int, chance: float, delays: Sequence[float] = WEBHOOK_DELAYS_SECONDS
) -> float | None:
    """Seconds to wait after that failed attempt, counted from 1; None after the last one.

    `chance` is a random number from 0 to 1.

    >>> webhook_delay(1, 0.5), webhook_delay(2, 0.0), webhook_delay(11, 0.5)
    (5.0, 24.0, None)
    """
    if attempt > len(delays):
        return None
    return delays[attempt - 1] * (1 + WEBHOOK_JITTER * (2 * chance - 1))


async def keep_running(loop: Callable[[], Awaitable[None]]) -> None:
    """Run the loop until it returns or is cancelled; one that a bug ends begins again, later."""
    while True:
        try:
            return await loop()
        except Exception:  # noqa: BLE001  whoever needs the loop needs it after a bug, too
            _log.exception("A loop has met an unexpected error; it begins again in a few seconds")
        await BACKGROUND_LOOP.wait()


async def cancel_until_ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks, and again, until all have ended; one that never does is logged.

    What they raise is raised to whoever awaits them, and not here.
    """
    left = {task for task in tasks if not task.done()}
    seconds = CLEANUP_SECONDS
    for _ in range(MAX_CANCELLATIONS):
        if not left:
            return
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=seconds)
        seconds = CANCEL_AGAIN_SECONDS
    for task in left:
        _log.error("%s goes on although it was cancelled %d times", task, MAX_CANCELLATIONS)
