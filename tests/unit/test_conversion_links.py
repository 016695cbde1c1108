"""Links through what the server never sees: muted, bypassed and virtual nodes, and text."""

from typing import Any

import pytest

from anime.core.conversion.findings import ModelFile
from anime.errors import WorkflowNotConvertible
from tests.support.editor_workflows import (
    OTHER_SUBGRAPH,
    SUBGRAPH,
    Json,
    converted,
    inputs_of,
    link,
    node,
    node_class,
    slot,
    subgraph,
    workflow,
)


def chain(*middle: Json, links: list[Any]) -> Json:
    """A picture (1) that is saved (9), with nodes and links between them; 50 enters the saver."""
    ends = [
        node(1, "Picture", values=["a.png", "image"], outputs=["IMAGE", "MASK"]),
        node(9, "Save", slot("images", 50, "IMAGE"), values=["x"]),
    ]
    return workflow([*ends, *middle], links)


def test_a_node_has_its_class_its_title_and_links_by_id_and_slot() -> None:
    of = workflow(
        [
            node(1, "Loader", values=["one.safetensors"]),
            node(2, "Encode", slot("clip", 5), values=["cat"], title="Prompt"),
        ],
        [link(5, 1, 1, 2, 0)],
    )
    assert converted(of).graph == {
        "1": {
            "class_type": "Loader",
            "inputs": {"ckpt_name": "one.safetensors"},
            "_meta": {"title": "Load a checkpoint"},
        },
        "2": {
            "class_type": "Encode",
            "inputs": {"text": "cat", "clip": ["1", 1]},
            "_meta": {"title": "Prompt"},
        },
    }


@pytest.mark.parametrize("mode", [0, 1, 3])
def test_nodes_of_other_modes_and_loose_nodes_run(mode: int) -> None:
    assert list(inputs_of(workflow([node(1, "Number", values=[4], mode=mode)]))) == ["1"]


def test_a_muted_node_is_left_out_and_what_it_fed_gets_nothing() -> None:
    of = chain(
        node(2, "Invert", slot("image", 40), mode=2),
        links=[link(40, 1, 0, 2, 0), link(50, 2, 0, 9, 0)],
    )
    assert inputs_of(of)["9"] == {"filename_prefix": "x"}


def test_a_bypassed_node_is_left_out_and_bridged() -> None:
    of = chain(
        node(2, "Invert", slot("image", 40), mode=4, outputs=["IMAGE"]),
        links=[link(40, 1, 0, 2, 0), link(50, 2, 0, 9, 0)],
    )
    assert inputs_of(of)["9"]["images"] == ["1", 0]


BRIDGES = [
    # The input with the same place, if its type is right.
    ({"a": "MODEL", "b": "CLIP"}, ["MODEL", "CLIP"], 1, "CLIP", "b"),
    # Else the first of that very type, though one before it would do.
    ({"a": "LATENT", "b": "*", "c": "IMAGE"}, ["IMAGE"], 0, "IMAGE", "c"),
    # Else the first that may be joined.
    ({"a": "LATENT", "b": "MASK,IMAGE"}, ["IMAGE"], 0, "IMAGE", "b"),
    # None: the link is gone.
    ({"a": "LATENT", "b": "VAE"}, ["IMAGE"], 0, "IMAGE", None),
    # Any type is wanted: the same place, or the first.
    ({"a": "LATENT", "b": "VAE"}, ["IMAGE", "MASK"], 1, "*", "b"),
    ({"a": "LATENT"}, ["IMAGE", "MASK"], 1, "*", "a"),
    # Sockets come first, then inputs with a widget.
    ({"n": "INT", "a": "LATENT"}, ["INT"], 0, "INT", "n"),
]


@pytest.mark.parametrize(("inputs", "outputs", "origin_slot", "wanted", "through"), BRIDGES)
@pytest.mark.parametrize("is_known", [True, False])
def test_which_input_stands_in_for_an_output_of_a_bypassed_node(
    inputs: dict[str, str],
    outputs: list[str],
    origin_slot: int,
    wanted: str,
    through: str | None,
    is_known: bool,
) -> None:
    sources = {name: place for place, name in enumerate(inputs, 20)}
    of = workflow(
        [
            *(node(place, "Number", values=[1]) for place in sources.values()),
            node(
                2,
                "Between",
                *(slot(name, sources[name], kind) for name, kind in inputs.items()),
                outputs=outputs,
                mode=4,
            ),
            node(3, "Taker", slot("x", 50, wanted)),
        ],
        [
            *(link(place, place, 0, 2, index) for index, place in enumerate(sources.values())),
            link(50, 2, origin_slot, 3, 0),
        ],
    )
    classes = {"Taker": node_class({"x": [wanted, {}]})}
    if is_known:
        classes["Between"] = node_class(
            {name: [kind, {}] for name, kind in inputs.items()}, *outputs
        )
    found = inputs_of(of, **classes)["3"].get("x")
    assert found == ([str(sources[through]), 0] if through else None)


