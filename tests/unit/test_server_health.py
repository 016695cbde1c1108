"""A server's health after one look more: the whole table."""

import pytest

from anime.core.server_health import (
    DEAD_SECONDS,
    SILENT_SECONDS,
    Look,
    ServerHealth,
    Sight,
    verdict_on,
)

UNKNOWN, ALIVE, UNRESPONSIVE = (
    ServerHealth.UNKNOWN,
    ServerHealth.ALIVE,
    ServerHealth.UNRESPONSIVE,
)
UNREACHABLE, ZOMBIE, LATCHED = (
    ServerHealth.UNREACHABLE,
    ServerHealth.ZOMBIE,
    ServerHealth.LATCHED,
)
REFUSED = Look(Sight.REFUSES, seconds=DEAD_SECONDS)
REFUSED_ONCE = Look(Sight.REFUSES, seconds=DEAD_SECONDS - 0.1)
SILENT = Look(Sight.SILENT, seconds=SILENT_SECONDS)
SILENT_ONCE = Look(Sight.SILENT, seconds=SILENT_SECONDS - 0.1)
ANSWERS = Look(Sight.ANSWERS)
CLEARED = Look(Sight.ANSWERS, is_cleared=True)
RENDERS = Look(Sight.ANSWERS, is_cleared=True, renders=True)
STUCK = Look(Sight.ANSWERS, is_cleared=True, renders=False)

# Rows: what is known. Columns: UNKNOWN, ALIVE, UNRESPONSIVE, UNREACHABLE, ZOMBIE, LATCHED.
BEFORE = (UNKNOWN, ALIVE, UNRESPONSIVE, UNREACHABLE, ZOMBIE, LATCHED)
TABLE = [
    (REFUSED, [UNREACHABLE] * 6),
    # A fault that a restart heals is over as soon as the server is seen to stop.
    (REFUSED_ONCE, [UNKNOWN, ALIVE, UNRESPONSIVE, UNREACHABLE, UNREACHABLE, UNREACHABLE]),
    (SILENT, [UNRESPONSIVE, UNRESPONSIVE, UNRESPONSIVE, UNREACHABLE, UNRESPONSIVE, LATCHED]),
    (SILENT_ONCE, list(BEFORE)),
    # One that comes back gets work only when nothing is left there that has moved.
    (ANSWERS, list(BEFORE)),
    (CLEARED, [ALIVE, ALIVE, ALIVE, ALIVE, ZOMBIE, LATCHED]),
    (RENDERS, [ALIVE, ALIVE, ALIVE, ALIVE, ALIVE, LATCHED]),
    (STUCK, [ZOMBIE, ZOMBIE, ZOMBIE, ZOMBIE, ZOMBIE, LATCHED]),
]


@pytest.mark.parametrize(
    ("look", "before", "after"),
    [
        (look, before, after)
        for look, row in TABLE
        for before, after in zip(BEFORE, row, strict=True)
    ],
)
def test_f05_f81_the_health_of_a_server_follows_from_each_look(
    look: Look, before: ServerHealth, after: ServerHealth
) -> None:
    verdict = verdict_on(before, look)
    assert (verdict.health if verdict else before) is after
    assert verdict is None or verdict.reason.endswith(".")


def test_a_verdict_says_for_how_long_and_what_was_seen() -> None:
    look = Look(Sight.REFUSES, seconds=12.4, detail="Connection refused.")
    verdict = verdict_on(ALIVE, look)
    assert verdict is not None
    assert verdict.reason == "Nobody has listened at its port for 12 s. Connection refused."
