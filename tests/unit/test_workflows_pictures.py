"""Lists of pictures: which place gets which, and what becomes of places without one."""

import json
from copy import deepcopy
from typing import Any

import pytest

from anime.core.graphs import Graph, is_link
from anime.core.template_format import parse_template
from anime.core.workflow_build import Template, build, with_pictures
from anime.errors import InvalidRequest, InvalidWorkflow
from anime.schemas import GenerationRequest


def node(class_type: str, **inputs: object) -> dict[str, Any]:  # values of any kind, or links
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}


PICTURES = {str(number): node("LoadImage", image=f"own{number}.png") for number in (1, 2, 3)}
ENDING = {
    "80": node("KSampler", seed=0, model=["70", 0], positive=["60", 0], latent_image=["50", 0]),
    "90": node("SaveImage", filename_prefix="x", images=["80", 0]),
}
TOOLS = {"70": node("UNETLoader", unet_name="a"), "71": node("VAELoader", vae_name="b")}
# An encoder with an input for each picture; the second and third are scaled on their way.
ENCODER: Graph = {
    **PICTURES,
    **TOOLS,
    **ENDING,
    "12": node("ImageScale", image=["2", 0], width=512, height=512),
    "13": node("ImageScale", image=["3", 0], width=512, height=512),
    "14": node("ImageBlur", image=["13", 0]),
    "50": node("VAEEncode", pixels=["1", 0], vae=["71", 0]),
    "60": node("Edit", prompt="", image1=["1", 0], image2=["12", 0], image3=["14", 0]),
}
# A chain of merges: each adds the latent of one picture to what came before.
CHAIN: Graph = {
    **PICTURES,
    **TOOLS,
    **ENDING,
    **{
        str(20 + number): node("VAEEncode", pixels=[str(number), 0], vae=["71", 0])
        for number in (1, 2, 3)
    },
    "50": node("EmptyLatentImage", width=64, height=64),
    "59": node("CLIPTextEncode", text="", clip=["70", 1]),
    "31": node("ReferenceLatent", conditioning=["59", 0], latent=["21", 0]),
    "32": node("ReferenceLatent", conditioning=["31", 0], latent=["22", 0]),
    "60": node("ReferenceLatent", conditioning=["32", 0], latent=["23", 0]),
}


def binding(
    unused: str = 'unused = "delete"', prompt: str = "60", text: str = "prompt", more: str = ""
) -> str:
    places = ",".join(f'{{ id = "{n}", input = "image", role = "role {n}" }}' for n in (1, 2, 3))
    return f"""
title = "Mine"
output = "image"
[inputs]
prompt = {{ id = "{prompt}", input = "{text}" }}
seed = {{ class = "KSampler", input = "seed" }}
[inputs.references]
kind = "images"
places = [{places}]
{unused}
{more}"""


CHAINED = {"prompt": "59", "text": "text"}


def template_of(graph: Graph, text: str) -> Template:
    return parse_template("mine", json.dumps(graph), text)


def built(graph: Graph, text: str, *pictures: str) -> Graph:
    request = GenerationRequest(prompt="a cat", inputs={"references": list(pictures)})
    made = build(template_of(graph, text), request, seed=7, filename_prefix="x")
    links = [v for node in made.values() for v in node["inputs"].values() if is_link(v)]
    assert all(link[0] in made for link in links)
    return made


def refusal(graph: Graph, text: str) -> str:
    with pytest.raises(InvalidWorkflow) as caught:
        template_of(graph, text)
    assert caught.value.todo
    return str(caught.value)


def test_pictures_go_to_their_places_in_order() -> None:
    graph = built(ENCODER, binding(), "a.png", "b.png", "c.png")
    assert [graph[each]["inputs"]["image"] for each in "123"] == ["a.png", "b.png", "c.png"]
    assert set(graph) == set(ENCODER)


def test_an_unused_place_is_deleted_with_what_works_on_nothing_else() -> None:
    graph = built(ENCODER, binding(), "a.png")
    assert set(ENCODER) - set(graph) == {"2", "12", "3", "13", "14"}
    assert graph["60"]["inputs"] == {"prompt": "a cat", "image1": ["1", 0]}
    graph = built(ENCODER, binding(), "a.png", "b.png")
    assert set(ENCODER) - set(graph) == {"3", "13", "14"}


def test_members_of_a_growing_input_go_from_the_last() -> None:
    batch = ENCODER | {
        "60": node("Edit", prompt="", image=["61", 0]),
        "61": node(
            "BatchImagesNode",
            **{"images.image0": ["1", 0], "images.image1": ["12", 0], "images.image2": ["14", 0]},
        ),
    }
    graph = built(batch, binding(), "a.png", "b.png")
    assert list(graph["61"]["inputs"]) == ["images.image0", "images.image1"]


