"""How the suite's tests are spread over the workers of pytest-xdist."""

import sys
from pathlib import Path
from subprocess import run

import pytest

from anime.settings import PROJECT_DIR
from tests.scheduling import SHARING, TURNS, group_of, turn_of
from tests.support.waiting import HUNG_SECONDS

TESTS = 6  # in each file
# Each test says where it ran, and waits for nothing: whoever is free takes the next group.
SAMPLE = f"""
import os, pathlib, pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_sample(number):
    with pathlib.Path(os.environ["RAN"]).open("a") as ran:
        ran.write(os.environ["PYTEST_XDIST_WORKER"] + " " + __file__ + "\\n")
"""


FILES = [
    *(f"{folder}/test_{name}.py" for folder in reversed(SHARING) for name in "ab"),
    *(f"integration/test_{name}.py" for name in "abcd"),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Worker and file of each test of a small suite, in the order in which they ran."""
    folder = tmp_path_factory.mktemp("suite")
    for file in FILES:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).parent.joinpath("__init__.py").touch()
        (folder / file).write_text(SAMPLE)
    (folder / "pytest.ini").touch()
    ended = run(
        [
            *(sys.executable, "-m", "pytest", "-p", "xdist", "-p", "tests.scheduling"),
            *("-p", "no:cacheprovider", "--numprocesses", "2", str(folder)),
        ],
        env={
            "PYTHONPATH": str(PROJECT_DIR),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "RAN": str(folder / "ran.txt"),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = (folder / "ran.txt").read_text().splitlines()
    return [(worker, str(Path(file).relative_to(folder))) for worker, file in map(str.split, lines)]


def test_the_folders_that_share_a_stack_are_there() -> None:
    assert [name for name in TURNS if not (PROJECT_DIR / "tests" / name).exists()] == []


def test_each_test_runs_once(ran: list[tuple[str, str]]) -> None:
    assert sorted(file for _, file in ran) == sorted(FILES * TESTS)


@pytest.mark.parametrize("folder", SHARING)
def test_the_tests_of_a_folder_that_shares_a_stack_run_in_one_worker(
    ran: list[tuple[str, str]], folder: str
) -> None:
    assert len({worker for worker, file in ran if file.startswith(folder)}) == 1


def test_other_folders_are_spread_by_file(ran: list[tuple[str, str]]) -> None:
    workers = {file: {by for by, other in ran if other == file} for _, file in ran}
    assert {len(by) for by in workers.values()} == {1}
    assert set.union(*workers.values()) == {"gw0", "gw1"}


def test_the_groups_that_take_longest_begin(ran: list[tuple[str, str]]) -> None:
    for worker in ("gw0", "gw1"):
        groups = [group_of(f"tests/{file}::test_sample") for by, file in ran if by == worker]
        turns = [turn_of(group) for group in groups]
        assert turns == sorted(turns)
