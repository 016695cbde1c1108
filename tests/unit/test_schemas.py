"""What users may send, and the sentence they get when they may not."""

import pytest
from pydantic import ValidationError

from anime.core.ids import MAX_SEED
from anime.schemas import MAX_PROMPT_CHARS, GenerationRequest, GenerationType, LoraChoice


def fault_of(**fields: object) -> str:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate({"prompt": "a cat"} | fields)
    return str(caught.value)


def test_a_prompt_alone_is_a_request() -> None:
    request = GenerationRequest(prompt="a cat")
    assert request.type is GenerationType.IMAGE
    assert request.workflow_name == "txt2img"


def test_a_video_is_an_animation_unless_a_workflow_is_named() -> None:
    assert GenerationRequest(prompt="x", type="video").workflow_name == "animation"
    assert GenerationRequest(prompt="x", type="video", workflow="mine").workflow_name == "mine"


def test_the_body_the_old_clients_send_is_understood() -> None:
    request = GenerationRequest.model_validate_json(
        '{"prompt": "anime character", "type": "image"}'
    )
    assert request.prompt == "anime character"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": ""}, "at least 1 character"),
        ({"prompt": " \n\t"}, "is empty; say what to draw"),
        ({"prompt": "x" * (MAX_PROMPT_CHARS + 1)}, "at most 10000 characters"),
        ({"prompt": "x" * 100_000}, "at most 10000 characters"),
        ({"prompt": "a\x00b"}, "NUL byte"),
        ({"prompt": "\ud800"}, "nicode"),
        ({"negative_prompt": "a\x00b"}, "NUL byte"),
        ({"project": ""}, "at least 1 character"),
        ({"project": " \u3000"}, "is empty"),
        ({"characters": ["Mei", "\n"]}, "is empty"),
        ({"character": "x" * 121}, "at most 120 characters"),
        ({"width": 0}, "greater than or equal to 64"),
        ({"width": 10**6}, "less than or equal to 8192"),
        ({"width": 513}, "513 is not a multiple of 8; the nearest is 512"),
        ({"height": 1023}, "the nearest is 1024"),
        ({"steps": -1}, "greater than or equal to 1"),
        ({"cfg": float("nan")}, "finite number"),
        ({"cfg": float("inf")}, "finite number"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": MAX_SEED + 1}, "18446744073709551615"),
        ({"batch_size": 65}, "less than or equal to 64"),
        ({"priority": 101}, "less than or equal to 100"),
        ({"workflow": "../secret"}, "match pattern"),
        ({"workflow": "a b"}, "match pattern"),
        ({"type": "audio"}, "'image' or 'video'"),
        ({"colour": "red"}, "colour"),
        ({"inputs": {"caption": "a\x00b"}}, "inputs.caption holds a NUL byte"),
        ({"inputs": {"curve": [0.5, float("nan")]}}, "inputs.curve holds the number nan"),
        ({"inputs": {"by": {"width": float("inf")}}}, "inputs.by holds the number inf"),
        ({"loras": [{"name": "a", "strength": 11}]}, "less than or equal to 10"),
        ({"loras": [{"name": "a", "weight": 1}]}, "weight"),
        ({"loras": [{"name": "a"}] * 17}, "at most 16 items"),
    ],
)
def test_bad_input_is_refused_with_a_reason(fields: dict[str, object], words: str) -> None:
    assert words in fault_of(**fields)


def test_f16_the_longest_prompt_and_the_largest_seed_are_taken() -> None:
    request = GenerationRequest(prompt="猫" * MAX_PROMPT_CHARS, seed=MAX_SEED)
    again = GenerationRequest.model_validate_json(request.model_dump_json())
    assert again == request
    assert again.seed == MAX_SEED


def test_prompts_in_any_script_arrive_as_they_are() -> None:
    prompt = "屋上の少女 🌆 فتاة на крыше e\u0301"
    assert GenerationRequest(prompt=prompt).prompt == prompt


def test_a_lora_acts_in_full_unless_said_otherwise() -> None:
    assert LoraChoice(name="ink.safetensors").strength == 1.0
