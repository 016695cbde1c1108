"""How a converted graph is compared with what the editor exports."""

from typing import Any

import pytest

from benchmarks.corpus import difference


def graph(**inputs: Any) -> dict[str, Any]:
    return {"1": {"class_type": "Node", "inputs": inputs, "_meta": {"title": "any"}}}


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        (graph(a=1), graph(a=1.0)),
        (graph(a=2**60), graph(a=2**60 + 1)),  # JavaScript cannot tell them apart
        (graph(a={"x": [1, "y"]}), graph(a={"x": [1, "y"]})),
        (graph(viewer="x"), graph()),
        ({"1": {"class_type": "Node", "inputs": {}}}, graph()),
    ],
)
def test_graphs_that_mean_the_same_are_equal(wanted: Any, got: Any) -> None:
    assert difference(wanted, got, ["Node.view*"]) is None


@pytest.mark.parametrize(
    ("wanted", "got", "words"),
    [
        (graph(), {}, "1 is missing"),
        ({}, graph(), "1 is too many"),
        (graph(), {"1": {"class_type": "Other", "inputs": {}}}, "1 is Other instead of Node"),
        (graph(a=1), graph(a=2), "1 Node.a is 2 instead of 1"),
        (graph(a=1), graph(a=True), "1 Node.a is True instead of 1"),
        (graph(a=1), graph(a="1"), "1 Node.a is '1' instead of 1"),
        (graph(a=1), graph(), "1 Node.a is '(nothing)' instead of 1"),
        (graph(), graph(a=None), "1 Node.a is None instead of '(nothing)'"),
        (graph(a=["2", 0]), graph(a=["2", 1]), "1 Node.a is ['2', 1]"),
        (graph(a=[1, 2]), graph(a=[1]), "1 Node.a is [1]"),
    ],
)
def test_the_first_difference_is_named(wanted: Any, got: Any, words: str) -> None:
    assert words in (difference(wanted, got, []) or "")
