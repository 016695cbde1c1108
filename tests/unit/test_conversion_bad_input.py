"""Files that are no workflow, contradict themselves or are made to hurt: each gets a sentence."""

import json
import time
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.conversion.convert import convert
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.conversion.size_check import MOST_NODES
from anime.errors import InvalidWorkflow, WorkflowNotConvertible
from tests.support.editor_workflows import (
    SUBGRAPH,
    Json,
    converted,
    inputs_of,
    link,
    node,
    slot,
    subgraph,
    workflow,
)


def test_a_newer_format_is_refused_and_an_older_one_is_taken() -> None:
    saved = workflow([node(1, "Number", values=[4])])
    for older in (None, 0.3, 0.4):
        assert inputs_of(saved | {"version": older}) == {"1": {"value": 4}}
    for newer in (1, 0.5, "0.4", float("nan")):
        with pytest.raises(InvalidWorkflow, match=r"the newest known here is 0\.4"):
            converted(saved | {"version": newer})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nodes": None}, "nodes: "),
        ({"nodes": [{"id": 1}]}, r"nodes\.0\.type: is missing"),
        ({"nodes": [{"id": None, "type": "Number"}]}, r"nodes\.0\.id: "),
        ({"nodes": ["node"]}, r"nodes\.0: "),
        ({"links": [[1, 2]]}, r"links\.0\."),
        ({"links": 5}, "links: "),
        ({"definitions": {"subgraphs": [{}]}}, r"subgraphs\.0\.id: is missing"),
        ({"last_node_id": "many"}, "last_node_id: "),
    ],
)
def test_another_form_is_refused_with_the_place(change: Json, words: str) -> None:
    with pytest.raises(InvalidWorkflow, match=words):
        converted(workflow([node(1, "Number")]) | change)


def test_what_says_nothing_may_be_missing_or_null() -> None:
    of = workflow([node(1, "Number", values=[4])])
    of["nodes"][0] |= {"mode": None, "properties": None, "inputs": None, "outputs": None}
    of |= {"links": None, "definitions": None, "extra": [], "last_node_id": None}
    assert inputs_of(of) == {"1": {"value": 4}}


def test_an_input_without_a_name_says_nothing() -> None:
    of = workflow(
        [
            node(1, "SetNode", slot("INT", 5), values=["n"]),
            node(2, "GetNode", {"link": None, "origin_id": 1}, values=["n"]),
            node(3, "Number", slot("value", 6), values=[4]),
            node(4, "Number", values=[7]),
        ],
        [link(5, 4, 0, 1, 0), link(6, 2, 0, 3, 0)],
    )
    assert inputs_of(of)["3"] == {"value": ["4", 0]}


def test_an_error_is_short_however_much_is_wrong() -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        converted(workflow([]) | {"nodes": [{}] * 1000})
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (workflow([node(1, "Number"), node(1, "Number")]), "Two nodes have the id 1"),
        (workflow([], [link(5, 1, 0, 2, 0), link(5, 1, 0, 3, 0)]), "Two links have the id 5"),
        (
            workflow([], subgraphs=[subgraph([], []), subgraph([], [])]),
            f"Two subgraphs have the id {SUBGRAPH}",
        ),
        (
            workflow([], subgraphs=[subgraph([node(1, "A"), node(1, "B")], [])]),
            'Two nodes in the subgraph "part" have the id 1',
        ),
    ],
)
def test_an_id_that_is_there_twice_is_refused(saved: Json, words: str) -> None:
    with pytest.raises(InvalidWorkflow, match=words):
        converted(saved)


def test_an_id_may_be_a_number_or_a_text() -> None:
    of = workflow([node(1, "Number", values=[4]), node(2, "Latent", slot("width", 5))])
    of["nodes"][0]["id"] = "1"
    of["links"] = [["5", 1, 0, "2", 0, "INT"]]
    assert inputs_of(of)["2"]["width"] == ["1", 0]


def test_a_link_from_no_slot_gives_nothing() -> None:
    for kind, mode in (("Reroute", 0), ("Invert", 4)):
        of = workflow([node(1, "Invert", slot("image", 5)), node(2, kind, mode=mode)])
        assert inputs_of(of | {"links": [link(5, 2, -1, 1, 0)]}) == {"1": {}}


@pytest.mark.parametrize("links", [[], [link(5, 99, 0, 1, 0)], [link(5, -10, 0, 1, 0)]])
@pytest.mark.parametrize(("kind", "mode"), [("Reroute", 0), ("Invert", 4), ("Invert", 0)])
def test_a_link_from_what_is_not_in_the_file_is_refused_as_in_the_editor(
    links: list[Any], kind: str, mode: int
) -> None:
    behind = [node(1, kind, slot("image", 5), mode=mode, outputs=["IMAGE"])]
    behind.append(node(2, "Invert", slot("image", 6)))
    of = workflow(behind, [*links, link(6, 1, 0, 2, 0)])
    with pytest.raises(WorkflowNotConvertible, match="is not in the file"):
        converted(of)
    of["nodes"][0]["mode"] = 2
    assert inputs_of(of) == {"2": {}}


