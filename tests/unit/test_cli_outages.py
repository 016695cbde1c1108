"""A command that submits while Prefect is too busy to answer."""

import logging
from collections.abc import Iterator

import pytest

from anime.cli import outages
from anime.cli.outages import retry_while_busy
from anime.errors import PrefectTimedOut, PrefectUnavailable
from anime.retry_policies import DISPATCH, RetryPolicy

BUSY = PrefectTimedOut("Prefect has not answered within 5 s.", "Try again.")
AWAY = PrefectUnavailable("Prefect does not answer.", "Start it.")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = RetryPolicy(first_seconds=0, longest_seconds=0, attempts=DISPATCH.attempts)
    monkeypatch.setattr(outages, "DISPATCH", quick)


def answers(*each: Exception | str) -> Iterator[Exception | str]:
    yield from each


async def submitted(found: Iterator[Exception | str]) -> str:
    async def submit() -> str:
        answer = next(found)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return await retry_while_busy(submit)


async def test_prefect_is_asked_again_until_it_has_time_and_a_line_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await submitted(answers(BUSY, BUSY, "a run")) == "a run"
    said = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(said) == 1
    assert BUSY.what in said[0]


async def test_prefect_that_stays_busy_is_said_to_be_busy() -> None:
    left = answers(*[BUSY] * 8, "too late")
    with pytest.raises(PrefectTimedOut):
        await submitted(left)
    assert next(left) == "too late"


async def test_a_prefect_that_is_away_is_said_to_be_away_at_once() -> None:
    left = answers(AWAY, "too late")
    with pytest.raises(PrefectUnavailable, match="does not answer"):
        await submitted(left)
    assert next(left) == "too late"