def test_the_first_of_a_row_is_not_left_out_before_the_others() -> None:
    turned = ENCODER | {
        "60": node("Edit", prompt="", image1=["14", 0], image2=["1", 0], image3=["12", 0]),
    }
    assert 'Edit "Edit" (id 60) cannot do without image1' in refusal(turned, binding())


def test_numbers_that_are_linked_are_not_what_a_node_works_on() -> None:
    measured = deepcopy(ENCODER) | {"15": node("GetImageSize", image=["1", 0])}
    measured["12"]["inputs"] |= {"target_width": ["15", 0], "target_height": ["15", 1]}
    assert "12" not in built(measured, binding(), "a.png")


def test_an_unused_place_is_left_out_of_the_inputs_that_it_feeds() -> None:
    plain = ENCODER | {
        "60": node("Edit", prompt="", image1=["1", 0], image2=["2", 0], image3=["3", 0]),
        "61": node("Edit", prompt="", image1=["1", 0], image2=["2", 0], image3=["3", 0]),
        "80": ENDING["80"] | {"inputs": ENDING["80"]["inputs"] | {"negative": ["61", 0]}},
    }
    for scaler in ("12", "13", "14"):
        del plain[scaler]
    graph = built(plain, binding('unused = "drop"'), "a.png", "b.png")
    for encoder in ("60", "61"):
        assert list(graph[encoder]["inputs"]) == ["prompt", "image1", "image2"]
    assert "3" not in graph


def test_to_leave_out_what_a_scaler_needs_is_refused_when_the_file_is_read() -> None:
    fault = refusal(ENCODER, binding('unused = "drop"'))
    assert 'inputs.references: with 1 picture(s), unused = "drop" does not work' in fault
    assert 'ImageScale "ImageScale" (id 13) has nothing else to work on than image' in fault


def test_a_merge_that_is_bypassed_passes_its_other_input_on() -> None:
    graph = built(CHAIN, binding('unused = "bypass"', **CHAINED), "a.png")
    assert set(CHAIN) - set(graph) == {"2", "3", "22", "23", "32", "60"}
    assert graph["80"]["inputs"]["positive"] == ["31", 0]
    graph = built(CHAIN, binding('unused = "bypass"\nminimum = 0', **CHAINED))
    assert graph["80"]["inputs"]["positive"] == ["59", 0]
    assert not {"21", "31", "32", "60"} & set(graph)


def test_a_merge_of_prompts_for_and_against_passes_both_on() -> None:
    guided = deepcopy(CHAIN) | {
        "60": node(
            "ControlNetApplyAdvanced",
            positive=["32", 0],
            negative=["59", 0],
            control_net=["71", 0],
            image=["3", 0],
        ),
    }
    del guided["23"]
    guided["80"]["inputs"]["negative"] = ["60", 1]
    graph = built(guided, binding('unused = "bypass"', **CHAINED), "a.png", "b.png")
    assert graph["80"]["inputs"]["positive"] == ["32", 0]
    assert graph["80"]["inputs"]["negative"] == ["59", 0]


def test_a_merge_whose_other_input_is_not_clear_is_refused() -> None:
    three = CHAIN | {
        "60": node("Mix", first=["32", 0], second=["59", 0], latent=["23", 0]),
    }
    fault = refusal(three, binding('unused = "bypass"', **CHAINED))
    assert 'Mix "Mix" (id 60) cannot be bypassed: it has first, second' in fault


def test_an_output_that_nothing_replaces_is_refused() -> None:
    second = deepcopy(CHAIN)
    second["80"]["inputs"]["positive"] = ["60", 1]
    fault = refusal(second, binding('unused = "bypass"', **CHAINED))
    assert 'KSampler "KSampler" (id 80) takes its output 1' in fault


def test_the_last_picture_is_repeated() -> None:
    graph = built(ENCODER, binding('unused = "repeat"'), "a.png", "b.png")
    assert [graph[each]["inputs"]["image"] for each in "123"] == ["a.png", "b.png", "b.png"]
    assert "minimum 0" in refusal(ENCODER, binding('unused = "repeat"\nminimum = 0'))


@pytest.mark.parametrize(
    ("unused", "words"),
    [
        ("delete", 'KSampler "KSampler" (id 80) cannot do without latent_image'),
        ("bypass", 'Edit "Edit" (id 60) cannot be bypassed'),
    ],
)
def test_what_the_sampler_needs_is_not_taken_from_it(unused: str, words: str) -> None:
    """The first picture alone makes the latent."""
    assert words in refusal(ENCODER, binding(f'unused = "{unused}"\nminimum = 0'))


def test_a_picture_that_nothing_takes_is_refused() -> None:
    loose = deepcopy(ENCODER)
    del loose["60"]["inputs"]["image3"]
    del loose["14"], loose["13"]
    assert "nothing takes the picture" in refusal(loose, binding())


