"""Which value of a saved list belongs to which input: one sample for each rule."""

from typing import Any

import pytest

from anime.errors import WorkflowNotConvertible
from tests.support.editor_workflows import (
    MATCH,
    SEED,
    Json,
    converted,
    inputs_of,
    link,
    node,
    node_class,
    slot,
    workflow,
)


def values(of: Json, values: Any, *slots: Json, **more: Any) -> Json:
    """The inputs of one node of that class with these saved values."""
    saved = workflow([node(1, "Node", *slots, values=values, **more)])
    return inputs_of(saved, Node=of)["1"]


COMBO = ["COMBO", {"options": ["a", "b"]}]


@pytest.mark.parametrize(
    ("inputs", "saved", "sent"),
    [
        # The widgets in the order of the definition; what only takes a link has no place.
        ({"m": ["MODEL"], "a": ["INT", {}], "b": ["STRING", {}]}, [1, "x"], {"a": 1, "b": "x"}),
        ({"a": ["INT", {"forceInput": True}], "b": ["INT", {}]}, [2], {"b": 2}),
        ({"a": ["FLOAT,INT", {"widgetType": "FLOAT"}]}, [2.5], {"a": 2.5}),
        ({"a": ["FLOAT,INT", {}], "b": ["INT", {}]}, [2], {"b": 2}),
        # A seed is followed by what becomes of it after a run.
        ({"n": SEED, "b": ["INT", {}]}, [7, "randomize", 2], {"n": 7, "b": 2}),
        ({"seed": ["INT", {}], "b": ["INT", {}]}, [7, "fixed", 2], {"seed": 7, "b": 2}),
        ({"noise_seed": ["INT", {}]}, [7, "fixed"], {"noise_seed": 7}),
        (
            {"seed": ["INT", {"control_after_generate": False}], "b": ["INT", {}]},
            [7, 2],
            {"seed": 7, "b": 2},
        ),
        (
            {"c": ["COMBO", {"options": ["a"], "control_after_generate": True}], "b": ["INT", {}]},
            ["a", "fixed", "filter", 2],
            {"c": "a", "b": 2},
        ),
        # The button for an upload comes last.
        (
            {"image": [["a.png"], {"image_upload": True}], "b": ["INT", {}]},
            ["x.png", 4, "image"],
            {"image": "x.png", "b": 4},
        ),
        # A box has its four numbers once more; a comparison has no place, but is sent.
        (
            {"box": ["BOUNDING_BOX", {}], "b": ["INT", {}]},
            [{"x": 1}, 0, 0, 5, 5, 9],
            {"box": {"x": 1}, "b": 9},
        ),
        (
            {"view": ["IMAGECOMPARE", {"socketless": True}], "b": ["INT", {}]},
            [9],
            {"view": {"__value__": ["", ""]}, "b": 9},
        ),
        # A combo that asks another server has a switch and perhaps a button.
        (
            {"r": ["COMBO", {"remote": {"refresh_button": True}}], "b": ["INT", {}]},
            ["x", False, None, 9],
            {"r": "x", "b": 9},
        ),
        ({"r": ["COMBO", {"remote": {}}], "b": ["INT", {}]}, ["x", False, 9], {"r": "x", "b": 9}),
        # Lists are wrapped, objects are not.
        ({"boxes": ["BOUNDING_BOXES", {}]}, [[{"x": 1}]], {"boxes": {"__value__": [{"x": 1}]}}),
        (
            {"curve": ["CURVE", {}]},
            [[[0, 0], [1, 1]]],
            {"curve": {"__type__": "CURVE", "__value__": [[0, 0], [1, 1]]}},
        ),
        ({"curve": ["CURVE", {}]}, [{"points": []}], {"curve": {"points": []}}),
        # Nothing is checked, rounded or turned.
        ({"c": COMBO}, ["gone"], {"c": "gone"}),
        ({"c": COMBO}, [{"object": 1}], {"c": {"object": 1}}),
        ({"a": ["INT", {}]}, ["text"], {"a": "text"}),
        ({"a": ["INT", {}]}, [2**53 + 1], {"a": 2**53 + 1}),
        ({"a": ["INT", {}]}, [None], {"a": None}),
        ({"c": COMBO}, [None], {"c": "a"}),
        ({"c": ["COMBO", {"options": []}]}, [None], {"c": None}),
    ],
)
def test_the_values_go_to_the_widgets_in_order(inputs: Json, saved: list[Any], sent: Json) -> None:
    assert values(node_class(inputs), saved) == sent


