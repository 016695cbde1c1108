"""From the words of a command to a request."""

import doctest
from typing import Any

import pytest

from anime.cli import request_parsing, terminal
from anime.cli.request_parsing import parse_inputs, parse_lora, parse_request
from anime.core import field_errors
from anime.core.ids import MAX_SEED
from anime.errors import InvalidRequest


def test_what_is_left_out_stays_unset() -> None:
    request = parse_request(prompt="rain", width=None, loras=[], inputs={})
    assert request.model_fields_set == {"prompt"}


def test_zero_is_a_value_and_not_left_out() -> None:
    assert parse_request(prompt="rain", seed=0, cfg=0.0).seed == 0


def test_the_largest_seed_is_taken() -> None:
    assert parse_request(prompt="rain", seed=MAX_SEED).seed == 2**64 - 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"prompt": ""}, "prompt: is empty."),
        ({"prompt": " \n"}, "prompt: is empty; say what to draw."),
        ({"prompt": "x" * 100_000}, "prompt: string should have at most 10000 characters."),
        ({"prompt": "a\x00b"}, "prompt: holds a NUL byte; remove it."),
        ({"width": 0}, "width: input should be greater than or equal to 64."),
        ({"width": 10}, "width: input should be greater than or equal to 64."),
        ({"width": 100}, "width: 100 is not a multiple of 8; the nearest is 96."),
        ({"height": 10**6}, "height: input should be less than or equal to 8192."),
        ({"steps": -1}, "steps: input should be greater than or equal to 1."),
        ({"seed": 2**64}, f"seed: input should be less than or equal to {MAX_SEED}."),
        ({"workflow": "../x"}, "workflow: string should match pattern"),
        ({"colour": "red"}, "colour: is not known."),
        ({"project": "  "}, "project: is empty."),
        ({"inputs": {"style": "\x00"}}, "inputs.style holds a NUL byte"),
    ],
)
def test_each_bad_value_gets_a_sentence_that_names_it(
    fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(**{"prompt": "rain", **fields})
    assert sentence in refused.value.what
    assert len(refused.value.what) < 300
    assert refused.value.todo


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(InvalidRequest, match=r"width: .*\. steps: "):
        parse_request(prompt="rain", width=1, steps=0)


@pytest.mark.parametrize(
    ("text", "name", "strength"),
    [
        ("ink.safetensors", "ink.safetensors", 1.0),
        ("ink.safetensors:0.7", "ink.safetensors", 0.7),
        ("styles/ink.safetensors:-1", "styles/ink.safetensors", -1.0),
        ("c:ink.safetensors", "c:ink.safetensors", 1.0),
    ],
)
def test_a_lora_is_a_name_and_perhaps_a_strength(text: str, name: str, strength: float) -> None:
    assert (parse_lora(text).name, parse_lora(text).strength) == (name, strength)


@pytest.mark.parametrize("text", ["", "ink.safetensors:99"])
def test_a_lora_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--lora"):
        parse_lora(text)


def test_inputs_are_numbers_switches_or_text() -> None:
    inputs = parse_inputs(
        ["frames=16", "denoise=0.5", "loop=true", "style=a = b", "empty=", "n=NaN"]
    )
    assert inputs == {
        "frames": 16,
        "denoise": 0.5,
        "loop": True,
        "style": "a = b",
        "empty": "",
        "n": "NaN",
    }


@pytest.mark.parametrize("text", ["frames", "=16", ""])
def test_an_input_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--input"):
        parse_inputs([text])


def test_an_input_without_a_name_is_told_so() -> None:
    with pytest.raises(InvalidRequest, match="--input =3 has no name"):
        parse_inputs(["=3"])


def test_an_input_that_is_given_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="--input frames is given twice"):
        parse_inputs(["frames=8", "style=ink", "frames=16"])


def test_a_value_with_one_key_twice_is_refused_and_not_taken_as_text() -> None:
    with pytest.raises(InvalidRequest, match=r'--input style: the key "a" stands twice'):
        parse_inputs(['style={"a": 1, "a": 2}'])


def test_what_pydantic_says_begins_small_but_for_abbreviations() -> None:
    said = ("Input should be a valid UUID", "UUID input should be a string")
    errors = [{"type": "uuid", "loc": ("job_id",), "msg": text} for text in said]
    begun = [fault.message[:5] for fault in field_errors.field_errors_of(errors)]
    assert begun == ["input", "UUID "]


@pytest.mark.parametrize("module", [request_parsing, terminal, field_errors])
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:  # a module
    assert doctest.testmod(module).failed == 0
