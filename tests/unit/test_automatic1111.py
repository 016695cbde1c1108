import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.assets.metadata import LoraUse
from anime.assets.metadata.automatic1111 import parameters_of

SETTINGS = (
    "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, "
    "Seed: 18446744073709551615, Size: 832x1216, Model hash: 67ab2fd8ec, Model: ponyDiffusion, "
    'Lora hashes: "ink: c3a1, soft: 99e0", TI hashes: "bad, worse: 1", Version: v1.10.1'
)
PROMPT = "1girl, rooftop, <lora:ink:0.8>\nneon lights <lora:soft>"
NEGATIVE = "blurry, lowres\nextra fingers"


def test_everything_in_the_text_is_found() -> None:
    said = parameters_of(f"{PROMPT}\nNegative prompt: {NEGATIVE}\n{SETTINGS}")
    assert said is not None
    assert (said.prompt, said.negative_prompt) == (PROMPT, NEGATIVE)
    assert (said.steps, said.cfg, said.seed) == (28, 5.5, 2**64 - 1)
    assert (said.sampler, said.scheduler) == ("DPM++ 2M", "Karras")
    assert (said.model, said.width, said.height) == ("ponyDiffusion", 832, 1216)
    assert said.loras == (LoraUse(name="ink", strength=0.8), LoraUse(name="soft", strength=1.0))


def test_a_quoted_value_may_hold_commas_colons_and_quotes() -> None:
    said = parameters_of('a\nSteps: 1, Model: "one, \\"two\\": three", Sampler: Euler')
    assert said is not None
    assert (said.model, said.sampler) == ('one, "two": three', "Euler")


def test_a_quote_that_is_never_closed_ends_at_the_comma() -> None:
    said = parameters_of('a\nSteps: 1, Model: "open, Sampler: Euler')
    assert said is not None
    assert (said.model, said.sampler) == ('"open', "Euler")


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        ("Steps: 1, Seed: 2", None, None),
        ("Negative prompt: dogs\nSteps: 1", None, "dogs"),
        ("say Negative prompt: aloud\nSteps: 1", "say Negative prompt: aloud", None),
        ("two\r\nlines\r\nNegative prompt: dogs\r\nSteps: 1", "two\nlines", "dogs"),
        ("Steps: of stone\nSteps: 1", "Steps: of stone", None),
    ],
)
def test_prompts_are_told_from_settings(
    text: str, prompt: str | None, negative: str | None
) -> None:
    said = parameters_of(text)
    assert said is not None
    assert (said.prompt, said.negative_prompt, said.steps) == (prompt, negative, 1)


@pytest.mark.parametrize("text", ["", "Screenshot", "Steps to heaven", "a\nNegative prompt: b"])
def test_a_comment_of_another_kind_says_nothing(text: str) -> None:
    assert parameters_of(text) is None


@pytest.mark.parametrize("seed", ["-1", "1e3", "٣", "9" * 5000, ""])
def test_a_seed_that_is_no_number_is_left_out(seed: str) -> None:
    said = parameters_of(f"a\nSteps: 1, Seed: {seed}, Size: 1x, CFG scale: high")
    assert said is not None
    assert (said.seed, said.width, said.cfg) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "a\nSteps: 1" + ", x: y" * 500_000,
        "a\nSteps: 1" + ":" * 2_000_000,
        "<lora:" * 300_000 + "\nSteps: 1",
        "<lora:a:" * 300_000 + "\nSteps: 1",
    ],
)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    said = parameters_of(text)
    assert said is not None
    assert said.loras == ()


@given(st.text(), st.text())
def test_no_text_raises(before: str, after: str) -> None:
    assert parameters_of(f"{before}\nSteps: {after}") is not None
