"""Each reader says where its knowledge is from."""

import importlib
import pkgutil
import re

import pytest

import anime.assets.inspection
import anime.assets.metadata

MODULES = sorted(
    f"{package.__name__}.{module.name}"
    for package in (anime.assets.metadata, anime.assets.inspection)
    for module in pkgutil.iter_modules(package.__path__)
)
# What reads nothing of a file itself; of `container_length`, each function names its own source.
OTHERS = {
    *("facts", "graph_loras", "graph_steps", "graph_values", "json_fields", "limits", "node_rules"),
    "preset_sizes",
    *("container_length", "content", "pool", "recipe", "registry", "whole_file"),
}
READERS = [name for name in MODULES if name.rpartition(".")[2] not in OTHERS]


@pytest.mark.parametrize("name", READERS)
def test_a_reader_names_the_program_that_it_goes_by_and_its_version(name: str) -> None:
    said = importlib.import_module(name).__doc__ or ""
    sources = re.search(r"\bSources?: (.+)", said, re.DOTALL)
    assert re.search(r"\d|edition", sources[1] if sources else ""), said


def test_no_name_stands_for_a_module_that_is_gone() -> None:
    assert len(MODULES) - len(READERS) == len(OTHERS)
