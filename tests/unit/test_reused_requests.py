"""What of a recipe or a job a request can be begun with."""

from typing import Any
from uuid import UUID

from anime.core.ids import MAX_SEED
from anime.core.reused_requests import of_job, of_recipe
from anime.schemas import GenerationRequest, LoraChoice

RECIPE: dict[str, Any] = {  # JSON
    "source": "automatic1111",
    "prompt": "a fox",
    "negative_prompt": "text",
    "seed": str(MAX_SEED),
    "model": "ink.safetensors",
    "loras": [{"name": "mei.safetensors", "strength": 0.8}, {"name": "old", "strength": None}],
    "steps": 28,
    "cfg": 6.5,
    "width": 832,
    "height": 512,
    "sampler": None,
    "kind": "image",
    "graph": {"1": {}},
}


def test_every_field_of_a_recipe_that_a_request_has_is_taken_over() -> None:
    found = of_recipe(RECIPE)
    assert found.request == {
        "prompt": "a fox",
        "negative_prompt": "text",
        "seed": "18446744073709551615",
        "model": "ink.safetensors",
        "loras": [
            {"name": "mei.safetensors", "strength": 0.8},
            {"name": "old"},
        ],
        "steps": 28,
        "cfg": 6.5,
        "width": 832,
        "height": 512,
    }
    assert (found.source, found.left_out, found.job_id) == ("automatic1111", [], None)
    GenerationRequest.model_validate(found.request)


def test_what_no_request_can_say_is_named_and_the_rest_is_kept() -> None:
    found = of_recipe({**RECIPE, "width": 833, "prompt": "x" * 100_000, "steps": 5000})
    assert not found.request.keys() & {"width", "prompt", "steps"}
    assert found.request["height"] == 512
    assert sorted(each.partition(":")[0] for each in found.left_out) == ["prompt", "steps", "width"]
    assert "width: 833 is not a multiple of 8; the nearest is 832." in found.left_out


def test_a_film_is_asked_for_as_a_film_and_nothing_as_nothing() -> None:
    assert of_recipe({"kind": "video"}).request == {"type": "video"}
    assert of_recipe({"loras": "hostile", "seed": "12x"}).request == {}


def test_the_request_of_a_job_has_the_seed_that_it_was_rendered_with() -> None:
    job_id = UUID(int=7)
    asked = GenerationRequest(
        prompt="a fox", inputs={"image": ".inputs/x.png"}, loras=[LoraChoice(name="mei")]
    )
    found = of_job(job_id, asked, seed=2**63)
    assert found.request == {
        "prompt": "a fox",
        "inputs": {"image": ".inputs/x.png"},
        "loras": [{"name": "mei"}],
        "seed": str(2**63),
    }
    assert (found.source, found.job_id) == ("job", job_id)