def test_what_comes_with_a_choice_stands_after_it_in_a_bypassed_node() -> None:
    """Only the node's own sockets come before its widgets."""
    brought = {"picture": ["IMAGE", {}], "size": ["INT", {"default": 8}]}
    options = [{"key": "a", "inputs": {"required": brought}}]
    classes = {
        "Asked": node_class(
            {
                "prompt": ["STRING", {}],
                "model": ["COMFY_DYNAMICCOMBO_V3", {"options": options}],
                "seed": ["INT", {"default": 0}],
            },
            *("STRING", "INT", "IMAGE", "IMAGE"),
        ),
        "Any": node_class({"x": ["*", {}]}),
    }
    kinds = {"prompt": "STRING", "model.picture": "IMAGE", "seed": "INT"}
    for place, origin in enumerate((["20", 0], None, ["21", 0])):
        of = workflow(
            [
                node(20, "Text", values=["a"]),
                node(21, "Picture", values=["a.png"]),
                node(22, "Number", values=[1]),
                node(
                    2,
                    "Asked",
                    *(slot(name, 30 + at, kind) for at, (name, kind) in enumerate(kinds.items())),
                    values=["", "a", 8, 0],
                    mode=4,
                    outputs=["STRING", "INT", "IMAGE", "IMAGE"],
                ),
                node(3, "Any", slot("x", 50)),
            ],
            [*(link(30 + at, 20 + at, 0, 2, at) for at in range(3)), link(50, 2, place, 3, 0)],
        )
        assert inputs_of(of, **classes)["3"].get("x") == origin


def test_no_other_input_is_tried_where_the_one_chosen_is_not_linked() -> None:
    of = workflow(
        [
            node(1, "Encode", values=["a"]),
            node(
                2,
                "Combine",
                slot("one", None, "CONDITIONING"),
                slot("two", 5, "CONDITIONING"),
                mode=4,
                outputs=["CONDITIONING"],
            ),
            node(3, "Strength", slot("conditioning", 6, "CONDITIONING"), values=[1.0]),
        ],
        [link(5, 1, 0, 2, 1), link(6, 2, 0, 3, 0)],
    )
    assert inputs_of(of)["3"] == {"strength": 1.0}


def test_before_a_bypassed_node_the_type_of_its_own_input_is_wanted() -> None:
    of = workflow(
        [
            node(1, "Loader", values=["one.safetensors"]),
            node(2, "Latent", values=[8, 8, 1]),
            node(3, "KSampler", slot("model", 1), slot("latent", 2, "LATENT"), mode=4),
            node(4, "Switch", slot("any", 3), mode=4),
            node(5, "Decode", slot("samples", 4, "LATENT")),
        ],
        [link(1, 1, 0, 3, 0), link(2, 2, 0, 3, 1), link(3, 3, 0, 4, 0), link(4, 4, 0, 5, 0)],
    )
    for any_type, origin in {"*": ["1", 0], "LATENT": ["2", 0]}.items():
        switch = node_class({"any": [any_type, {}]}, any_type)
        assert inputs_of(of, Switch=switch)["5"] == {"samples": origin}, any_type


def test_outside_a_subgraph_the_type_of_its_input_is_wanted() -> None:
    inside = subgraph(
        [node(9, "Keep", slot("any", 90))], [[90, -10, 0, 9, 0, "*"]], inputs={"x": "STRING"}
    )
    of = workflow(
        [
            node(1, "Number", values=[1]),
            node(2, "Text", values=["a"]),
            node(3, "Either", slot("number", 1), slot("text", 2), mode=4, outputs=["STRING"]),
            node(4, SUBGRAPH, slot("x", 3, "STRING")),
        ],
        [link(1, 1, 0, 3, 0), link(2, 2, 0, 3, 1), link(3, 3, 0, 4, 0)],
        subgraphs=[inside],
    )
    either = node_class({"number": ["NUMBER", {}], "text": ["STRING", {}]}, "STRING")
    found = inputs_of(of, Either=either, Keep=node_class({"any": ["*", {}]}))
    assert found["4:9"] == {"any": ["2", 0]}


