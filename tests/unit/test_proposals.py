"""What is proposed for a graph: each input with its signal, and a doubt where there is one."""

from typing import Any

from anime.core.conversion.definitions import NodeDefinitions
from anime.core.graphs import Graph
from anime.core.proposals.findings import InputProposal, Place, Proposals
from anime.core.proposals.propose import propose
from anime.rehearsal.definitions import definitions

PARTNERS: dict[str, Any] = {
    "PartnerPicture": {
        "input": {
            "required": {
                "prompt": ["STRING", {"multiline": True}],
                "aspect_ratio": [["1:1", "16:9"], {}],
                "seed": ["INT", {"min": 0, "max": 2147483647}],
            },
            "optional": {"negative_prompt": ["STRING", {}]},
        },
        "output": ["IMAGE"],
    },
    "PartnerCanvas": {
        "input": {
            "required": {
                "model": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {
                                "key": "pro",
                                "inputs": {
                                    "required": {"width": ["INT", {}], "height": ["INT", {}]}
                                },
                            }
                        ]
                    },
                ]
            }
        },
        "output": ["IMAGE"],
    },
    "PartnerFilm": {
        "input": {"required": {"prompt_text": ["STRING", {}], "seed": ["INT", {}]}},
        "output": ["VIDEO"],
    },
    "PartnerWriter": {
        "input": {"required": {"prompt": ["STRING", {}], "model": [["a"], {}]}},
        "output": ["STRING"],
    },
}


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """A node; `a__b` stands for the input `a.b`."""
    named = {name.replace("__", "."): value for name, value in inputs.items()}
    return {"class_type": class_type, "inputs": named, "_meta": {"title": title or class_type}}


def text_to_image(**others: dict[str, Any]) -> Graph:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="xl.safetensors"),
        "2": node("CLIPTextEncode", text="a cat", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="blurry", clip=["1", 1]),
        "4": node("EmptyLatentImage", width=1024, height=768, batch_size=2),
        "5": node(
            "KSampler",
            seed=7,
            steps=20,
            cfg=6.5,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
        ),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", filename_prefix="x", images=["6", 0]),
        **{key.removeprefix("n"): value for key, value in others.items()},
    }


def proposed(graph: Graph, linear: dict[str, Any] | None = None) -> Proposals:
    workflow = {"extra": {"linearData": linear}} if linear else None
    return propose(graph, NodeDefinitions({**definitions(), **PARTNERS}), workflow)


def named(proposals: Proposals, name: str) -> InputProposal:
    found = proposals.named(name)
    assert found is not None
    return found


def places(proposals: Proposals, name: str) -> list[str]:
    return [str(place) for place in named(proposals, name).places]


def test_a_plain_graph_is_told_in_full_and_without_a_doubt() -> None:
    found = proposed(text_to_image())
    assert {each.name: [str(place) for place in each.places] for each in found.inputs} == {
        "prompt": ["2.text"],
        "negative_prompt": ["3.text"],
        "model": ["1.ckpt_name"],
        "width": ["4.width"],
        "height": ["4.height"],
        "batch_size": ["4.batch_size"],
        "steps": ["5.steps"],
        "cfg": ["5.cfg"],
        "sampler": ["5.sampler_name"],
        "scheduler": ["5.scheduler"],
        "seed": ["5.seed"],
    }
    assert list(found.doubts()) == []
    assert found.output is not None
    assert (found.output.node_id, found.output.kind) == ("7", "image")
    assert named(found, "prompt").signal == "KSampler.positive"
    assert [(lora.node_id, lora.clip_slot) for lora in found.loras] == [("1", 1)]


def test_a_prompt_is_told_by_its_link_whatever_the_titles_say() -> None:
    graph = text_to_image()
    graph["2"]["_meta"]["title"], graph["3"]["_meta"]["title"] = "Negative", "Positive"
    assert places(proposed(graph), "prompt") == ["2.text"]