def test_a_link_from_an_input_that_its_subgraph_lacks_is_refused() -> None:
    part = subgraph([node(9, "Invert", slot("image", 5))], [(5, -10, 1, 9, 0, "IMAGE")])
    with pytest.raises(WorkflowNotConvertible, match="is not in the file"):
        converted(workflow([node(1, SUBGRAPH)], subgraphs=[part]))


def test_a_cycle_of_nodes_that_run_is_refused() -> None:
    of = workflow(
        [
            node(1, "Invert", slot("image", 5), title="First"),
            node(2, "Invert", slot("image", 6)),
        ],
        [link(5, 2, 0, 1, 0), link(6, 1, 0, 2, 0)],
    )
    with pytest.raises(
        WorkflowNotConvertible, match=r'Invert "First" \(1\): it feeds itself'
    ) as refused:
        converted(of)
    assert {each.node_id for each in refused.value.refusals} == {"1", "2"}


@pytest.mark.parametrize("kind", ["Reroute", "Invert"])
def test_a_cycle_of_nodes_that_the_server_never_sees_is_refused(kind: str) -> None:
    of = workflow(
        [
            node(1, "Invert", slot("image", 5, "IMAGE")),
            *(node(n, kind, slot("image", n, "IMAGE"), mode=4, outputs=["IMAGE"]) for n in (2, 3)),
        ],
        [link(5, 2, 0, 1, 0), link(2, 3, 0, 2, 0), link(3, 2, 0, 3, 0)],
    )
    with pytest.raises(WorkflowNotConvertible, match="back to itself"):
        converted(of)


def test_a_link_of_a_subgraph_that_feeds_itself_is_refused() -> None:
    part = subgraph([], [(1, -10, 0, -20, 0, "IMAGE")], inputs={"x": "IMAGE"}, outputs=["IMAGE"])
    of = workflow(
        [node(70, SUBGRAPH, slot("x", 5)), node(1, "Invert", slot("image", 6))],
        [link(5, 70, 0, 70, 0), link(6, 70, 0, 1, 0)],
        subgraphs=[part],
    )
    with pytest.raises(WorkflowNotConvertible, match="back to itself"):
        converted(of)


def test_ten_thousand_nodes_behind_one_chain_take_seconds() -> None:
    count, takers = 8_000, 2_000
    nodes = [node(0, "Picture", values=["a.png", "image"])]
    for each in range(1, count):
        kind, mode = (("Reroute", 0), ("Invert", 4))[each % 2]
        nodes.append(node(each, kind, slot("image", each, "IMAGE"), outputs=["IMAGE"], mode=mode))
    nodes += [node(count + n, "Invert", slot("image", count + n, "IMAGE")) for n in range(takers)]
    links = [link(each, each - 1, 0, each, 0) for each in range(1, count)]
    links += [link(count + n, count - 1, 0, count + n, 0) for n in range(takers)]
    begun = time.process_time()
    found = inputs_of(workflow(nodes, links))
    # Where each taker goes back the whole way, it is sixteen million steps: half a minute.
    assert time.process_time() - begun < 10
    assert len(found) == 1 + takers
    assert found[str(count)] == {"image": ["0", 0]}


@pytest.mark.parametrize("sign", ["/*", "//", "{", "[", "%", "\\\\{", "[a.pt]("])
def test_a_text_of_one_sign_takes_no_time(sign: str) -> None:
    text = sign * 200_000
    nodes = [
        node(1, "Encode", values=[text]),
        node(2, "Save", values=[text]),
        node(3, "Note", values=[text]),
    ]
    begun = time.process_time()
    converted(workflow(nodes))
    assert time.process_time() - begun < 10


def test_a_refusal_is_short_however_long_the_names_are() -> None:
    long = "x" * 100_000
    of = workflow([node(1, long, title=long, properties={"cnr_id": long})])
    with pytest.raises(WorkflowNotConvertible) as refused:
        converted(of)
    assert len(str(refused.value)) < 1000


def test_more_nodes_than_the_limit_are_refused() -> None:
    with pytest.raises(InvalidWorkflow, match=f"{MOST_NODES:,} are the most"):
        converted(workflow([node(each, "Number") for each in range(MOST_NODES + 1)]))


@pytest.mark.parametrize(
    "object_info", [{}, {"A": None}, {"A": {}}, {"1": {"class_type": "A", "inputs": {}}}]
)
def test_what_describes_no_node_classes_is_refused(object_info: Json) -> None:
    with pytest.raises(InvalidWorkflow, match="no object_info"):
        convert(workflow([]), NodeDefinitions(object_info))