@pytest.mark.parametrize("saved", [[], None])
def test_a_node_without_values_has_the_defaults(saved: list[Any] | None) -> None:
    of = node_class(
        {
            "a": ["INT", {"default": 4}],
            "b": ["INT", {}],
            "c": ["FLOAT", {}],
            "d": ["BOOLEAN", {}],
            "e": ["STRING", {}],
            "f": COMBO,
            "g": ["COMBO", {"options": ["a", "b"], "default": "b"}],
            "h": ["COMBO", {"options": []}],
        }
    )
    sent = {"a": 4, "b": 0, "c": 0, "d": False, "e": "", "f": "a", "g": "b"}
    assert values(of, saved) == sent


def test_missing_values_are_the_defaults_and_spare_ones_are_ignored() -> None:
    of = node_class({"a": ["INT", {"default": 4}], "b": ["INT", {"default": 5}]})
    assert values(of, [1]) == {"a": 1, "b": 5}
    assert values(of, [1, 2, "spare"]) == {"a": 1, "b": 2}


def test_the_order_is_required_then_optional_by_input_order_then_what_it_forgets() -> None:
    of = {
        "input": {
            "required": {"b": ["INT", {}], "a": ["INT", {}]},
            "optional": {"d": ["INT", {}], "c": ["INT", {}]},
            "hidden": {"prompt": ["PROMPT"]},
        },
        "input_order": {"required": ["a", "b"], "optional": ["c"]},
        "output": [],
    }
    assert values(of, [1, 2, 3, 4]) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_list_of_an_old_editor_holds_dummies_for_inputs_that_take_a_link_only() -> None:
    of = node_class({"a": ["INT", {"forceInput": True}], "n": SEED, "b": ["INT", {}]})
    assert values(of, [0, 7, "fixed", 2]) == {"n": 7, "b": 2}
    assert values(of, [7, "fixed", 2]) == {"n": 7, "b": 2}


@pytest.mark.parametrize(
    ("saved", "sent"),
    [
        (["size", 8, 9, "cubic"], {"resize": "size", "resize.width": 8, "resize.height": 9}),
        (["factor", 2.0, "cubic"], {"resize": "factor", "resize.factor": 2.0}),
        (
            ["noisy", 7, "fixed", "a", 3, "cubic"],
            {
                "resize": "noisy",
                "resize.seed": 7,
                "resize.mode": "a",
                "resize.mode.deep": 3,
            },
        ),
    ],
)
def test_a_dynamic_combo_brings_the_inputs_of_its_choice(saved: list[Any], sent: Json) -> None:
    found = inputs_of(workflow([node(1, "Resize", values=saved)]))["1"]
    assert found == sent | {"method": "cubic"}