def test_a_guider_noise_and_sigmas_tell_what_a_sampler_would() -> None:
    graph = text_to_image(
        n5=node(
            "SamplerCustomAdvanced",
            noise=["10", 0],
            guider=["11", 0],
            sampler=["12", 0],
            sigmas=["13", 0],
            latent_image=["4", 0],
        ),
        n10=node("RandomNoise", noise_seed=9),
        n11=node("CFGGuider", cfg=1.5, model=["1", 0], positive=["14", 0], negative=["15", 0]),
        n12=node("KSamplerSelect", sampler_name="euler"),
        n13=node("BasicScheduler", scheduler="simple", steps=4, denoise=1, model=["1", 0]),
        n14=node("FluxGuidance", guidance=3.5, conditioning=["2", 0]),
        n15=node("ConditioningZeroOut", conditioning=["2", 0]),
    )
    found = proposed(graph)
    assert places(found, "seed") == ["10.noise_seed"]
    assert places(found, "steps") == ["13.steps"]
    assert places(found, "cfg") == ["11.cfg"]
    assert places(found, "prompt") == ["2.text"]
    assert found.named("negative_prompt") is None


def test_two_stages_share_a_seed_and_the_second_without_noise_has_none() -> None:
    graph = text_to_image()
    stage = {**graph["5"]["inputs"], "add_noise": "enable", "noise_seed": 7}
    stage.pop("seed")
    graph["5"] = node("KSamplerAdvanced", **stage, start_at_step=0, end_at_step=10)
    again = {**stage, "add_noise": "disable", "noise_seed": 0, "latent_image": ["5", 0]}
    graph["8"] = node("KSamplerAdvanced", **again, start_at_step=10, end_at_step=20)
    graph["6"]["inputs"]["samples"] = ["8", 0]
    found = proposed(graph)
    assert places(found, "seed") == ["5.noise_seed"]
    assert "second goes on" in named(found, "steps").doubt


def test_values_are_followed_through_primitives_and_the_branch_of_a_switch() -> None:
    graph = text_to_image(
        n10=node("PrimitiveInt", value=4),
        n11=node("PrimitiveInt", value=30),
        n12=node("PrimitiveBoolean", value=True),
        n13=node("ComfySwitchNode", switch=["12", 0], on_false=["11", 0], on_true=["10", 0]),
        n14=node("PrimitiveStringMultiline", value="a dog"),
    )
    graph["5"]["inputs"]["steps"] = ["13", 0]
    graph["2"]["inputs"]["text"] = ["14", 0]
    found = proposed(graph)
    assert places(found, "steps") == ["10.value"]
    assert places(found, "prompt") == ["14.value"]


def test_joined_texts_leave_out_what_their_titles_call_system_or_trigger() -> None:
    graph = text_to_image(
        n10=node("PrimitiveStringMultiline", "System prompt", value="You draw."),
        n11=node("PrimitiveStringMultiline", "Prompt", value="a dog"),
        n12=node("StringConcatenate", string_a=["10", 0], string_b=["11", 0], delimiter=" "),
    )
    graph["2"]["inputs"]["text"] = ["12", 0]
    found = named(proposed(graph), "prompt")
    assert found.places == (Place("11", "value"),)
    assert not found.doubt


def test_a_partner_may_call_its_prompt_another_name() -> None:
    graph = {
        "1": node("PartnerFilm", prompt_text="a cat walks", seed=1),
        "2": node("SaveVideo", filename_prefix="x", format="auto", video=["1", 0]),
    }
    assert places(proposed(graph), "prompt") == ["1.prompt_text"]


def test_a_text_that_a_language_model_writes_anew_is_doubtful() -> None:
    graph = text_to_image(n10=node("PartnerWriter", prompt="a dog", model="a"))
    graph["2"]["inputs"]["text"] = ["10", 0]
    found = named(proposed(graph), "prompt")
    assert found.places == (Place("10", "prompt"),)
    assert "language model" in found.doubt


def test_so_it_is_not_where_a_title_calls_it_the_prompt() -> None:
    graph = text_to_image(
        n10=node("PartnerWriter", prompt=["11", 0], model="a"),
        n11=node("PrimitiveStringMultiline", "Text (User Input)", value="a dog"),
    )
    graph["2"]["inputs"]["text"] = ["10", 0]
    found = named(proposed(graph), "prompt")
    assert found.places == (Place("11", "value"),)
    assert not found.doubt