def test_a_link_to_nothing_leaves_the_widget_its_own_value() -> None:
    of = workflow(
        [
            node(1, "Number", values=[9], mode=2),
            node(2, "Latent", slot("width", 5), slot("height", 6), values=[8, 16, 1]),
            node(3, "Reroute", slot("")),
        ],
        [link(5, 1, 0, 2, 0), link(6, 3, 0, 2, 1)],
    )
    assert inputs_of(of)["2"] == {"width": 8, "height": 16, "batch_size": 1}


def test_reroutes_are_passed_and_the_wanted_type_is_kept() -> None:
    of = chain(
        node(2, "Reroute", slot("", 41), outputs=["*"]),
        node(3, "Reroute", slot("", 42), outputs=["*"]),
        node(4, "Invert", slot("image", 40), mode=4, outputs=["IMAGE"]),
        links=[
            link(40, 1, 0, 4, 0),
            link(41, 4, 0, 2, 0),
            link(42, 2, 0, 3, 0),
            link(50, 3, 0, 9, 0),
        ],
    )
    assert inputs_of(of)["9"]["images"] == ["1", 0]


def test_a_reroute_with_nothing_before_it_gives_nothing() -> None:
    of = chain(node(2, "Reroute", slot("")), links=[link(50, 2, 0, 9, 0)])
    assert inputs_of(of)["9"] == {"filename_prefix": "x"}


def test_notes_and_points_that_only_bend_a_link_mean_nothing() -> None:
    of = chain(
        node(2, "Note", values=["hello"]),
        node(3, "MarkdownNote", values=["hello"]),
        links=[link(50, 1, 0, 9, 0)],
    )
    of["extra"] = {"reroutes": [{"id": 1}], "linkExtensions": [{"id": 50, "parentId": 1}]}
    of["floatingLinks"] = [{"id": 3}]
    assert list(inputs_of(of)) == ["1", "9"]


class TestPrimitiveNode:
    """The old kind of primitive: a value without a node in the graph."""

    @pytest.mark.parametrize("mode", [0, 2, 4])
    def test_its_value_goes_into_every_widget_that_it_feeds_whatever_its_mode(
        self, mode: int
    ) -> None:
        of = workflow(
            [
                node(1, "PrimitiveNode", values=[77, "fixed"], mode=mode),
                node(2, "Latent", slot("width", 5), slot("height", 6), values=[8, 16, 1]),
            ],
            [link(5, 1, 0, 2, 0), link(6, 1, 0, 2, 1)],
        )
        assert inputs_of(of) == {"2": {"width": 77, "height": 77, "batch_size": 1}}

    def test_it_gives_nothing_to_an_input_without_a_widget(self) -> None:
        of = workflow(
            [node(1, "PrimitiveNode", values=[77]), node(2, "Invert", slot("image", 5))],
            [link(5, 1, 0, 2, 0)],
        )
        assert inputs_of(of) == {"2": {}}

    def test_another_choice_than_the_one_saved_is_refused(self) -> None:
        def saved(choice: str) -> Json:
            return workflow(
                [
                    node(1, "PrimitiveNode", values=[choice]),
                    node(2, "Resize", slot("resize", 5), values=["factor", 2.0, "area"]),
                ],
                [link(5, 1, 0, 2, 0)],
            )

        assert inputs_of(saved("factor"))["2"]["resize.factor"] == 2.0
        with pytest.raises(WorkflowNotConvertible, match="which inputs come with that choice"):
            converted(saved("size"))

    def test_its_value_does_not_get_through_a_reroute(self) -> None:
        of = workflow(
            [
                node(1, "PrimitiveNode", values=[77]),
                node(3, "Reroute", slot("", 4)),
                node(2, "Number", slot("value", 5), values=[1]),
            ],
            [link(4, 1, 0, 3, 0), link(5, 3, 0, 2, 0)],
        )
        done = converted(of)
        assert done.graph["2"]["inputs"] == {"value": 1}
        (warning,) = done.warnings
        assert warning.reason.startswith("value keeps its own value: the editor brings that of a")