@pytest.mark.parametrize(
    "entry",
    [
        {"input": {"required": None}},
        {"input": {"required": {"a": None, "b": [], "c": ["INT", None], "d": "INT"}}},
        {"input": {"required": {"a": ["COMFY_DYNAMICCOMBO_V3", {"options": [None, {}]}]}}},
        {"input": {"required": {"a": ["COMFY_AUTOGROW_V3", {"template": None}]}}},
        {"input": {"required": {}}, "output": None, "input_order": {"required": ["gone"]}},
        {"input": {"required": "a", "optional": 5}, "output": 5, "input_order": {"required": [5]}},
        {"input": {"required": {"a": ["COMFY_DYNAMICCOMBO_V3", {"options": 5}]}}},
        {"input": {"required": {"a": [[1], {"formats": {"1": [5, [], [None, 5], ["b"]]}}]}}},
        {"input": {"required": {"b": [[1], {"formats": 5, "widgetType": []}]}}},
    ],
)
def test_odd_definitions_do_not_stop_a_conversion(entry: Json) -> None:
    found = inputs_of(workflow([node(1, "Odd", values=[1])]), Odd=entry)
    assert found.keys() == {"1"}


def places_in(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a value."""
    if not isinstance(value, dict | list):
        return []
    found = []
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        found += [(*place, key), *places_in(part, (*place, key))]
    return found


WHOLE = workflow(
    [
        node(1, "Picture", values=["a.png", "image"], outputs=["IMAGE", "MASK"]),
        node(2, "Reroute", slot("", 5), outputs=["*"]),
        node(3, "Invert", slot("image", 6, "IMAGE"), mode=4, outputs=["IMAGE"]),
        node(4, "PrimitiveNode", values=[3, "fixed"]),
        node(
            70,
            SUBGRAPH,
            slot("image", 7),
            slot("size", 8),
            values=["factor", 3],
            properties={"proxyWidgets": [["10", "resize"], ["10", "resize.factor"]]},
        ),
        node(5, "SetNode", slot("IMAGE", 9), values=["picture"], outputs=["*"]),
        node(6, "GetNode", values=["picture"], outputs=["IMAGE"]),
        node(7, "workflow>invert", slot("image", 10, "IMAGE"), outputs=["IMAGE"]),
        node(8, "Invert", slot("image")),
    ],
    [
        *(link(5, 1, 0, 2, 0), link(6, 2, 0, 3, 0), link(7, 3, 0, 70, 0), link(8, 4, 0, 70, 1)),
        *(link(9, 1, 0, 5, 0), link(10, 6, 0, 7, 0)),
    ],
    extra={
        "ue_links": [{"upstream": "7", "upstream_slot": 0, "downstream": 8, "downstream_slot": 0}],
        "groupNodes": {
            "invert": {
                "nodes": [
                    {"type": "Invert", "inputs": [slot("pixels")], "outputs": [{"type": "IMAGE"}]}
                ],
                "links": [[None, 0, 0, 0, 1, "IMAGE"]],
                "external": [[{"index": 0}, 0, "IMAGE"]],
                "config": {"0": {"input": {"pixels": {"name": "image"}}}},
            }
        },
    },
    subgraphs=[
        subgraph(
            [
                node(
                    10,
                    "Resize",
                    slot("input", 1),
                    slot("resize.factor", 2),
                    values=["factor", 2.0, "area"],
                )
            ],
            [(1, -10, 0, 10, 0, "IMAGE"), (2, -10, 1, 10, 1, "FLOAT"), (3, 10, 0, -20, 0, "*")],
            inputs={"image": "IMAGE", "size": "FLOAT"},
            outputs=["IMAGE"],
        )
    ],
)
JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**70,
    1.5,
    "",
    "Reroute",
    "10",
    [],
    [1],
    {},
    {"a": 1},
    -10,
    2,
    4,
    "*",
)


def test_the_whole_file_is_converted() -> None:
    inputs = inputs_of(WHOLE)
    assert inputs["8"] == {"image": ["72:71", 0]}
    assert inputs["72:71"] == {"pixels": ["1", 0]}


@given(st.lists(st.tuples(st.sampled_from(places_in(WHOLE)), st.sampled_from(JUNK)), max_size=4))
def test_a_file_that_is_damaged_anywhere_is_converted_or_refused(changes: list[Any]) -> None:
    damaged = deepcopy(WHOLE)
    for place, junk in changes:
        part = damaged
        with suppress(KeyError, IndexError, TypeError):  # an earlier change took that place away
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = deepcopy(junk)
    with suppress(InvalidWorkflow):
        json.dumps(converted(damaged).graph)
