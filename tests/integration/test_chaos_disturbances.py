"""A part of the stack is stopped with all that it has started."""

import subprocess
import time
from collections.abc import Callable

import psutil

from benchmarks.chaos.disturb import go_on, stop_with_children
from tests.support.waiting import HUNG_SECONDS


def test_a_part_stops_with_its_sessions_and_goes_on_with_them() -> None:
    # As PostgreSQL does, it has a child in a process group of its own.
    with subprocess.Popen(["sh", "-c", "setsid sleep 60 & wait"]) as shell:
        parent = psutil.Process(shell.pid)
        until(lambda: any(child.name() == "sleep" for child in parent.children()))
        stopped = stop_with_children(shell.pid)
        assert len(stopped) == 2
        until(lambda: {each.status() for each in stopped} == {psutil.STATUS_STOPPED})
        go_on(stopped)
        until(lambda: psutil.STATUS_STOPPED not in {each.status() for each in stopped})
        for each in stopped:
            each.kill()


def until(holds: Callable[[], bool]) -> None:
    """Return once it holds."""
    give_up = time.monotonic() + HUNG_SECONDS
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.01)