def test_the_node_of_the_take_is_not_deleted() -> None:
    two_savers = ENCODER | {"91": node("SaveImage", filename_prefix="y", images=["12", 0])}
    assert template_of(two_savers, binding())
    text = 'output_node = { id = "91" }\n' + binding()
    assert 'SaveImage "SaveImage" (id 91) works on nothing else' in refusal(two_savers, text)


def test_a_film_does_without_its_first_picture() -> None:
    film: Graph = {
        "1": PICTURES["1"],
        **TOOLS,
        "50": node("Wan22ImageToVideoLatent", vae=["71", 0], start_image=["1", 0], width=64),
        "60": node("CLIPTextEncode", text="", clip=["70", 1]),
        **ENDING,
    }
    text = """
title = "Mine"
output = "video"
[inputs]
prompt = { id = "60", input = "text" }
width = { id = "50", input = "width" }
[inputs.references]
kind = "images"
places = [{ id = "1", input = "image" }]
unused = "delete"
minimum = 0
"""
    assert "start_image" not in built(film, text)["50"]["inputs"]


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        ([], "takes 1 to 3 picture(s), not 0: role 1, role 2, role 3"),
        (["a"] * 4, "takes 1 to 3 picture(s), not 4"),
        ("a.png", "takes a list of names of pictures, not 'a.png'"),
        (["a.png", ""], "takes a list of names of pictures"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(pictures: object, words: str) -> None:
    request = GenerationRequest.model_validate(
        {"prompt": "a cat", "inputs": {"references": pictures}}
    )
    with pytest.raises(InvalidRequest) as caught:
        build(template_of(ENCODER, binding()), request, seed=7, filename_prefix="x")
    assert words in str(caught.value)


def test_a_list_that_needs_pictures_is_asked_for() -> None:
    request = GenerationRequest(prompt="a cat")
    with pytest.raises(InvalidRequest, match=r"Give inputs\.references"):
        build(template_of(ENCODER, binding()), request, seed=7, filename_prefix="x")


def test_pictures_without_a_name_go_to_the_input_that_takes_them() -> None:
    request, template = GenerationRequest(prompt="a cat"), template_of(ENCODER, binding())
    given = with_pictures(request, ["a.png"], template)
    assert given.inputs == {"references": ["a.png"]}
    assert with_pictures(request, [], template) == request
    single = binding().partition("[inputs.references]")[0]
    one = template_of(ENCODER, single + 'image = { id = "1", input = "image", kind = "image" }')
    assert with_pictures(request, ["a.png"], one).inputs == {"image": "a.png"}
    with pytest.raises(InvalidRequest, match="takes one picture, not 2"):
        with_pictures(request, ["a.png", "b.png"], one)
    with pytest.raises(InvalidRequest, match="takes no picture"):
        with_pictures(request, ["a.png"], template_of(ENCODER, single))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("unused =", "#"), "may have fewer"),
        (("unused =", "minimum = 4\nunused ="), "minimum 4 is not from 0 to 3"),
        (("unused =", "maximum = 1.5\nunused ="), "maximum 1.5 is not"),
        (("unused =", 'id = "1"\nunused ='), "its nodes and inputs stand in places"),
        (("places =", "#"), "has no places"),
        (('"delete"', '"burn"'), "inputs.references.unused"),
        (('kind = "images"', 'kind = "text"'), "names no node"),
        (('id = "2", input', 'id = "1", input'), "sets image of node 1 twice"),
        (('id = "2", input', 'id = "22", input'), 'no node of mine.json has the id "22"'),
    ],
)
def test_each_fault_of_a_list_is_named(changed: tuple[str, str], words: str) -> None:
    text = binding(
        'minimum = 1\nunused = "delete"' if changed[0] == "unused =" else 'unused = "delete"'
    )
    if changed[1].startswith(("minimum", "maximum")):
        text = binding()
    assert words in refusal(ENCODER, text.replace(*changed, 1))


def test_several_lists_that_are_short_at_once_are_tried_together() -> None:
    """Each can do without its own picture, but not both."""
    mixed: Graph = {
        "1": PICTURES["1"],
        "2": PICTURES["2"],
        "50": node("Stitch", left=["1", 0], right=["2", 0]),
        "60": node("SaveImage", filename_prefix="x", images=["50", 0]),
    }
    lists = "\n".join(
        f'[inputs.p{n}]\nkind = "images"\nminimum = 0\nunused = "delete"\n'
        f'places = [{{ id = "{n}", input = "image" }}]'
        for n in (1, 2)
    )
    text = f'title = "x"\noutput = "image"\nneeds_prompt = false\n[inputs]\n{lists}'
    fault = refusal(mixed, text)
    assert "no node that saves would be left" in fault