def test_the_texts_of_one_encoder_are_one_prompt() -> None:
    texts = {"clip_l": "a cat", "t5xxl": "a cat that sleeps in the sun"}
    encoder = node("CLIPTextEncodeFlux", clip=["1", 1], guidance=3.5, **texts)
    found = named(proposed(text_to_image(n2=encoder)), "prompt")
    assert found.places == (Place("2", "t5xxl"), Place("2", "clip_l"))
    assert found.value == "a cat that sleeps in the sun"
    assert not found.doubt


def test_encoders_of_two_samplers_with_the_same_words_have_one_prompt() -> None:
    second = text_to_image()["5"]["inputs"] | {"positive": ["8", 0], "latent_image": ["5", 0]}
    graph = text_to_image(
        n8=node("CLIPTextEncode", text="a cat", clip=["1", 1]), n9=node("KSampler", **second)
    )
    graph["6"]["inputs"]["samples"] = ["9", 0]
    found = named(proposed(graph), "prompt")
    assert set(found.places) == {Place("2", "text"), Place("8", "text")}
    assert not found.doubt


def test_a_model_is_found_behind_loras_and_switches() -> None:
    graph = text_to_image(
        n10=node("LoraLoaderModelOnly", lora_name="a", strength_model=1.0, model=["1", 0]),
        n11=node("ComfySwitchNode", switch=True, on_false=["1", 0], on_true=["10", 0]),
        n12=node("ModelSamplingAuraFlow", shift=3.0, model=["11", 0]),
    )
    graph["5"]["inputs"]["model"] = ["12", 0]
    found = proposed(graph)
    assert places(found, "model") == ["1.ckpt_name"]
    assert [lora.node_id for lora in found.loras] == ["1"]


def test_a_size_is_found_behind_pictures_that_are_resized_to_it() -> None:
    graph = text_to_image(
        n10=node("PrimitiveInt", value=640),
        n11=node("PrimitiveInt", value=360),
        n12=node("LoadImage", image="a.png"),
        n13=node(
            "ResizeImageMaskNode",
            input=["12", 0],
            resize_type="scale dimensions",
            resize_type__width=["10", 0],
            resize_type__height=["11", 0],
            resize_type__crop="center",
            scale_method="area",
        ),
        n14=node("ImageInvert", image=["13", 0]),
        n15=node("GetImageSize", image=["14", 0]),
    )
    graph["4"]["inputs"] |= {"width": ["15", 0], "height": ["15", 1]}
    found = proposed(graph)
    assert places(found, "width") == ["10.value"]
    assert places(found, "height") == ["11.value"]


def test_a_selector_sets_the_size_of_a_partners_picture() -> None:
    graph = {
        "1": node("ResolutionSelector", aspect_ratio="1:1 (Square)", megapixels=1.0),
        "2": node("PartnerCanvas", model="pro", model__width=["1", 0], model__height=["1", 1]),
        "3": node("SaveImage", filename_prefix="x", images=["2", 0]),
    }
    found = proposed(graph)
    assert places(found, "aspect_ratio") == ["1.aspect_ratio"]
    assert places(found, "megapixels") == ["1.megapixels"]


def test_of_two_prompts_the_one_that_app_mode_shows_is_meant() -> None:
    second = text_to_image()["5"]["inputs"] | {"positive": ["8", 0], "latent_image": ["5", 0]}
    graph = text_to_image(
        n8=node("CLIPTextEncode", text="a dog", clip=["1", 1]), n9=node("KSampler", **second)
    )
    graph["6"]["inputs"]["samples"] = ["9", 0]
    doubtful = named(proposed(graph), "prompt")
    assert doubtful.doubt == "2 texts may be meant."
    assert {*doubtful.places, *doubtful.others} == {Place("2", "text"), Place("8", "text")}
    shown = named(proposed(graph, {"inputs": [["2", "text"]], "outputs": ["7"]}), "prompt")
    assert shown.places == (Place("2", "text"),)
    assert not shown.doubt


def test_what_app_mode_shows_beside_becomes_an_input_of_its_own() -> None:
    found = proposed(text_to_image(), {"inputs": [["5", "denoise"], ["5", "seed"]], "outputs": []})
    assert places(found, "denoise") == ["5.denoise"]


