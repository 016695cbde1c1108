"""Generations over three servers, while everything is killed, stopped and cut off."""

from pathlib import Path

from benchmarks.chaos.run import ChaosOptions, chaos
from tests.stack.conftest import NO_SERVICES
from tests.support.waiting import HUNG_SECONDS

SEED = 131  # it kills the worker, two servers, Prefect and PostgreSQL


async def test_nothing_is_stuck_lost_or_rendered_twice(tmp_path: Path) -> None:
    options = ChaosOptions(
        seed=SEED,
        generations=45,
        render_seconds=0.5,
        every_seconds=3,
        disturbing_seconds=40,
        patience_seconds=HUNG_SECONDS,
        settle_seconds=HUNG_SECONDS,
        is_forked=True,
        variables=NO_SERVICES,
    )
    report = await chaos(options, tmp_path)
    assert report.violations == []
    assert {each.action for each in report.done} == {"kill", "stop", "cut"}
