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
    [seed, _nothing] = SCHEMA.properties["seed"]["anyOf"]
    assert (seed["minimum"], seed["maximum"]) == (0, 2**64 - 1)


def test_a_value_out_of_bounds_is_refused_before_anything_runs() -> None:
    with pytest.raises(ParameterTypeError, match="multiple of 8"):
        generate.validate_parameters({"prompt": "x", "width": 100})
    with pytest.raises(SignatureMismatchError):
        generate.validate_parameters({"prompt": "x", "widht": 128})
