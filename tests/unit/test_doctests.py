"""Every example in a docstring of ours is true."""

import doctest
import importlib

import pytest

from anime.settings import PROJECT_DIR

ROOMS = ("anime", "flows", "tasks", "blocks", "benchmarks")
MODULES = [
    ".".join(path.relative_to(PROJECT_DIR).with_suffix("").parts)
    for room in ROOMS
    for path in sorted((PROJECT_DIR / room).rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert found.failed == 0