def test_a_partner_node_tells_prompt_seed_with_its_limit_and_choices_for_the_size() -> None:
    graph: Graph = {
        "1": node(
            "PartnerPicture", prompt="a cat", aspect_ratio="1:1", seed=3, negative_prompt="blurry"
        ),
        "2": node("SaveImage", filename_prefix="x", images=["1", 0]),
    }
    found = proposed(graph)
    assert places(found, "prompt") == ["1.prompt"]
    assert places(found, "negative_prompt") == ["1.negative_prompt"]
    assert places(found, "aspect_ratio") == ["1.aspect_ratio"]
    assert named(found, "seed").maximum == 2147483647
    assert found.loras == ()


def edit_graph() -> Graph:
    graph = text_to_image(
        n10=node("LoadImage", image="sofa.png"),
        n11=node("LoadImage", image="fur.png"),
        n12=node("VAEEncode", pixels=["10", 0], vae=["1", 2]),
        n2=node(
            "TextEncodeQwenImageEditPlus",
            prompt="swap",
            clip=["1", 1],
            vae=["1", 2],
            image2=["11", 0],
            image1=["10", 0],
        ),
    )
    graph["5"]["inputs"]["latent_image"] = ["12", 0]
    return graph


def test_pictures_come_in_the_order_of_the_node_that_takes_them() -> None:
    found = proposed(edit_graph())
    assert [picture.place.node_id for picture in found.pictures] == ["10", "11"]
    assert found.pictures[1].prompt_name == "Picture 2"
    assert found.pictures[1].is_optional
    assert places(found, "prompt") == ["2.prompt"]
    assert found.named("width") is None  # it follows from the picture


def image_to_video() -> Graph:
    graph = text_to_image(
        n1=node("UNETLoader", unet_name="wan.safetensors", weight_dtype="default"),
        n8=node("CLIPLoader", clip_name="t5.safetensors", type="wan", device="default"),
        n9=node("LoadImage", image="end.png"),
        n10=node("LoadImage", image="start.png"),
        n4=node(
            "WanFirstLastFrameToVideo",
            width=832,
            height=480,
            length=81,
            batch_size=1,
            positive=["2", 0],
            negative=["3", 0],
            vae=["11", 0],
            end_image=["9", 0],
            start_image=["10", 0],
        ),
        n11=node("VAELoader", vae_name="wan.vae.safetensors"),
        n12=node("CreateVideo", fps=16.0, images=["6", 0]),
        n7=node("SaveVideo", filename_prefix="x", format="auto", video=["12", 0]),
    )
    for encoder in ("2", "3"):
        graph[encoder]["inputs"]["clip"] = ["8", 0]
    graph["5"]["inputs"] |= {"positive": ["4", 0], "negative": ["4", 1], "latent_image": ["4", 2]}
    graph["6"]["inputs"]["vae"] = ["11", 0]
    return graph


def test_a_film_has_a_length_in_seconds_a_rate_and_pictures_with_roles() -> None:
    found = proposed(image_to_video())
    assert found.output is not None
    assert found.output.kind == "video"
    assert [(picture.place.node_id, picture.role) for picture in found.pictures] == [
        ("10", "start"),
        ("9", "end"),
    ]
    assert found.length is not None
    assert (found.length.place, found.length.fps) == (Place("4", "length"), 16.0)
    assert (found.length.offset, found.length.step, found.length.seconds) == (1, 4, 5.0)
    assert places(found, "fps") == ["12.fps"]
    assert places(found, "prompt") == ["2.text"]
    assert places(found, "negative_prompt") == ["3.text"]
    assert [(lora.node_id, lora.clip_slot) for lora in found.loras] == [("1", None)]


def test_a_film_that_is_made_on_the_way_to_nothing_else_beats_pictures() -> None:
    graph = image_to_video()
    graph["20"] = node("SaveImage", filename_prefix="x", images=["6", 0])
    found = proposed(graph)
    assert found.output is not None
    assert (found.output.kind, found.output.doubt) == ("video", "")


def test_a_file_that_is_made_of_all_others_is_the_take() -> None:
    graph = text_to_image(
        n20=node("ImageInvert", image=["6", 0]),
        n21=node("SaveImage", filename_prefix="x", images=["20", 0]),
    )
    found = proposed(graph).output
    assert found is not None
    assert (found.node_id, found.others, found.doubt) == ("21", ("7",), "")


