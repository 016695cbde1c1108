"""Every example in a docstring of the core, and of what benchmarks count, is true."""

import doctest
import importlib
import pkgutil

import pytest

import anime.core

MODULES = [
    *(module.name for module in pkgutil.walk_packages(anime.core.__path__, "anime.core.")),
    "benchmarks.timing",
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