class TestGetNode:
    """KJNodes' pair without a link: a GetNode stands for the SetNode of the same name."""

    def saved(self, *more: Json, **getter: Any) -> Json:
        return chain(
            node(2, "SetNode", slot("IMAGE", 40), values=["picture"], outputs=["*"]),
            node(3, "GetNode", **{"values": ["picture"], "outputs": ["IMAGE"]} | getter),
            *more,
            links=[link(40, 1, 0, 2, 0), link(50, 3, 0, 9, 0)],
        )

    def test_it_gives_what_feeds_the_set_node(self) -> None:
        assert inputs_of(self.saved()) == {
            "1": {"image": "a.png"},
            "9": {"filename_prefix": "x", "images": ["1", 0]},
        }

    def test_a_set_node_may_be_passed_as_a_reroute(self) -> None:
        of = self.saved(values=["other"])
        of["links"][-1] = link(50, 2, 0, 9, 0)
        assert inputs_of(of)["9"]["images"] == ["1", 0]

    def test_in_a_subgraph_it_may_mean_a_set_node_outside(self) -> None:
        part = subgraph(
            [
                node(103, "GetNode", values=["picture"], outputs=["IMAGE"]),
                node(109, "Invert", slot("image", 60)),
            ],
            [(60, 103, 0, 109, 0, "IMAGE")],
        )
        of = self.saved(node(70, SUBGRAPH))
        of["definitions"]["subgraphs"] = [part]
        assert inputs_of(of)["70:109"] == {"image": ["1", 0]}

    @pytest.mark.parametrize("mode", [2, 4])
    def test_muted_or_bypassed_it_gives_nothing(self, mode: int) -> None:
        assert "images" not in inputs_of(self.saved(mode=mode))["9"]

    def test_one_that_nothing_feeds_gives_nothing(self) -> None:
        of = self.saved()
        of["nodes"][2]["inputs"][0]["link"] = None
        assert "images" not in inputs_of(of)["9"]

    @pytest.mark.parametrize(
        ("more", "name"),
        [([node(4, "SetNode", slot("IMAGE"), values=["picture"])], "picture"), ([], "unknown")],
    )
    def test_without_the_one_set_node_that_it_means_it_is_refused(
        self, more: list[Json], name: str
    ) -> None:
        of = self.saved(*more, values=[name])
        with pytest.raises(WorkflowNotConvertible, match=f"{name}, and .* SetNodes? of that name"):
            converted(of)


class TestAnythingEverywhere:
    """cg-use-everywhere's nodes, which feed inputs without a link."""

    EVERYWHERE = node_class({}, optional={"anything": ["*", {}]}, output_node=True)

    def saved(self, **extra: Any) -> Json:
        of = workflow(
            [
                node(1, "Loader", outputs=["MODEL", "CLIP", "VAE"]),
                node(2, "Latent"),
                node(3, "Decode", slot("samples", 5), slot("vae")),
                node(4, "Anything Everywhere", slot("anything", 6)),
                node(5, "Number", slot("value"), values=[1]),
                node(6, "Number", values=[7], outputs=["INT"]),
            ],
            [link(5, 2, 0, 3, 0), link(6, 1, 2, 4, 0)],
        )
        return of | {"extra": extra}

    def inputs_of(self, of: Json) -> dict[str, Json]:
        return inputs_of(of, **{"Anything Everywhere": self.EVERYWHERE})

    def feed(self, target: int, slot: int, origin: Any, origin_slot: int) -> Json:
        return {
            "downstream": target,
            "downstream_slot": slot,
            "upstream": origin,
            "upstream_slot": origin_slot,
            "controller": 4,
            "type": "VAE",
        }

    def test_what_the_file_lists_is_linked(self) -> None:
        found = self.inputs_of(
            self.saved(ue_links=[self.feed(3, 1, "1", 2), self.feed(5, 0, "6", 0)])
        )
        assert found["3"] == {"samples": ["2", 0], "vae": ["1", 2]}
        assert found["5"] == {"value": ["6", 0]}
        assert found["4"] == {"anything": ["1", 2]}

    def test_a_link_wins_and_what_leads_nowhere_is_nothing(self) -> None:
        feeds = [self.feed(3, 0, "1", 0), self.feed(3, 9, "1", 2), self.feed(99, 0, "1", 2)]
        feeds.append(self.feed(3, 1, "99", 0))
        assert self.inputs_of(self.saved(ue_links=feeds))["3"] == {"samples": ["2", 0]}

    def test_in_a_subgraph_as_well(self) -> None:
        part = subgraph(
            [node(101, "Loader"), node(102, "Decode", slot("samples"), slot("vae"))], []
        )
        part["extra"] = {"ue_links": [self.feed(102, 1, "101", 2)]}
        of = self.saved(ue_links=[])
        of["nodes"].append(node(70, SUBGRAPH))
        of["definitions"]["subgraphs"] = [part]
        assert self.inputs_of(of)["70:102"] == {"vae": ["70:101", 2]}

    @pytest.mark.parametrize(
        "listed", [{}, {"ue_links": None}, {"ue_links": [{"downstream": 3}]}, {"ue_links": "none"}]
    )
    def test_without_a_list_to_be_read_it_is_refused_unless_it_is_muted(self, listed: Json) -> None:
        of = self.saved(**listed)
        with pytest.raises(WorkflowNotConvertible, match="feeds inputs that have no link"):
            self.inputs_of(of)
        of["nodes"][3]["mode"] = 2
        assert self.inputs_of(of)["3"] == {"samples": ["2", 0]}


