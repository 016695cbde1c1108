"""The flow's parameters are the fields of the request."""

import pytest
from prefect.exceptions import ParameterTypeError, SignatureMismatchError
from prefect.utilities.callables import parameter_schema

from anime.schemas import GenerationRequest
from flows.generate import generate

SCHEMA = parameter_schema(generate)


def test_the_form_has_every_field_and_the_job() -> None:
    assert list(SCHEMA.properties) == [*GenerationRequest.model_fields, "job_id"]
    assert SCHEMA.required == ["prompt"]


def test_every_field_of_the_form_is_described() -> None:
    described = {name: field.get("description") for name, field in SCHEMA.properties.items()}
    for name, field in GenerationRequest.model_fields.items():
        assert described[name] == field.description
    assert described["job_id"]


def test_bounds_are_in_the_form() -> None:
    assert SCHEMA.properties["prompt"]["maxLength"] == 10_000
    [_text, seed, _nothing] = SCHEMA.properties["seed"]["anyOf"]
    assert (seed["minimum"], seed["maximum"]) == (0, 2**64 - 1)


@pytest.mark.parametrize("seed", ["12345678901234567", str(2**64 - 1), 7, None])
def test_a_seed_may_be_text_as_browsers_round_large_numbers(seed: str | int | None) -> None:
    [text, *_] = SCHEMA.properties["seed"]["anyOf"]
    assert text["type"] == "string"
    parameters = generate.validate_parameters({"prompt": "x", "seed": seed})
    request = GenerationRequest(prompt="x", seed=parameters["seed"])
    assert request.seed == (None if seed is None else int(seed))


@pytest.mark.parametrize("seed", ["-1", "1e3", "", "9" * 21])
def test_a_text_that_is_no_seed_is_refused(seed: str) -> None:
    with pytest.raises(ParameterTypeError, match="seed"):
        generate.validate_parameters({"prompt": "x", "seed": seed})


def test_a_value_out_of_bounds_is_refused_before_anything_runs() -> None:
    with pytest.raises(ParameterTypeError, match="multiple of 8"):
        generate.validate_parameters({"prompt": "x", "width": 100})
    with pytest.raises(SignatureMismatchError):
        generate.validate_parameters({"prompt": "x", "widht": 128})