def test_what_only_lends_its_outline_is_no_step_on_the_way() -> None:
    graph = text_to_image(
        n20=node("LoadImage", image="before.png"),
        n21=node("ImageToMask", image=["6", 0], channel="red"),
        n22=node("JoinImageWithAlpha", image=["20", 0], alpha=["21", 0]),
        n23=node("SaveImage", filename_prefix="x", images=["22", 0]),
    )
    found = proposed(graph).output
    assert found is not None
    assert (found.node_id, found.others) == ("7", ("23",))
    assert "which one is the take" in found.doubt


def test_a_comparison_is_not_the_take() -> None:
    graph = text_to_image(
        n20=node("LoadImage", image="before.png"),
        n21=node("ImageStitch", image1=["20", 0], image2=["6", 0]),
        n22=node("SaveImage", filename_prefix="x", images=["21", 0]),
    )
    found = proposed(graph).output
    assert found is not None
    assert (found.node_id, found.others) == ("7", ("22",))
    assert "which one is the take" in found.doubt
    graph["5"]["inputs"]["latent_image"] = ["24", 0]
    graph["24"] = node("VAEEncode", pixels=["20", 0], vae=["1", 2])
    assert proposed(graph).output == found  # though what is drawn was made of it
    graph["23"] = node("SaveImage", filename_prefix="x", images=["20", 0])
    whole = proposed(graph).output  # it joins what both of the others are
    assert whole is not None
    assert (whole.node_id, whole.doubt) == ("22", "")


def test_two_files_of_one_kind_are_doubtful_unless_app_mode_says_which() -> None:
    graph = text_to_image(n20=node("SaveImage", filename_prefix="x", images=["6", 0]))
    found = proposed(graph)
    assert found.output is not None
    assert "which one is the take" in found.output.doubt
    shown = proposed(graph, {"inputs": [], "outputs": ["20"]}).output
    assert shown is not None
    assert (shown.node_id, shown.doubt) == ("20", "")


def test_a_graph_that_saves_nothing_has_no_proposals() -> None:
    graph = text_to_image(n7=node("PreviewImage", images=["6", 0]))
    assert proposed(graph) == Proposals(None)


def test_only_what_feeds_the_take_is_proposed() -> None:
    graph = text_to_image(
        n20=node("CLIPTextEncode", text="loose", clip=["1", 1]),
        n21=node("LoadImage", image="x.png"),
    )
    found = proposed(graph)
    assert places(found, "prompt") == ["2.text"]
    assert found.pictures == ()


def test_texts_that_are_joined_again_and_again_take_no_time() -> None:
    graph = text_to_image(n100=node("PrimitiveString", value="a"))
    for number in range(101, 140):
        before = [str(number - 1), 0]
        graph[str(number)] = node("StringConcatenate", string_a=before, string_b=before)
    graph["2"]["inputs"]["text"] = ["139", 0]
    assert places(proposed(graph), "prompt") == ["100.value"]


def test_chains_of_thousands_of_nodes_are_read() -> None:
    graph = text_to_image()
    end = 3000
    for number in range(100, end):
        before = str(number - 1) if number > 100 else "2"
        graph[str(number)] = node(
            "ConditioningCombine", conditioning_1=[before, 0], conditioning_2=["2", 0]
        )
        graph[f"{number}s"] = node(
            "ComfySwitchNode", switch=[f"{number + 1}s", 0], on_true=["5", 0], on_false=["5", 0]
        )
    graph[f"{end}s"] = node("PrimitiveBoolean", value=True)
    graph["5"]["inputs"]["positive"] = [str(end - 1), 0]
    graph["6"]["inputs"]["samples"] = ["100s", 0]
    found = proposed(graph)
    assert places(found, "prompt") == ["2.text"]
    assert places(found, "seed") == ["5.seed"]


def test_more_places_than_anybody_would_read_are_doubtful() -> None:
    graph = text_to_image()
    before: list[str | int] = ["4", 0]
    for number in range(100, 300):
        graph[str(number)] = node("KSampler", **graph["5"]["inputs"] | {"latent_image": before})
        before = [str(number), 0]
    graph["6"]["inputs"]["samples"] = before
    found = named(proposed(graph), "seed")
    assert len(found.places) == 64
    assert found.doubt