def test_an_input_named_seed_within_a_dynamic_combo_has_a_control_only_if_it_is_asked_for() -> None:
    option = {"key": "on", "inputs": {"required": {"seed": ["INT", {}], "b": ["INT", {}]}}}
    of = node_class({"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [option]}]})
    assert values(of, ["on", 7, 2]) == {"mode": "on", "mode.seed": 7, "mode.b": 2}


FORMATS = {
    "mp4": [["pix_fmt", ["yuv420p", "yuv444p"]], ["crf", "INT", {"default": 19}]],
    "gif": [["dither", ["bayer", "none"], {"default": "none"}, "paletteuse=$val"]],
}
VIDEO = node_class(
    {"format": [["mp4", "gif", "png"], {"formats": FORMATS}], "save": ["BOOLEAN", {}]}
)


@pytest.mark.parametrize(
    ("saved", "sent"),
    [
        (
            {"format": "mp4", "crf": 28, "pix_fmt": "yuv444p", "save": True, "preview": {}},
            {"format": "mp4", "pix_fmt": "yuv444p", "crf": 28, "save": True},
        ),
        (["mp4", "yuv444p", 28, True], {"format": "mp4", "pix_fmt": "yuv444p", "crf": 28}),
        ({"format": "gif", "crf": 28, "save": True}, {"format": "gif", "dither": "none"}),
        ({"format": "png", "save": True}, {"format": "png"}),
    ],
)
def test_a_film_format_brings_inputs_beside_its_own(saved: Any, sent: Json) -> None:
    assert values(VIDEO, saved) == sent | {"save": True}


@pytest.mark.parametrize(
    ("size", "width", "height"),
    [
        ("Disabled", 0, 0),
        ("Custom Width", 640, 0),
        ("Custom Height", 0, 360),
        ("Custom", 640, 360),
        ("256x?", 256, 0),
        ("?x512", 0, 512),
        ("256x512", 256, 512),
        (None, 640, 360),
    ],
)
def test_a_film_is_loaded_in_the_size_that_an_older_version_had_a_choice_for(
    size: str | None, width: int, height: int
) -> None:
    sides = {"custom_width": ["INT", {}], "custom_height": ["INT", {}]}
    saved = {"custom_width": 640, "custom_height": 360} | ({"force_size": size} if size else {})
    of = workflow([node(1, "VHS_LoadVideo", values=saved)])
    today = inputs_of(of, VHS_LoadVideo=node_class(sides))["1"]
    assert today == {"custom_width": width, "custom_height": height}
    older = node_class({"force_size": [["Disabled"], {}], **sides})
    assert inputs_of(of, VHS_LoadVideo=older)["1"] == {"force_size": "Disabled"} | saved


def test_a_film_is_kept_as_an_older_version_was_told() -> None:
    of = workflow([node(1, "VHS_VideoCombine", values={"save_image": False})])
    today = node_class({"save_output": ["BOOLEAN", {"default": True}]})
    assert inputs_of(of, VHS_VideoCombine=today)["1"] == {"save_output": False}


def test_a_film_format_that_is_chosen_elsewhere_is_refused() -> None:
    of = workflow(
        [
            node(1, "Node", slot("format", 5), values={"format": "mp4", "save": True}),
            node(2, "PrimitiveNode", values=["gif"]),
        ],
        [link(5, 2, 0, 1, 0)],
    )
    with pytest.raises(WorkflowNotConvertible, match="which inputs come with that choice"):
        converted(of, Node=VIDEO)


def test_a_custom_combo_counts_its_options_and_has_an_empty_one_at_the_end() -> None:
    sent = {"choice": "b", "index": 1, "option1": "a", "option2": "b", "option3": ""}
    assert values_of_combo(["b", 0, "a", "b", ""]) == sent
    assert values_of_combo(["b", 0, "a", "b"]) == sent
    assert values_of_combo(["x", 0, "a"])["index"] == -1


def values_of_combo(saved: list[Any]) -> Json:
    return inputs_of(workflow([node(1, "CustomCombo", values=saved)]))["1"]


POWER_LORA = "Power Lora Loader (rgthree)"


def test_the_widgets_that_an_extension_adds_in_the_editor_are_sent() -> None:
    puter = node(1, "Power Puter (rgthree)", values=[{"outputs": ["INT"]}, "return a + 1"])
    found = converted(workflow([puter]), **{"Power Puter (rgthree)": node_class({})})
    assert found.graph["1"]["inputs"] == {"outputs": {"outputs": ["INT"]}, "code": "return a + 1"}


def test_the_styles_that_are_chosen_in_a_list_of_pictures_are_sent() -> None:
    forced = {"forceInput": True}
    of = node_class(
        {"styles": [["fooocus_styles"], {}]},
        optional={"positive": ["STRING", forced], "select_styles": ["EASY_PROMPT_STYLES", {}]},
    )
    expected = {"styles": "fooocus_styles", "select_styles": "Ink,Paper"}
    assert values(of, ["fooocus_styles", "", "Ink,Paper"]) == expected, "as older editors saved it"
    assert values(of, ["fooocus_styles", "Ink,Paper"]) == expected


def test_the_loras_of_a_list_that_only_the_editor_knows_are_sent_by_number() -> None:
    def lora(name: str, **more: Any) -> Json:
        return {"on": True, "lora": name, "strength": 0.5} | more

    saved = [
        {},
        {"type": "PowerLoraLoaderHeaderWidget"},
        lora("a.safetensors", strengthTwo=None),
        lora("b.safetensors", strengthTwo=0.25, on=False),
        {},
        "",
    ]
    of = workflow([node(1, POWER_LORA, slot("model", 5), values=saved), node(2, "Loader")])
    of["links"] = [link(5, 2, 0, 1, 0)]
    loader = node_class({}, "MODEL", "CLIP", optional={"model": ["MODEL"], "clip": ["CLIP"]})
    found = converted(of, **{POWER_LORA: loader})
    assert found.graph["1"]["inputs"] == {
        "model": ["2", 0],
        "lora_1": lora("a.safetensors"),
        "lora_2": lora("b.safetensors", strengthTwo=0.25, on=False),
    }
    assert not found.warnings


def test_an_old_sampler_name_loses_its_prefix() -> None:
    saved = workflow([node(1, "KSampler", values=[7, "fixed", 20, 8, "sample_heun", 1])])
    assert inputs_of(saved)["1"]["sampler_name"] == "heun"


class TestValuesByName:
    """A file may have its values by name as well, or by name only."""

    OF = node_class({"steps": ["INT", {}], "name": ["STRING", {}]})

    def test_an_object_is_read_by_name(self) -> None:
        assert values(self.OF, {"name": "x", "steps": 4}) == {"steps": 4, "name": "x"}

    def test_a_widget_that_only_an_extension_knows_has_the_kind_of_its_input(self) -> None:
        of = node_class(
            {"start": ["FLOAT", {"widgetType": "VHSTIMESTAMP"}], "name": ["STRING", {}]}
        )
        assert values(of, {"name": "x", "start": 23.5}) == {"start": 23.5, "name": "x"}
        assert values(of, [23.5, "x"]) == {"start": 23.5, "name": "x"}

    def test_a_list_that_fits_wins_over_names(self) -> None:
        named = {"steps": 1, "name": "other"}
        assert values(self.OF, [4, "x"], widgets_values_named=named) == {"steps": 4, "name": "x"}

    @pytest.mark.parametrize(
        ("saved", "is_wrong"),
        [(["new", 4, "x"], True), ([4, True, "x"], True), ([4], True), ([4, "x", "new"], False)],
    )
    def test_names_win_where_the_list_does_not_fit(self, saved: list[Any], is_wrong: bool) -> None:
        named = {"new": "new", "steps": 4, "name": "x"}
        of = workflow([node(1, "Node", values=saved, widgets_values_named=named)])
        found = converted(of, Node=self.OF)
        assert found.graph["1"]["inputs"] == {"steps": 4, "name": "x"}
        words = "Node (1): its values are read by name: their list is of another version."
        assert [str(each) for each in found.warnings] == ([words] if is_wrong else [])

    def test_names_that_fit_worse_than_the_list_do_not_count(self) -> None:
        found = values(self.OF, [4, "x", "new"], widgets_values_named={"steps": 4, "name": 1})
        assert found == {"steps": 4, "name": "x"}

    def test_a_list_of_another_version_is_refused_if_there_are_no_names(self) -> None:
        with pytest.raises(WorkflowNotConvertible, match="which belongs to which input") as refused:
            values(self.OF, ["new", 4, "x"])
        assert refused.value.refusals[0].class_type == "Node"

    @pytest.mark.parametrize("saved", [1, 1.0, 0.25])
    def test_a_whole_number_fits_choices_that_are_no_whole_numbers(self, saved: float) -> None:
        """The editor saves 1.0 as 1. The rest has its default, as in the editor."""
        of = node_class({"scale": [[0.25, 1.0], {"default": 1.0}], "name": ["STRING", {}]})
        assert values(of, [saved]) == {"scale": saved, "name": ""}

    @pytest.mark.parametrize("saved", [True, "1"])
    def test_what_is_no_number_fits_no_choice_of_numbers(self, saved: bool | str) -> None:
        with pytest.raises(WorkflowNotConvertible, match="which belongs to which input"):
            values(node_class({"scale": [[1, 2], {}], "name": ["STRING", {}]}), [saved])


class TestRefused:
    """Inputs that no rule covers."""

    @pytest.mark.parametrize(
        ("inputs", "words"),
        [
            ({"image": ["LOAD_3D", {}]}, "3D viewer"),
            ({"audio": ["AUDIO_RECORD", {}]}, "recorded by the browser"),
            ({"photo": ["WEBCAM", {}]}, "recorded by the browser"),
            (
                {"n": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"i": SEED}}}}]},
                "growing list of values",
            ),
        ],
    )
    def test_what_only_a_browser_has_and_lists_of_values_are_refused(
        self, inputs: Json, words: str
    ) -> None:
        with pytest.raises(WorkflowNotConvertible, match=words):
            values(node_class(inputs), [])

    def test_a_widget_of_a_kind_that_is_not_known_is_refused(self) -> None:
        of = node_class({"a": ["THEIR_KIND", {}]})
        assert values(of, [1], slot("a", type="THEIR_KIND")) == {}
        with pytest.raises(WorkflowNotConvertible, match="a has a widget of an unknown kind"):
            values(of, [1], slot("a", type="THEIR_KIND", widget={"name": "a"}))

    def test_the_camera_of_a_viewer_is_sent_empty(self) -> None:
        """A server refuses the node without it, and takes an empty one for no camera."""
        of = node_class({"viewport_state": ["LOAD_3D", {}], "width": ["INT", {}]})
        found = converted(workflow([node(1, "Node", values=["", 640])]), Node=of)
        assert found.graph["1"]["inputs"] == {"viewport_state": {}, "width": 640}
        assert "viewport_state is empty" in found.warnings[0].reason