def test_what_only_works_in_the_editor_means_nothing() -> None:
    of = chain(
        node(2, "Reroute (rgthree)", slot("", 40), outputs=["*"]),
        node(3, "Fast Groups Muter (rgthree)", outputs=["*"]),
        node(4, "Label (rgthree)"),
        node(5, "Mute / Bypass Repeater (rgthree)", slot("", 41), outputs=["*"]),
        links=[link(40, 1, 0, 2, 0), link(41, 1, 0, 5, 0), link(50, 2, 0, 9, 0)],
    )
    assert list(inputs_of(of)) == ["1", "9"]
    assert inputs_of(of)["9"]["images"] == ["1", 0]


class TestUnknownClasses:
    """Nodes that the server does not have."""

    def test_all_of_them_are_refused_by_name_with_their_package(self) -> None:
        of = workflow(
            [
                node(1, "Theirs", title="Look", properties={"cnr_id": "their-pack"}),
                node(2, "Others", properties={"aux_id": "who/what", "cnr_id": "comfy-core"}),
                node(3, OTHER_SUBGRAPH),
                node(4, "Positive-Negative with Text (Theirs)"),  # as long as the id of a subgraph
            ]
        )
        with pytest.raises(WorkflowNotConvertible) as refused:
            converted(of)
        assert [str(each) for each in refused.value.refusals] == [
            'Theirs "Look" (1): the server has no such node class. It comes from their-pack.',
            "Others (2): the server has no such node class. It comes from who/what.",
            f"{OTHER_SUBGRAPH} (3): the subgraph that it stands for is not in the file.",
            "Positive-Negative with Text (Theirs) (4): the server has no such node class.",
        ]

    def test_the_message_names_a_few_and_how_many_more(self) -> None:
        of = workflow([node(each, "Theirs") for each in range(1, 41)])
        with pytest.raises(WorkflowNotConvertible, match="and 35 more") as refused:
            converted(of)
        assert len(refused.value.refusals) == 40

    def test_muted_ones_do_not_matter(self) -> None:
        assert inputs_of(workflow([node(1, "Theirs", mode=2)])) == {}


