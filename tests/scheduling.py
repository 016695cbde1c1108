"""Which tests run in one process, and which begin, when pytest runs with several workers.

pytest-xdist's own `--dist loadgroup` does not serve: it tells its scheduler a test's group by
writing `item._nodeid`, which pytest 9.2 no longer reads, so that every group is scattered.
"""

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

# The tests of each of these folders share one running stack or server; the longest come first.
# To run others beside them from the start, so that always one computes, gained nothing.
SHARING = ("flows", "worker", "stack", "browser", "chaos", "faults", "vault")
# Files that are a group of their own, named after one of them: they take as long as the rest of
# their folder, or far longer than each file of it, and have a stack or server of their own.
SPLIT_OFF = {
    "worker/test_generations.py": "worker/test_generations.py",
    "worker/test_endings.py": "worker/test_endings.py",
    "flows/test_prefect_away.py": "flows/test_recovery.py",
    "flows/test_recovery.py": "flows/test_recovery.py",
    "flows/test_several_servers.py": "flows/test_recovery.py",
    "integration/test_suite_end.py": "integration/test_suite_end.py",
}
TURNS = (*dict.fromkeys(SPLIT_OFF.values()), *SHARING)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> LoadScopeScheduling:
    """A scheduler that sends each group to one worker, in the order of the tests."""
    config.option.loadscopereorder = False  # it would begin with the group of most tests
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group_of
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups that take longest first."""
    items.sort(key=lambda item: turn_of(group_of(item.nodeid)))


def group_of(nodeid: str) -> str:
    """A folder that shares something, or the test's file.

    >>> group_of("tests/flows/test_previews.py::test_it[a::b]")
    'flows'
    >>> group_of("tests/worker/test_generations.py::test_it")
    'worker/test_generations.py'
    >>> group_of("tests/unit/test_paths.py::test_it")
    'tests/unit/test_paths.py'
    """
    folder, _, name = nodeid.partition("::")[0].rpartition("/")
    room = folder.rpartition("/")[2]
    if split_off := SPLIT_OFF.get(f"{room}/{name}"):
        return split_off
    return room if room in SHARING else f"{folder}/{name}"


def turn_of(group: str) -> int:
    return TURNS.index(group) if group in TURNS else len(TURNS)