class TestLinkedWidgets:
    """An input can have a widget and a link."""

    def test_a_link_wins_and_its_value_still_has_a_place(self) -> None:
        of = workflow(
            [
                node(1, "Latent", slot("height", 5), values=[8, 16, 2]),
                node(2, "Number", values=[9]),
            ],
            [link(5, 2, 0, 1, 0)],
        )
        assert inputs_of(of)["1"] == {"width": 8, "height": ["2", 0], "batch_size": 2}

    def test_an_input_that_the_server_does_not_know_is_kept_if_it_is_linked(self) -> None:
        of = workflow(
            [
                node(1, "Number", slot("gone"), slot("extra", 5), values=[1]),
                node(2, "Number", values=[9]),
            ],
            [link(5, 2, 0, 1, 1)],
        )
        assert inputs_of(of)["1"] == {"value": 1, "extra": ["2", 0]}

    def test_a_widget_that_the_server_does_not_know_takes_no_link_and_is_told(self) -> None:
        gone = slot("gone", 5, widget={"name": "gone"})
        of = workflow(
            [node(1, "Number", gone, values=[1]), node(2, "Number", values=[9])],
            [link(5, 2, 0, 1, 0)],
        )
        found = converted(of)
        assert found.graph["1"]["inputs"] == {"value": 1}
        (told,) = found.warnings
        assert (told.node_id, "gone is left out" in told.reason) == ("1", True)

    def test_one_after_it_that_the_server_does_not_know_is_kept_as_in_the_editor(self) -> None:
        slots = [slot(name, 5, widget={"name": name}) for name in ("a", "value", "b", "c", "d")]
        of = workflow(
            [node(1, "Number", *slots, slot("e", 5), values=[1]), node(2, "Number", values=[9])],
            [link(5, 2, 0, 1, 0)],
        )
        assert inputs_of(of)["1"].keys() == {"value", "b", "d", "e"}

    def test_it_stands_in_for_no_output_of_a_bypassed_node(self) -> None:
        gone = slot("gone", 5, "IMAGE", widget={"name": "gone"})
        of = workflow(
            [
                node(1, "Picture", values=["a.png", "image"]),
                node(2, "Load", gone, mode=4),
                node(3, "Save", slot("images", 6), values=["x"]),
            ],
            [link(5, 1, 0, 2, 0), link(6, 2, 0, 3, 0)],
        )
        load = node_class({"name": ["STRING", {}]}, "IMAGE")
        assert inputs_of(of, Load=load)["3"] == {"filename_prefix": "x"}

    def test_only_the_linked_inputs_of_a_growing_list_are_there(self) -> None:
        of = workflow(
            [
                node(
                    1,
                    "Batch",
                    slot("images.image0", 5),
                    slot("images.image1"),
                    slot("images.image2", 6),
                ),
                node(2, "Picture", values=["a.png", "image"]),
            ],
            [link(5, 2, 0, 1, 0), link(6, 2, 0, 1, 2)],
        )
        assert inputs_of(of)["1"] == {"images.image0": ["2", 0], "images.image2": ["2", 0]}

    def test_a_growing_list_may_come_with_a_choice(self) -> None:
        images = ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"i": ["IMAGE", {}]}}}}]
        option = {"key": "on", "inputs": {"required": {"images": images, "x": MATCH}}}
        of = node_class({"model": ["COMFY_DYNAMICCOMBO_V3", {"options": [option]}]})
        saved = workflow(
            [
                node(1, "Node", slot("model.images.image0", 5), values=["on"]),
                node(2, "Picture", values=["a.png", "image"]),
            ],
            [link(5, 2, 0, 1, 0)],
        )
        found = inputs_of(saved, Node=of)["1"]
        assert found == {"model": "on", "model.images.image0": ["2", 0]}
