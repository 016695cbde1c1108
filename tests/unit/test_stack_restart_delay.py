"""How often a dead part is started anew, and how its death is worded."""

import pytest

from anime.stack.parts import PartState, PartStatus
from anime.stack.process import describe_exit
from anime.stack.supervisor import restart_delay


def test_the_first_restart_comes_after_half_a_second() -> None:
    assert restart_delay([100.0], now=100.0) == 0.5


def test_each_further_death_doubles_the_wait() -> None:
    assert restart_delay([100.0, 101.0], now=101.0) == 1.0
    assert restart_delay([100.0, 101.0, 103.0], now=103.0) == 2.0


def test_the_fourth_death_within_a_minute_is_the_last() -> None:
    assert restart_delay([100.0, 110.0, 120.0, 159.0], now=159.0) is None


def test_deaths_of_long_ago_are_forgiven() -> None:
    assert restart_delay([1.0, 2.0, 3.0, 100.0], now=100.0) == 0.5


@pytest.mark.parametrize(
    ("returncode", "words"), [(0, "exit status 0"), (3, "exit status 3"), (-9, "killed by SIGKILL")]
)
def test_an_exit_is_worded_for_people(returncode: int, words: str) -> None:
    assert describe_exit(returncode) == words


def test_a_status_reads_as_a_line() -> None:
    assert str(PartStatus("api", PartState.READY, 1.25)) == "ready after 1.2 s"
    assert str(PartStatus("api", PartState.DIED, detail="exit status 1")) == "died: exit status 1"
