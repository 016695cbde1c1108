"""Subgraphs: ids, links through their sides, and the values that their instances hold."""

from itertools import pairwise
from typing import Any

import pytest

from anime.core.conversion.size_check import MOST_LEVELS, MOST_NODES
from anime.errors import InvalidWorkflow, WorkflowNotConvertible
from tests.support.editor_workflows import (
    OTHER_SUBGRAPH,
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

LOADER = node(1, "Loader", values=["one.safetensors"], outputs=["MODEL", "CLIP", "VAE"])


def prompt_part(of: str = SUBGRAPH, **more: Any) -> Json:
    """A subgraph: a clip goes in, and a prompt of some strength comes out."""
    return subgraph(
        [
            node(100, "Encode", slot("clip", 1), slot("text", 2), values=["inner"]),
            node(101, "Strength", slot("conditioning", 3), slot("strength", 4), values=[0.5]),
        ],
        [
            (1, -10, 0, 100, 0, "CLIP"),
            (2, -10, 1, 100, 1, "STRING"),
            (3, 100, 0, 101, 0, "CONDITIONING"),
            (4, -10, 2, 101, 1, "FLOAT"),
            (5, 101, 0, -20, 0, "CONDITIONING"),
        ],
        inputs={"clip": "CLIP", "text": "STRING", "strength": "FLOAT"},
        outputs=["CONDITIONING"],
        of=of,
    )


def instance(node_id: int, *slots: Json, of: str = SUBGRAPH, **more: Any) -> Json:
    return node(node_id, of, *slots, outputs=["CONDITIONING"], **more)


def used(*nodes: Json, links: Any = (), parts: Any = None) -> Json:
    """A loader (1) and these nodes."""
    return workflow(
        [LOADER, *nodes], list(links), subgraphs=[prompt_part()] if parts is None else parts
    )


def test_inner_nodes_have_the_id_of_the_instance_before_theirs_and_it_is_not_there() -> None:
    of = used(
        instance(70, slot("clip", 10), values=["first", 0.1]),
        instance(71, slot("clip", 11), values=["second", 0.2]),
        node(2, "Combine", slot("one", 12), slot("two", 13)),
        links=[
            link(10, 1, 1, 70, 0),
            link(11, 1, 1, 71, 0),
            link(12, 70, 0, 2, 0),
            link(13, 71, 0, 2, 1),
        ],
    )
    assert inputs_of(of) == {
        "1": {"ckpt_name": "one.safetensors"},
        "70:100": {"clip": ["1", 1], "text": "first"},
        "70:101": {"conditioning": ["70:100", 0], "strength": 0.1},
        "71:100": {"clip": ["1", 1], "text": "second"},
        "71:101": {"conditioning": ["71:100", 0], "strength": 0.2},
        "2": {"one": ["70:101", 0], "two": ["71:101", 0]},
    }


def test_missing_values_are_those_of_the_inner_widgets() -> None:
    found = inputs_of(used(instance(70, values=["first"]), instance(71)))
    assert (found["70:100"]["text"], found["70:101"]["strength"]) == ("first", 0.5)
    assert (found["71:100"]["text"], found["71:101"]["strength"]) == ("inner", 0.5)


def test_null_keeps_the_value_of_the_inner_widget() -> None:
    found = inputs_of(used(instance(70, values=[None, 0.1])))
    assert (found["70:100"]["text"], found["70:101"]["strength"]) == ("inner", 0.1)


def test_only_inputs_that_lead_to_a_widget_of_this_server_have_a_place() -> None:
    part = prompt_part()
    part["nodes"][0]["inputs"][1]["name"] = "gone"
    found = inputs_of(used(instance(70, values=[0.1]), parts=[part]))
    assert found["70:100"]["text"] == "inner"
    assert found["70:101"]["strength"] == 0.1


def test_an_input_that_is_linked_outside_gives_the_link() -> None:
    of = used(
        instance(70, slot("strength", 11), slot("text", 10), values=["first", 0.1]),
        node(80, "Text", values=["outside"]),
        node(81, "Number", values=[2]),
        links=[link(10, 80, 0, 70, 1), link(11, 81, 0, 70, 0)],
    )
    found = inputs_of(of)
    assert found["70:100"]["text"] == ["80", 0]
    assert found["70:101"]["strength"] == ["81", 0]


def test_one_input_may_set_several_widgets() -> None:
    part = subgraph(
        [
            node(5, "Number", slot("value", 1), values=[4]),
            node(6, "Latent", slot("width", 2), values=[8, 16, 1]),
        ],
        [(1, -10, 0, 5, 0, "INT"), (2, -10, 0, 6, 0, "INT")],
        inputs={"size": "INT"},
    )
    held = inputs_of(used(instance(70, values=[64]), parts=[part]))
    assert (held["70:5"]["value"], held["70:6"]["width"]) == (64, 64)
    first = inputs_of(used(instance(70), parts=[part]))
    assert (first["70:5"]["value"], first["70:6"]["width"]) == (4, 4)


def test_its_value_reaches_inputs_without_a_widget_as_well() -> None:
    part = subgraph(
        [
            node(5, "Number", slot("value", 1), values=[4]),
            node(6, "Encode", slot("clip", 2), slot("group.of_its_own", 3), values=["inner"]),
        ],
        [(1, -10, 0, 5, 0, "INT"), (2, -10, 0, 6, 0, "*"), (3, -10, 0, 6, 1, "*")],
        inputs={"size": "INT"},
    )
    held = inputs_of(used(instance(70, values=[64]), parts=[part]))
    assert held["70:5"] == {"value": 64}
    assert held["70:6"] == {"text": "inner", "clip": 64, "group.of_its_own": 64}


def test_a_promoted_text_is_sent_as_it_is() -> None:
    found = inputs_of(used(instance(70, values=["{a|b} // c"])))
    assert found["70:100"]["text"] == "{a|b} // c"


def test_the_value_of_a_primitive_node_does_not_get_into_a_subgraph() -> None:
    of = used(
        instance(70, slot("strength", 10), values=["first", 0.9]),
        node(80, "PrimitiveNode", values=[0.2]),
        links=[link(10, 80, 0, 70, 0)],
    )
    found = converted(of)
    assert found.graph["70:101"]["inputs"]["strength"] == 0.5
    assert "PrimitiveNode" in found.warnings[0].reason


def test_an_output_takes_its_first_link_and_may_come_from_an_input() -> None:
    part = subgraph(
        [node(5, "Number", values=[1]), node(6, "Number", values=[2])],
        [
            (1, 5, 0, -20, 0, "INT"),
            (2, 6, 0, -20, 0, "INT"),
            (3, -10, 0, -20, 1, "INT"),
        ],
        inputs={"through": "INT"},
        outputs=["INT", "INT"],
    )
    part["outputs"][0]["linkIds"] = [2, 1]
    of = used(
        node(70, SUBGRAPH, slot("through", 10)),
        node(8, "Number", values=[3]),
        node(2, "Latent", slot("width", 11), slot("height", 12), values=[8, 8, 1]),
        links=[link(10, 8, 0, 70, 0), link(11, 70, 0, 2, 0), link(12, 70, 1, 2, 1)],
        parts=[part],
    )
    found = inputs_of(of)["2"]
    assert (found["width"], found["height"]) == (["70:6", 0], ["8", 0])


class TestOtherVersion:
    """An instance whose list has values of widgets that this server does not know."""

    def saved(self, values: Any, **more: Any) -> Json:
        part = prompt_part()
        part["nodes"][0]["inputs"][1]["name"] = "gone"
        return used(instance(70, values=values, **more), parts=[part])

    def test_its_values_are_read_by_name_if_the_file_has_them(self) -> None:
        found = converted(
            self.saved(["x", 0.3], widgets_values_named={"text": "x", "strength": 0.3})
        )
        assert found.graph["70:101"]["inputs"]["strength"] == 0.3
        assert str(found.warnings[0]) == (
            f"{SUBGRAPH} (70): its values are read by name: their list is of another version."
        )

    def test_it_is_refused_if_values_would_get_to_wrong_inputs(self) -> None:
        with pytest.raises(
            WorkflowNotConvertible, match="belongs to which widget inside"
        ) as refused:
            converted(self.saved(["x", 0.3]))
        assert [each.node_id for each in refused.value.refusals] == ["70"]

    def test_spare_values_are_ignored(self) -> None:
        assert inputs_of(self.saved([0.3, "spare"]))["70:101"]["strength"] == 0.3

    def test_a_list_that_fits_wins_over_names(self) -> None:
        of = used(instance(70, values=["a", 0.3], widgets_values_named={"text": "b"}))
        assert inputs_of(of)["70:100"]["text"] == "a"


class TestModes:
    """Muted and bypassed instances."""

    @pytest.mark.parametrize(("mode", "left"), [(2, {}), (4, {"one": ["2", 0]})])
    def test_at_the_top_level_their_inside_is_left_out(self, mode: int, left: Json) -> None:
        part = prompt_part()
        part["inputs"][0] |= {"name": "conditioning", "type": "CONDITIONING"}
        of = used(
            node(2, "Encode", values=["x"]),
            instance(70, slot("conditioning", 10), mode=mode),
            node(3, "Combine", slot("one", 11, "CONDITIONING")),
            links=[link(10, 2, 0, 70, 0), link(11, 70, 0, 3, 0)],
            parts=[part],
        )
        found = inputs_of(of)
        assert found.keys() == {"1", "2", "3"}
        assert found["3"] == left

    def test_within_a_subgraph_their_inside_is_sent_but_nothing_leads_to_it(self) -> None:
        outer = subgraph(
            [
                instance(200, slot("clip", 1), of=OTHER_SUBGRAPH, mode=2),
                node(201, "Strength", slot("conditioning", 2), values=[1.0]),
            ],
            [(1, -10, 0, 200, 0, "CLIP"), (2, 200, 0, 201, 0, "CONDITIONING")],
            inputs={"clip": "CLIP"},
        )
        of = used(
            instance(90, slot("clip", 10)),
            links=[link(10, 1, 1, 90, 0)],
            parts=[outer, prompt_part(OTHER_SUBGRAPH)],
        )
        found = inputs_of(of)
        assert found["90:200:100"] == {"clip": ["1", 1], "text": "inner"}
        assert found["90:201"] == {"strength": 1.0}


class TestNested:
    """A subgraph within a subgraph."""

    def outer(self, *slots: Json, **more: Any) -> Json:
        return subgraph(
            [instance(200, *slots, of=OTHER_SUBGRAPH, **more)],
            [(1, -10, 0, 200, 0, "CLIP"), (2, -10, 1, 200, 1, "STRING")],
            inputs={"clip": "CLIP", "text": "STRING"},
        )

    @pytest.mark.parametrize("is_outer_first", [True, False])
    def test_a_nested_instance_has_values_of_its_own(self, is_outer_first: bool) -> None:
        parts = [self.outer(slot("clip", 1), values=["nested", 0.3]), prompt_part(OTHER_SUBGRAPH)]
        of = used(instance(90), parts=parts if is_outer_first else parts[::-1])
        found = inputs_of(of)
        assert found["90:200:100"]["text"] == "nested"
        assert found["90:200:101"]["strength"] == 0.3

    def test_the_outermost_instance_that_has_a_value_wins(self) -> None:
        outer = self.outer(slot("clip", 1), slot("text", 2), values=["nested", 0.3])
        parts = [outer, prompt_part(OTHER_SUBGRAPH)]
        found = inputs_of(used(instance(90, values=["outermost"]), parts=parts))
        assert found["90:200:100"]["text"] == "outermost"
        assert found["90:200:101"]["strength"] == 0.3
        assert inputs_of(used(instance(90), parts=parts))["90:200:100"]["text"] == "nested"

    def test_a_link_comes_from_outside_through_all_levels(self) -> None:
        parts = [self.outer(slot("clip", 1)), prompt_part(OTHER_SUBGRAPH)]
        of = used(instance(90, slot("clip", 10)), links=[link(10, 1, 1, 90, 0)], parts=parts)
        assert inputs_of(of)["90:200:100"]["clip"] == ["1", 1]


class TestOldPromotion:
    """`proxyWidgets`: pairs of an inner node and its widget, in the order of the values."""

    def held(self, pairs: Any, values: Any, part: Json | None = None) -> Json:
        of = instance(70, values=values, properties={"proxyWidgets": pairs})
        return inputs_of(used(of, parts=[part or prompt_part()]))

    def part_without_inputs(self) -> Json:
        """The subgraph with no input that leads to a widget."""
        part = prompt_part()
        part["inputs"], part["links"] = part["inputs"][:1], part["links"][::2]
        part["nodes"][1]["inputs"][1]["link"] = part["nodes"][0]["inputs"][1]["link"] = None
        return part

    def test_the_values_are_in_the_order_of_the_pairs(self) -> None:
        found = self.held([["101", "strength"], ["100", "text"]], [0.31, "swapped"])
        assert found["70:100"]["text"] == "swapped"
        assert found["70:101"]["strength"] == 0.31

    def test_a_pair_needs_no_input_of_the_subgraph(self) -> None:
        found = self.held(
            [["101", "strength"], ["100", "text"]], [0.31, "{a|b} // c"], self.part_without_inputs()
        )
        assert found["70:100"]["text"] == "{a|b} // c"
        assert found["70:101"]["strength"] == 0.31

    @pytest.mark.parametrize(
        "skipped", [["100", "$$canvas-image-preview"], ["-1", "text"], ["99", "x"], ["100", "gone"]]
    )
    def test_pairs_that_lead_nowhere_count(self, skipped: list[str]) -> None:
        pairs, values = [skipped, ["101", "strength"]], ["skipped", 0.31]
        found = self.held(pairs, values, self.part_without_inputs())
        assert found["70:100"]["text"] == "inner"
        assert found["70:101"]["strength"] == 0.31

    @pytest.mark.parametrize("step", [1, -1])
    def test_a_pair_may_name_an_input_of_the_subgraph(self, step: int) -> None:
        pairs, values = [["-1", "text"], ["101", "strength"]], ["outer", 0.31]
        found = self.held(pairs[::step], values[::step])
        assert found["70:100"]["text"] == "outer"
        assert found["70:101"]["strength"] == 0.31

    def test_an_input_without_a_pair_has_the_value_of_its_place_as_in_the_editor(self) -> None:
        found = self.held([["101", "strength"], ["99", "gone"]], [0.31, "second"])
        assert found["70:100"]["text"] == 0.31
        assert found["70:101"]["strength"] == 0.31

    @pytest.mark.parametrize("values", [[None, 0.31], [], None])
    def test_null_and_missing_values_keep_what_there_is(self, values: Any) -> None:
        found = self.held([["100", "text"], ["101", "strength"]], values)
        assert found["70:100"]["text"] == "inner"
        assert found["70:101"]["strength"] == (0.31 if values else 0.5)

    def test_a_pair_may_name_a_widget_that_an_inner_instance_shows(self) -> None:
        outer = subgraph(
            [instance(200, of=OTHER_SUBGRAPH, properties={"proxyWidgets": [["101", "strength"]]})],
            [],
        )
        pairs = {"proxyWidgets": [["200", "text"], ["200", "strength"]]}
        of = used(
            instance(90, values=["deep", 0.7], properties=pairs),
            parts=[outer, prompt_part(OTHER_SUBGRAPH)],
        )
        found = inputs_of(of)
        assert found["90:200:100"]["text"] == "deep"
        assert found["90:200:101"]["strength"] == 0.7

    def test_a_pair_that_may_mean_two_widgets_of_an_inner_instance_is_refused(self) -> None:
        twins = subgraph(
            [node(5, "Number", values=[1]), node(6, "Number", values=[2])], [], of=OTHER_SUBGRAPH
        )
        shown = {"proxyWidgets": [["5", "value"], ["6", "value"]]}
        outer = subgraph([node(200, OTHER_SUBGRAPH, properties=shown)], [])
        of = instance(90, values=[7], properties={"proxyWidgets": [["200", "value"]]})
        with pytest.raises(WorkflowNotConvertible, match="belongs to which widget inside"):
            converted(used(of, parts=[outer, twins]))

    def test_one_of_a_bypassed_node_gives_its_value_to_what_the_node_feeds(self) -> None:
        """The editor gives it an input of the subgraph, and bypassing leads there."""
        part = prompt_part()
        part["nodes"] += [node(5, "Text", slot("value"), values=["a"], mode=4, outputs=["STRING"])]
        part["links"][1] = {**part["links"][1], "origin_id": 5, "origin_slot": 0}
        pairs = {"proxyWidgets": [["5", "value"]]}
        found = inputs_of(used(instance(70, values=["b // {c|d}"], properties=pairs), parts=[part]))
        assert found["70:100"]["text"] == "b // {c|d}"
        found = inputs_of(used(instance(70), parts=[part]))
        assert found["70:100"]["text"] == "inner", "it is not promoted"

    @pytest.mark.parametrize("held", [[], [None], [1]])
    def test_a_promoted_primitive_node_gives_its_own_value(self, held: list[Any]) -> None:
        assert self.held([["5", "value"]], held, self.primitive_part())["70:6"]["value"] == 1

    def test_a_promoted_primitive_node_that_the_instance_holds_otherwise_is_refused(self) -> None:
        """The editor drops what the instance holds, which is what the user has seen."""
        with pytest.raises(WorkflowNotConvertible, match="its value is promoted"):
            self.held([["5", "value"]], [2], self.primitive_part())

    def primitive_part(self) -> dict[str, Any]:
        number = node(6, "Number", slot("value", 1), values=[4])
        return subgraph([node(5, "PrimitiveNode", values=[1]), number], [(1, 5, 0, 6, 0, "INT")])


def test_an_instance_that_makes_another_choice_is_refused() -> None:
    part = subgraph(
        [node(5, "Resize", slot("resize", 1), values=["factor", 2.0, "area"])],
        [(1, -10, 0, 5, 0, "COMBO")],
        inputs={"resize": "COMBO"},
    )
    assert inputs_of(used(instance(70, values=["factor"]), parts=[part]))["70:5"]["resize.factor"]
    with pytest.raises(WorkflowNotConvertible, match="which inputs come with that choice"):
        converted(used(instance(70, values=["size"]), parts=[part]))


def test_the_index_of_a_custom_combo_follows_the_choice_of_its_instance() -> None:
    part = subgraph(
        [node(5, "CustomCombo", slot("choice", 1), values=["a", 0, "a", "b", ""])],
        [(1, -10, 0, 5, 0, "COMBO")],
        inputs={"choice": "COMBO"},
    )
    found = inputs_of(used(instance(70, values=["b"]), parts=[part]))["70:5"]
    assert (found["choice"], found["index"]) == ("b", 1)


class TestIds:
    """An inner node whose id is taken gets one more than the highest so far."""

    def test_ids_of_the_top_level_are_taken(self) -> None:
        part = prompt_part()
        part["nodes"][0]["id"] = 1
        for each in part["links"]:
            for key in ("origin_id", "target_id"):
                each[key] = 1 if each[key] == 100 else each[key]
        pairs = {"proxyWidgets": [["1", "text"], ["101", "strength"]]}
        of = used(instance(70, values=["first", 0.1], properties=pairs), parts=[part])
        of["last_node_id"] = 75
        found = inputs_of(of)
        assert found.keys() == {"1", "70:76", "70:101"}
        assert found["70:76"]["text"] == "first"
        assert found["70:101"] == {"conditioning": ["70:76", 0], "strength": 0.1}

    def test_ids_of_earlier_subgraphs_are_taken_and_the_highest_rises_on_the_way(self) -> None:
        parts = [
            subgraph([node(120, "Number", values=[1]), node(1, "Number", values=[2])], []),
            subgraph([node(120, "Number", values=[3])], [], of=OTHER_SUBGRAPH),
        ]
        of = used(instance(70), instance(71, of=OTHER_SUBGRAPH), parts=parts)
        found = {node_id: each.get("value") for node_id, each in inputs_of(of).items()}
        assert found == {"1": None, "70:120": 1, "70:121": 2, "71:122": 3}


class TestGroupNodes:
    """What there was before subgraphs."""

    def saved(self, **more: Any) -> Json:
        inner = [
            {
                "type": "Encode",
                "inputs": [slot("clip", None, "CLIP")],
                "outputs": [slot("CONDITIONING", None, "CONDITIONING")],
                "widgets_values": ["inner"],
            },
            {
                "type": "Strength",
                "inputs": [slot("conditioning", None, "CONDITIONING")],
                "outputs": [slot("CONDITIONING", None, "CONDITIONING")],
                "widgets_values": [0.5],
            },
        ]
        group = {"nodes": inner, "links": [[0, 0, 1, 0, 1, "CONDITIONING"]], "external": []}
        of = workflow(
            [
                LOADER,
                node(
                    95,
                    "workflow>prompt",
                    slot(more.pop("slot", "clip"), 10, "CLIP"),
                    values=more.pop("values", ["group text", 0.77]),
                    outputs=more.pop("outputs", ["CONDITIONING"]),
                ),
                node(3, "Combine", slot("one", 11, "CONDITIONING")),
            ],
            [link(10, 1, 1, 95, 0), link(11, 95, 0, 3, 0)],
        )
        of["extra"] = {"groupNodes": {"prompt": group | more} if more is not None else {}}
        return of

    def test_one_becomes_a_subgraph_with_fresh_ids(self) -> None:
        assert inputs_of(self.saved()) == {
            "1": {"ckpt_name": "one.safetensors"},
            "98:96": {"clip": ["1", 1], "text": "group text"},
            "98:97": {"conditioning": ["98:96", 0], "strength": 0.77},
            "3": {"one": ["98:97", 0]},
        }

    def test_links_that_came_from_outside_when_it_was_made_say_nothing(self) -> None:
        links = [[None, 1, 0, 0, 1, "CLIP"], [0, 0, 1, 0, 1, "CONDITIONING"]]
        shown = {"index": 1, "type": "Strength"}  # older editors put the whole node there
        found = converted(self.saved(links=links, external=[[shown, 0, "CONDITIONING"]])).graph
        assert found == converted(self.saved()).graph

    def test_a_slot_may_have_a_name_of_its_own(self) -> None:
        config = {"0": {"input": {"clip": {"name": "text encoder"}}}}
        found = converted(self.saved(slot="text encoder", config=config)).graph
        assert found == converted(self.saved()).graph

    def test_inner_widgets_need_no_slot(self) -> None:
        of = self.saved()
        for inner, name in zip(
            of["extra"]["groupNodes"]["prompt"]["nodes"], ("text", "strength"), strict=True
        ):
            inner["inputs"].append(slot(name, None, "STRING", widget={"name": name}))
        assert converted(of).graph == converted(self.saved()).graph

    def test_a_widget_that_is_fed_from_inside_has_no_value_outside(self) -> None:
        inner = [
            {"type": "Number", "outputs": [slot("INT", type="INT")], "widgets_values": [7]},
            {
                "type": "KSampler",
                "inputs": [
                    slot("model", type="MODEL"),
                    slot("seed", type="INT", widget={"name": "seed"}),
                    slot("cfg", type="FLOAT", widget={"name": "cfg"}),
                ],
                "outputs": [slot("LATENT", type="LATENT")],
                "widgets_values": [1, "randomize", 20, 8.0, "euler", 1.0],
            },
        ]
        group = {"nodes": inner, "links": [[0, 0, 1, 1, 1, "INT"], [0, 0, 1, 2, 1, "INT"]]}
        saved = [9, 30, "heun", 0.5]
        of = workflow(
            [node(5, "workflow>pass", slot("model"), values=saved, outputs=["LATENT"])],
            extra={"groupNodes": {"pass": group}},
        )
        found = inputs_of(of)
        assert found["8:6"] == {"value": 9}
        given = {"steps": 30, "sampler_name": "heun", "denoise": 0.5}
        assert found["8:7"] == given | {"seed": ["8:6", 0], "cfg": ["8:6", 0]}
        of["nodes"][0]["widgets_values"] = [9, 1, "randomize", *saved]
        with pytest.raises(WorkflowNotConvertible, match="which value belongs"):
            converted(of)

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"values": ["group text"]}, "which value belongs to which inner node"),
            ({"outputs": ["LATENT"]}, "which slot belongs to which inner node"),
            ({"links": []}, "which slot belongs to which inner node"),
            ({"slot": "vae"}, "which slot belongs to which inner node"),
            ({"links": ["?"]}, "cannot be read"),
            ({"config": {"0": {"input": {"clip": {"name": "vae"}}}}}, "which slot belongs"),
            ({"nodes": [{"type": "workflow>other"}]}, "another group node is in it"),
        ],
    )
    def test_one_that_may_mean_several_things_is_refused(self, more: Json, words: str) -> None:
        with pytest.raises(WorkflowNotConvertible, match=f"it is a group node: .*{words}"):
            converted(self.saved(**more))

    def test_one_without_a_definition_is_refused(self) -> None:
        of = self.saved()
        del of["extra"]
        with pytest.raises(WorkflowNotConvertible, match="does not say what is in it"):
            converted(of)


