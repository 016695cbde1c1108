"""How often and how soon what failed is tried again, as each policy says it."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime import retry_policies
from anime.errors import DatabaseUnavailable, InvalidRequest
from anime.retry_policies import RetryPolicy, cancel_until_ended, keep_running, webhook_delay

AT_ONCE = RetryPolicy(first_seconds=0, longest_seconds=0, attempts=3)
AWAY = DatabaseUnavailable("PostgreSQL is away.", "Wait.")


class Flaky:
    """Raises these errors, one a call; then it gives its number of calls."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = errors
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.calls <= len(self._errors):
            raise self._errors[self.calls - 1]
        return self.calls


async def test_what_may_come_off_later_is_tried_again_until_it_does() -> None:
    assert await AT_ONCE.call(Flaky(AWAY, AWAY)) == 3


async def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    flaky = Flaky(AWAY, AWAY, AWAY)
    with pytest.raises(DatabaseUnavailable):
        await AT_ONCE.call(flaky)
    assert flaky.calls == 3


@pytest.mark.parametrize(
    "error", [InvalidRequest("No.", "Correct it."), ValueError("a bug"), asyncio.CancelledError()]
)
async def test_what_will_never_come_off_is_raised_at_once(error: BaseException) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        await AT_ONCE.call(flaky)
    assert flaky.calls == 1


async def test_a_wait_between_two_attempts_can_be_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flaky, slow = Flaky(AWAY, AWAY), RetryPolicy(first_seconds=3600, longest_seconds=3600)
    task = asyncio.create_task(slow.call(flaky))
    async with asyncio.timeout(30):
        while not caplog.records:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert flaky.calls == 1


async def test_a_failure_that_goes_on_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "anime")
    await AT_ONCE.call(Flaky(AWAY, AWAY))
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]
    assert "PostgreSQL is away" in caplog.text


@pytest.mark.parametrize(
    ("name", "first", "total_seconds"),
    [
        ("TASK", [1, 2, 4, 8, 15], 30),
        ("RECORD", [1, 2, 4, 8, 16, 30, 30], 601),
        ("SHORT_TASK", [0.5, 1, 2], 3.5),
        ("HISTORY_AFTER_SUCCESS", [0.005, 0.01, 0.02, 0.04], 0.075),
        ("HISTORY_AFTER_QUEUE", [0.02], 0.02),
        ("PART_RESTART", [0.5, 1, 2], 3.5),
    ],
)
def test_policies_that_end_take_so_long(
    name: str, first: Sequence[float], total_seconds: float
) -> None:
    delays = list(getattr(retry_policies, name).delays())
    assert delays[: len(first)] == first
    assert sum(delays) == pytest.approx(total_seconds)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("COMFYUI_CHECK", [1, 1]),
        ("VRAM_CHECK", [1, 1, 1]),
        ("COMFYUI_WEBSOCKET", [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]),
        ("REDIS_SUBSCRIPTION", [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]),
        ("MONITOR_STEP", [1, 2, 4, 8, 15, 15]),
        ("REDIS_QUEUE", [2, 2]),
        ("ROW_NOTIFICATIONS", [5, 5]),
        ("REDIS_STREAM", [1, 1]),
        ("SWEEP_TRIGGER", [5, 10, 20, 40, 80, 160, 300, 300]),
    ],
)
def test_policies_without_end_become_no_rarer_than_that(name: str, first: Sequence[float]) -> None:
    policy = getattr(retry_policies, name)
    assert list(islice(policy.delays(), len(first))) == first
    assert policy.delay(100_000) == first[-1]


async def test_jitter_comes_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    policy = RetryPolicy(first_seconds=1, longest_seconds=5, jitter_seconds=0.5)
    for _ in range(50):
        await policy.wait(1)
    assert 2 <= min(waited) < max(waited) <= 2.5


async def test_a_loop_that_a_bug_ends_begins_again_until_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry_policies, "BACKGROUND_LOOP", AT_ONCE)
    flaky, is_running = Flaky(ValueError("a bug"), AWAY), asyncio.Event()

    async def loop() -> None:
        await flaky()
        is_running.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running(loop))
    async with asyncio.timeout(30):
        await is_running.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert flaky.calls == 3
    assert [bool(record.exc_info) for record in caplog.records] == [True, True]


async def test_a_loop_that_returns_has_nothing_more_to_do() -> None:
    flaky = Flaky()

    async def loop() -> None:
        await flaky()

    await keep_running(loop)
    assert flaky.calls == 1


@given(chance=st.floats(0, 1))
def test_webhooks_are_tried_for_about_a_day(chance: float) -> None:
    waits = [webhook_delay(attempt, chance) for attempt in range(1, 20)]
    given_up = waits.index(None)
    assert given_up == len(retry_policies.WEBHOOK_DELAYS_SECONDS)
    assert waits[given_up:] == [None] * (19 - given_up)
    assert 18 * 3600 < sum(wait for wait in waits if wait) < 30 * 3600


async def swallow(cancellations: int) -> None:
    """Wait for ever, and go on after so many cancellations, as `asyncio.wait_for` can."""
    for _ in range(cancellations):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry_policies, "CLEANUP_SECONDS", 0.01)
    tasks = [asyncio.create_task(swallow(number)) for number in range(3)]
    await asyncio.sleep(0)  # they wait now
    await cancel_until_ended(*tasks)
    assert all(task.cancelled() for task in tasks)


async def test_tasks_that_have_ended_are_not_waited_for() -> None:
    ended = asyncio.create_task(asyncio.sleep(0, "the result"))
    await ended
    await cancel_until_ended()
    await cancel_until_ended(ended)
    assert ended.result() == "the result"


async def test_a_task_that_no_cancellation_ends_is_logged_and_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry_policies, "CLEANUP_SECONDS", 0.01)
    monkeypatch.setattr(retry_policies, "MAX_CANCELLATIONS", 2)
    deaf = asyncio.create_task(swallow(2), name="deaf")
    await asyncio.sleep(0)
    await cancel_until_ended(deaf)
    assert not deaf.done()
    assert "deaf" in caplog.text
    await cancel_until_ended(deaf)
    assert deaf.cancelled()