class TestPrompts:
    """Texts that the editor changes."""

    @pytest.mark.parametrize(
        ("text", "sent"),
        [
            ("a cat", "a cat"),
            ("a // b\nc /* d\n e */ f", "a \nc  f"),
            ("see https://example.com/x now\nend", "see https:\nend"),
            ("a // b /* c\n d */ e", "a \n d */ e"),
            ("{only} {} {a{b}c}", "only  abc"),
            (r"\{kept\} \| a \n b", r"{kept} | a \n b"),
            ("a | b", "a | b"),
            (r"\{ {a} \}\}", "{ a }}"),
        ],
    )
    def test_comments_and_braces_without_a_choice_go(self, text: str, sent: str) -> None:
        assert inputs_of(workflow([node(1, "Encode", values=[text])]))["1"]["text"] == sent

    @pytest.mark.parametrize("text", ["{a|b} cat", "{a {b|c}}", "{a", "a}", r"\{ {a|b}"])
    def test_braces_whose_result_nobody_knows_are_sent_as_written(self, text: str) -> None:
        found = converted(workflow([node(1, "Encode", values=[f"{text} // note"])]))
        assert found.graph["1"]["inputs"]["text"] == f"{text} "
        assert "replaces by chance" in found.warnings[0].reason

    def test_other_texts_stay(self) -> None:
        of = workflow([node(1, "Text", values=["{a|b} // c"])])
        assert inputs_of(of)["1"]["value"] == "{a|b} // c"

    @pytest.mark.parametrize(
        ("prefix", "sent"),
        [
            ("%KSampler.seed%", "7"),
            ("%Main.steps%_%KSampler.cfg%", "20_5.5"),
            ("%KSampler.denoise%", "1"),
            ("%Latent.width%", "8"),
            ("%Text.value%", "a_b_c"),
            ("%nothing%_%Gone.x%_%Latent.gone%_100%", "%nothing%_%Gone.x%_%Latent.gone%_100%"),
            ("%date:yyyy%_%year%", "%date:yyyy%_%year%"),
        ],
    )
    def test_a_file_name_takes_values_of_other_nodes(self, prefix: str, sent: str) -> None:
        sampler = [7, "fixed", 20, 5.5, "euler", 1.0]
        of = workflow(
            [
                node(1, "KSampler", values=sampler, title="Main"),
                node(2, "Latent", values=[8, 8, 1]),
                node(3, "Text", values=["a/b:c"]),
                node(4, "Save", values=[prefix]),
            ]
        )
        assert inputs_of(of)["4"]["filename_prefix"] == sent

    def test_a_date_in_a_file_name_stays_and_is_told(self) -> None:
        found = converted(workflow([node(4, "Save", values=["%date:yyyy-MM-dd%"])]))
        assert found.graph["4"]["inputs"]["filename_prefix"] == "%date:yyyy-MM-dd%"
        assert "the time of its export" in found.warnings[0].reason

    def test_of_several_nodes_that_a_file_name_may_mean_the_first_counts_and_is_told(self) -> None:
        def saved(*widths: int) -> Json:
            sizes = [
                node(9 - place, "Latent", values=[each, 8, 1]) for place, each in enumerate(widths)
            ]
            return workflow([*sizes, node(4, "Save", values=["%Latent.width%"])])

        for widths, warnings in (
            ((8, 8), []),
            ((8, 9), ["filename_prefix names Latent, of which"]),
        ):
            found = converted(saved(*widths))
            assert found.graph["4"]["inputs"]["filename_prefix"] == "8"
            assert [each.reason[:38] for each in found.warnings] == warnings

    def test_a_file_name_in_a_subgraph_that_names_a_node_is_refused(self) -> None:
        part = subgraph([node(104, "Save", values=["%Latent.width%"])], [])
        of = workflow([node(9, "Latent"), node(70, SUBGRAPH)], subgraphs=[part])
        with pytest.raises(WorkflowNotConvertible, match="not certain which one"):
            converted(of)


def test_a_link_that_does_not_fit_is_told() -> None:
    of = workflow(
        [
            node(1, "Loader", values=["one.safetensors"], title="Models"),
            node(2, "Invert", slot("image", 5, "IMAGE")),
            node(3, "Invert", slot("image", 6, "IMAGE")),
        ],
        [link(5, 1, 1, 2, 0), link(6, 1, 7, 3, 0)],
    )
    assert [each.reason for each in converted(of).warnings] == [
        "image takes IMAGE, and is linked to CLIP of Models.",
        "image is linked to output 7 of Models, which has none.",
    ]


def test_missing_models_have_the_address_that_nodes_and_notes_name() -> None:
    models = [{"name": "a.safetensors", "url": "https://models.example/a", "directory": "loras"}]
    note = "[b.safetensors](https://models.example/b), [a.safetensors](https://other.example/a)"
    of = workflow(
        [
            node(1, "Loader", values=["a.safetensors"], properties={"models": models}),
            node(2, "MarkdownNote", values=[f"Get {note} and [docs](https://docs.example)"]),
            node(3, "Loader", values=["sub\\b.safetensors"]),
            node(4, "Loader", values=["c.safetensors"]),
            node(5, "Loader", values=["one.safetensors"]),
            node(6, "KSampler", values=[7, "fixed", 20, 8, "gone", 1]),
        ]
    )
    assert converted(of).missing_models == (
        ModelFile("a.safetensors", "https://models.example/a", "loras"),
        ModelFile("b.safetensors", "https://models.example/b"),
        ModelFile("c.safetensors"),
    )