class TestSize:
    """Files that are made to grow."""

    def test_a_subgraph_that_contains_itself_is_refused_by_name(self) -> None:
        part = subgraph([node(5, OTHER_SUBGRAPH)], [])
        other = subgraph([node(6, SUBGRAPH)], [], of=OTHER_SUBGRAPH)
        with pytest.raises(InvalidWorkflow, match='The subgraph "part" contains itself'):
            converted(used(instance(70), parts=[part, other]))
        with pytest.raises(InvalidWorkflow, match='The subgraph "part" contains itself'):
            converted(used(parts=[part, other]))

    def test_levels_are_bounded(self) -> None:
        def nested(levels: int) -> Json:
            ids = [str(each) for each in range(levels)]
            parts = [subgraph([node(2000 + int(a), b)], [], of=a) for a, b in pairwise(ids)]
            innermost = subgraph([node(5000, "Number", values=[1])], [], of=ids[-1])
            return used(instance(70, of="0"), parts=[*parts, innermost])

        assert len(inputs_of(nested(MOST_LEVELS))) == 2
        for levels in (MOST_LEVELS + 1, 1000):
            with pytest.raises(InvalidWorkflow, match="nested in more than"):
                converted(nested(levels))

    def test_levels_are_bounded_where_a_part_of_them_is_used_elsewhere_too(self) -> None:
        half = MOST_LEVELS // 2 + 1

        def nested(first: int, last: str) -> list[Json]:
            ids = [*map(str, range(first, first + half)), last]
            return [subgraph([node(2000 + int(a), b)], [], of=a) for a, b in pairwise(ids)]

        parts = [*nested(0, "Number"), *nested(1000, "0")]
        with pytest.raises(InvalidWorkflow, match="nested in more than"):
            converted(used(instance(70, of="0"), instance(71, of="1000"), parts=parts))

    def test_nodes_are_counted_before_they_are_made(self) -> None:
        doubling = [
            subgraph([node(2 * n + 100, str(n + 1)), node(2 * n + 101, str(n + 1))], [], of=str(n))
            for n in range(40)
        ]
        innermost = subgraph([node(5, "Number", values=[1])], [], of="40")
        with pytest.raises(InvalidWorkflow, match=f"{MOST_NODES:,} are the most"):
            converted(used(instance(70, of="0"), parts=[*doubling, innermost]))
