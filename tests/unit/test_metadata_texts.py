"""What text nodes of common packs make of the words that a person has typed."""

from typing import Any

import pytest

from anime.assets.metadata import recipe_of_graph
from anime.core.graphs import Graph
from tests.unit.test_metadata_graphs import (
    BASE,
    INK,
    NEGATIVE,
    PROMPT,
    encoder,
    graph_of,
    node,
    sampler,
    texted,
    told,
)

BIRD = "a bird over rice fields"
BOX = node("PrimitiveString", value=PROMPT)
SCHEDULE = '"0": "a kite --neg grain", "9": "dusk"'
FACE = "GLIGENTextBoxApplyBatchCoords"
CLIP = ["load", 1]
THREE = {"text1": "a", "text2": "kite", "text3": "at dusk", "delimiter": " "}
SIDES: dict[str, Any] = {"cond": ["yes", 0], "uncond": ["no", 0]}
CSV = {"convert_from_csv": False, "split_string": False, "remove_chars": False}
SLOT = {"yes": encoder(["words", 1])}
TAGGED = f"{PROMPT} <lora:ink.safetensors:0.6>"


def easy(**prompts: Any) -> Graph:
    """A pipe whose words are replaced."""
    settings = {"steps": 12, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return {
        "load": node("easy fullLoader", ckpt_name="kite.safetensors", positive="NO", negative="NO"),
        "edit": node("easy pipeEditPrompt", pipe=["load", 0], **prompts),
        "set": node("easy preSampling", pipe=["edit", 0], seed=31, denoise=1.0, **settings),
        "draw": node("easy kSampler", pipe=["set", 0], image_output="Save", save_prefix="kite"),
    }


def wildcards(slot: int, text: str) -> Graph:
    words = node("easy wildcards", text=text, seed=4, multiline_mode=False)
    return graph_of(yes=encoder(["words", slot]), words=words)


def line(text: str, number: int, class_type: str = "easy promptLine", **inputs: Any) -> Graph:
    held = {"prompt": text, "start_index": number, "max_rows": 1, "remove_empty_lines": True}
    return texted(words=node(class_type, **(inputs or held)))


def replaced(class_type: str, **inputs: Any) -> Graph:
    return texted(words=node(class_type, **inputs), box=BOX)


def function(action: str, a: Any, b: str, c: str, tidy: str = "no") -> Graph:
    texts = {"text_a": a, "text_b": b, "text_c": c}
    return replaced("StringFunction|pysssss", action=action, tidy_tags=tidy, **texts)


def by_regex(class_type: str, **changes: Any) -> Graph:
    inputs = {"string": ["box", 0], "regex_pattern": "KITE", "replace": "bird", "count": 0}
    return replaced(class_type, **{**inputs, "case_insensitive": True, **changes})


def scheduled(text: str, *, negative: bool = True, **inputs: Any) -> Graph:
    words = node("BatchPromptSchedule", text=text, clip=["load", 1], max_frames=9, **inputs)
    sides: dict[str, Any] = {"positive": ["words", 0]} | (
        {"negative": ["words", 1]} if negative else {}
    )
    return graph_of(words=words, draw=sampler(**sides))


def scheduled_both(large: str, small: str) -> Graph:
    words = node(
        "BatchPromptScheduleSDXLLatentInput",
        text_g=large,
        text_l=small,
        clip=["load", 1],
        num_latents=["empty", 0],
    )
    sides: dict[str, Any] = {"positive": ["words", 0], "negative": ["words", 1]}
    return graph_of(words=words, draw=sampler(latent_image=["words", 2], **sides))


def multiline(class_type: str, text: str, **inputs: Any) -> Graph:
    return texted(words=node(class_type, text=text, **inputs))


def widget(**inputs: Any) -> Graph:
    held = {"widget_name": "value", "return_all": False, **inputs}
    more = {"7": node("PrimitiveString", value="dusk")}
    return texted(words=node("WidgetToString", **held), box=BOX, **more)


def power(**inputs: Any) -> Graph:
    given = {"prompt": TAGGED, "opt_model": ["load", 0], "opt_clip": ["load", 1], **inputs}
    return graph_of(yes=node("Power Prompt (rgthree)", **given), draw=sampler(model=["yes", 1]))


GRAPHS: dict[str, tuple[Graph, dict[str, Any]]] = {
    "words put into a pipe": (easy(positive=PROMPT, negative=NEGATIVE), {}),
    "words of a box put into a pipe": (
        {**easy(positive=["box", 0], negative=NEGATIVE), "box": node("easy prompt", text=PROMPT)},
        {},
    ),
    "no words put into a pipe": (
        easy(positive=PROMPT, negative=""),
        {"negative_prompt": None},
    ),
    "words with a LoRA put into a pipe": (
        easy(positive=TAGGED, negative=NEGATIVE),
        {"prompt": TAGGED, "loras": INK},
    ),
    "words by chance put into a pipe": (
        easy(positive="a {kite|bird}", negative=NEGATIVE),
        {"prompt": None},
    ),
    "a box with lists to choose words from": (
        texted(words=node("easy prompt", text=PROMPT, prefix="Select the prefix", subject="a cat")),
        {},
    ),
    "any value as a text": (
        texted(
            words=node("easy convertAnything", **{"*": ["box", 0]}, output_type="string"), box=BOX
        ),
        {},
    ),
    "a box that knows wildcards": (wildcards(0, PROMPT), {}),
    "what it has filled in": (wildcards(1, PROMPT), {}),
    "what it fills in by chance": (wildcards(1, "a {kite|bird}"), {"prompt": None}),
    "a line among blank ones": (line("a\n\nb\nc", 2), {"prompt": "c"}),
    "a line after the last": (line("a\nb", 7), {"prompt": "b"}),
    "the last of many lines": (
        line("", 0, "easy promptLine", prompt="a\nb", start_index=1, max_rows=1000),
        {"prompt": "b"},
    ),
    "a line that is alone": (
        line("", 0, "easy promptLine", prompt=PROMPT, start_index=0, max_rows=1000),
        {},
    ),
    "lines for several pictures": (
        line("", 0, "easy promptLine", prompt="a\nb", start_index=0, max_rows=1000),
        {"prompt": None},
    ),
    "lines counted again": (
        line("", 0, "ImpactStringSelector", strings="a\nb\nc", multiline=False, select=4),
        {"prompt": "b"},
    ),
    "pairs of words": (
        replaced("easy promptReplace", prompt=["box", 0], find1="kite", replace1="bird", find2=""),
        {"prompt": BIRD},
    ),
    "words for nothing": (
        replaced("StringReplace", string=["box", 0], find="", replace="x"),
        {"prompt": None},
    ),
    "a pattern that is plain": (by_regex("RegexReplace"), {"prompt": BIRD}),
    "a pattern with large letters": (by_regex("RegexReplace", case_insensitive=False), {}),
    "a pattern that fits much": (by_regex("RegexReplace", regex_pattern="k.te"), {"prompt": None}),
    "a pattern that is used once": (by_regex("RegexReplace", count=1), {"prompt": None}),
    "a replacement with a group": (by_regex("RegexReplace", replace=r"\g<0>s"), {"prompt": None}),
    "signs of a pattern": (
        replaced("Text Find and Replace", text="a (kite)", find="(kite)", replace="bird"),
        {"prompt": None},
    ),
    "signs that stand for themselves": (
        replaced("Text Find and Replace", text="a (kite)", find=r"\(kite\)", replace="bird"),
        {"prompt": "a bird"},
    ),
    "a text on its way to the console": (
        replaced("Text to Console", text=["box", 0], label="words"),
        {},
    ),
    "a text as a string": (replaced("Text to String", text=["box", 0]), {}),
    "a string as a text": (replaced("String to Text", string=["box", 0]), {}),
    "a text that is displayed": (replaced("DisplayText_Zho", text=["box", 0]), {}),
    "words around a value": (
        replaced("SomethingToString", input=["box", 0], prefix="ink, ", suffix="!"),
        {"prompt": f"ink, {PROMPT}!"},
    ),
    "texts that a former node joins": (
        replaced("Text Concatenate", text_a="a ", text_b="kite", linebreak_addition="false"),
        {"prompt": "a kite"},
    ),
    "texts with lines broken between them": (
        replaced(
            "Text Concatenate", text_a="a", text_b="b", delimiter=" ", linebreak_addition="true"
        ),
        {"prompt": None},
    ),
    "strings of which one is empty": (
        replaced(
            "JoinStringMulti", inputcount=3, string_1="a", string_2="", string_3="b", delimiter=", "
        ),
        {"prompt": "a, b"},
    ),
    "strings of which the first is empty": (
        replaced("JoinStringMulti", inputcount=2, string_1="", string_2="b", delimiter=", "),
        {"prompt": ", b"},
    ),
    "tags that are tidied": (
        function("append", "ink , ,", "", "a  kite", "yes"),
        {"prompt": "ink, a kite"},
    ),
    "tags that releases of a node tidy in their own ways": (
        function("append", " a", "", "kite", "yes"),
        {"prompt": None},
    ),
    "a text that only the browser shows": (
        replaced("PreviewAny", source=["gone", 0], preview_text="OLD RUN"),
        {"prompt": None},
    ),
    "what a function has made before": (
        texted(words=node("StringFunction|pysssss", action="append", text_a=["x", 0], result="X")),
        {"prompt": None},
    ),
    "words before those of a loader": (
        graph_of(
            words=node("ttN conditioning", prepend_positive=["box", 0], positive="ink", clip=CLIP),
            box=BOX,
            draw=sampler(positive=["words", 1]),
        ),
        {"prompt": f"{PROMPT}\nink"},
    ),
    "filters beside a schedule": (
        graph_of(yes=node("PCLazyTextEncodeAdvanced", clip=CLIP, text=PROMPT, tags="NO")),
        {},
    ),
    "words that an encoder has improved": (
        graph_of(yes=node("GemmaAPITextEncode", prompt=PROMPT, enhance_prompt=True)),
        {"prompt": None},
    ),
    "words of frames": (
        graph_of(
            words=node("Init FizzFrame", positive_text="a", general_positive="b", clip=CLIP),
            draw=sampler(positive=["words", 1]),
        ),
        {"prompt": None},
    ),
    "words that are mixed": (
        graph_of(
            a=node("HyVideoTextEncode", prompt=PROMPT),
            b=node("HyVideoTextEncode", prompt="dusk"),
            draw=sampler(
                "HyVideoPromptMixSampler",
                positive=...,
                negative=...,
                hyvid_embeds=["a", 0],
                hyvid_embeds_2=["b", 0],
            ),
        ),
        {"prompt": f"{PROMPT}\ndusk", "negative_prompt": None},
    ),
    "sides with other names": (
        graph_of(
            both=node("LayeredDiffusionCondApply", model=["load", 0], **SIDES),
            draw=sampler(model=["both", 0], positive=["both", 1], negative=["both", 2]),
        ),
        {},
    ),
    "a pipe of anything": (
        graph_of(
            a=node("Pipe to/edit any [Crystools]", any_1=["load", 0], any_2=["no", 0]),
            b=node("Pipe to/edit any [Crystools]", CPipeAny=["a", 0], any_2=["yes", 0]),
            c=node("Pipe from any [Crystools]", CPipeAny=["b", 0]),
            draw=sampler(model=["c", 1], positive=["c", 2]),
        ),
        {},
    ),
    "the first of the texts that are joined": (
        graph_of(yes=encoder(["w", 0]), w=node("ttN text3BOX_3WAYconcat", **THREE)),
        {"prompt": None},
    ),
    "all of them": (
        graph_of(yes=encoder(["w", 6]), w=node("ttN text3BOX_3WAYconcat", **THREE)),
        {"prompt": "a kite at dusk"},
    ),
    "texts that are joined in a way of its own": (
        texted(
            words=node("Text Concatenate", text_a=["b", 0], text_b="!", delimiter=""),
            b=node("TextBoxConcatenate", text="a", text_external="b", separator=", "),
        ),
        {"prompt": None},
    ),
    "tags of a box that are tidied": (
        function("replace", "ink , , a", "", "", "yes"),
        {"prompt": "ink, a"},
    ),
    "a text in another": (function("replace", ["box", 0], "kite", "bird"), {"prompt": BIRD}),
    "a pattern between slashes": (function("replace", ["box", 0], "/k.te/", "x"), {"prompt": None}),
    "a plain one between slashes": (
        function("replace", ["box", 0], "/kite/", "bird"),
        {"prompt": BIRD},
    ),
    "lines without those that are comments": (
        multiline("CR Multiline Text", f"#no\n{PROMPT},,\n", **CSV),
        {"prompt": f"{PROMPT},,"},
    ),
    "commas at the end of lines": (
        multiline("CR Multiline Text", f"{PROMPT},,", **CSV),
        {},
    ),
    "lines of a table": (
        multiline("CR Multiline Text", PROMPT, **{**CSV, "convert_from_csv": True}),
        {"prompt": None},
    ),
    "a line that ends": (multiline("Text Multiline", f"{PROMPT}\n"), {}),
    "the time in a text": (multiline("Text Multiline", "a kite [time(%H)]"), {"prompt": None}),
    "the time in a text of one line": (multiline("Text String", "kite [time]"), {"prompt": None}),
    "weights in a text": (
        multiline("Text Multiline (Code Compatible)", "a [kite:bird:0.5]"),
        {"prompt": "a [kite:bird:0.5]"},
    ),
    "words found in words": (
        replaced("Text Find and Replace Input", text=["box", 0], find="kite", replace="bird"),
        {"prompt": BIRD},
    ),
    "words that are found again": (
        replaced("Text Find and Replace Input", text=["box", 0], find="kite", replace="kites"),
        {"prompt": None},
    ),
    "a list of texts": (
        texted(
            words=node("Text List to Text", delimiter="\\n", text_list=["lists", 0]),
            lists=node("Text List Concatenate", list_a=["list", 0], list_b=["more", 0]),
            list=node("Text List", text_a=["box", 0], text_b=["box", 0]),
            more=node("Text List", text_c=["box", 0]),
            box=node("PrimitiveString", value="a"),
        ),
        {"prompt": "a\na\na"},
    ),
    "the words of a widget": (widget(any_input=["box", 0], id=0), {}),
    "the words of a widget by the node's number": (widget(id=7), {"prompt": "dusk"}),
    "a number of a widget": (
        widget(any_input=["draw", 0], id=0, widget_name="cfg"),
        {"prompt": "5.50"},
    ),
    "a number of a widget with no end of decimals": (
        widget(any_input=["draw", 0], id=0, widget_name="cfg", allowed_float_decimals=10**9),
        {"prompt": None},
    ),
    "lists of lists of lists": (
        texted(
            words=node("Text List to Text", delimiter=",", text_list=["a", 0]),
            a=node("Text List Concatenate", list_a=["b", 0]),
            b=node("Text List Concatenate", list_a=["c", 0]),
            c=node("Text List", text_a="x"),
        ),
        {"prompt": None},
    ),
    "all of a node's widgets": (
        widget(any_input=["box", 0], id=0, return_all=True),
        {"prompt": None},
    ),
    "the widget of a node with a title": (
        widget(any_input=["box", 0], id=0, node_title="x"),
        {"prompt": None},
    ),
    "a text that something else waits for": (
        texted(words=node("ImpactIfNone", signal=["box", 0], any_input=["load", 0]), box=BOX),
        {},
    ),
    "whether something waits": (
        texted(
            words=node("ImpactConditionalBranch", cond=["if", 1], tt_value="yes", ff_value="no"),
            **{"if": node("ImpactIfNone", signal=["t", 0])},
            t=node("PrimitiveBoolean", value=True),
        ),
        {"prompt": None},
    ),
    "the label of a switch": (
        texted(words=node("ImpactSwitch", select=1, input1=["box", 0]), box=BOX) | SLOT,
        {"prompt": None},
    ),
    "both texts of a schedule": (
        scheduled_both('"0": "a kite --neg grain"', '"0": "ink --neg blur"'),
        {"prompt": '"0": "a kite"\n"0": "ink"', "negative_prompt": '"0": "grain"\n"0": "blur"'},
    ),
    "negative words beside an encoder": (
        graph_of(
            words=node("HyVideoTextEncode", prompt=PROMPT, hyvid_cfg=["cfg", 0]),
            cfg=node("HyVideoCFG", negative_prompt=NEGATIVE, cfg=5.5, start_percent=0.0),
            draw=sampler("HyVideoSampler", positive=..., negative=..., hyvid_embeds=["words", 0]),
        ),
        {},
    ),
    "a sampler with two models": (
        graph_of(
            low=node("UNETLoader", unet_name="low.safetensors"),
            draw=sampler(
                "WanMoeKSampler",
                model=...,
                cfg=...,
                model_high_noise=["load", 0],
                model_low_noise=["low", 0],
                cfg_high_noise=5.5,
                cfg_low_noise=1.0,
            ),
        ),
        {},
    ),
    "boxes with a subject of their own": (
        graph_of(
            face=node(FACE, conditioning_to=["yes", 0], clip=["load", 1], text="dusk", width=64),
            draw=sampler(positive=["face", 0]),
        ),
        {},
    ),
    "a loader with a seed for its wildcards": (
        graph_of(
            words=node(
                "ttN pipeLoader",
                ckpt_name="kite.safetensors",
                positive=PROMPT,
                negative="x",
                seed=0,
            ),
            draw=sampler(positive=["words", 2]),
        ),
        {},
    ),
    "LoRAs of a prompt": (power(insert_lora="CHOOSE"), {"prompt": TAGGED, "loras": INK}),
    "LoRAs of a prompt that are off": (power(insert_lora="DISABLE LORAS"), {"prompt": TAGGED}),
    "a schedule with both sides": (
        scheduled(SCHEDULE),
        {"prompt": '"0": "a kite", "9": "dusk"', "negative_prompt": '"0": "grain", "9": ""'},
    ),
    "a schedule without a negative side": (
        scheduled('"0": "a kite"'),
        {"prompt": '"0": "a kite"', "negative_prompt": None},
    ),
    "both sides in the words around a schedule": (
        scheduled('"0": "a kite"', pre_text="ink --neg grain"),
        {"prompt": 'ink\n"0": "a kite"'},
    ),
    "a schedule whose marks are not clear": (
        scheduled('"0": "a --neg b --neg c"'),
        {"prompt": '"0": "a"', "negative_prompt": None},
    ),
    "the negative side of another schedule": (
        graph_of(
            a=node("BatchPromptSchedule", text='"0": "NOT THIS"', clip=["load", 1]),
            draw=sampler(negative=["a", 1]),
        ),
        {"negative_prompt": None},
    ),
    "a scheduler of a list beside the usual ones": (
        graph_of(
            draw=sampler(scheduler=["s", 0]),
            s=node("ImpactSchedulerAdapter", scheduler="normal", extra_scheduler="karras"),
        ),
        {},
    ),
    "several samplers in one text": (
        graph_of(draw=sampler(sampler_name="dpmpp_2m, euler")),
        {"sampler": None},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_words_are_those_that_were_encoded_or_none(name: str) -> None:
    graph, changes = GRAPHS[name]
    assert told(graph) == {**BASE, **changes}


def test_a_sampler_has_its_own_guidance_whatever_the_words_bring() -> None:
    graph = graph_of(
        yes=node("FluxGuidance", conditioning=["words", 0], guidance=3.5),
        words=encoder(PROMPT),
        draw=sampler("KSamplerTheMisto", guidance=4.0),
    )
    assert recipe_of_graph(graph).guidance == 4.0
