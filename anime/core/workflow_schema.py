"""A JSON schema of what a workflow takes: a form can be made of it, and its data sent as it is."""

from typing import Any

from pydantic import JsonValue

from anime.core.bindings import REQUEST_FIELDS, InputBinding, InputKind
from anime.core.ids import MAX_SEED
from anime.core.workflow_build import Template
from anime.schemas import MAX_PROMPT_CHARS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCHEMAS: dict[InputKind, dict[str, Any]] = {
    InputKind.TEXT: {"type": "string"},
    InputKind.INT: {"type": "integer"},
    InputKind.FLOAT: {"type": "number"},
    InputKind.SWITCH: {"type": "boolean"},
    InputKind.CHOICE: {"type": "string", "minLength": 1},
    InputKind.IMAGE: {"type": "string", "minLength": 1},
    InputKind.IMAGES: {"type": "array", "items": {"type": "string", "minLength": 1}},
    InputKind.SECONDS: {"type": "number", "exclusiveMinimum": 0},
    InputKind.SEED: {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
    InputKind.SIZE: {"type": "integer", "minimum": 64, "maximum": 8192, "multipleOf": 8},
}
_PROMPT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_PROMPT_CHARS}


def inputs_schema(template: Template) -> dict[str, JsonValue]:
    """The schema of the part of a request that the workflow decides on.

    Fields of a request stand at the top, the workflow's own inputs below `inputs`. A default is
    what the workflow takes where a request says nothing; the prompt is asked for always.
    """
    fields: dict[str, JsonValue] = {"prompt": {**_PROMPT, "title": "Prompt"}}
    own: dict[str, JsonValue] = {}
    required: list[JsonValue] = []
    for name, bound in template.inputs.items():
        schema = _schema_of(template, name, bound)
        if name == "prompt":
            fields["prompt"] = {**schema, **_PROMPT}
        elif name in REQUEST_FIELDS:
            fields[name] = schema
        else:
            own[name] = schema
            if bound.is_required and bound.default is None:
                required.append(name)
    return {
        "$schema": _DIALECT,
        "title": template.binding.title,
        "description": template.binding.description,
        "type": "object",
        "properties": {
            "workflow": {"const": template.name},
            **fields,
            **({"inputs": _object_of(own, required)} if own else {}),
        },
        "required": ["prompt", "workflow", *(["inputs"] if required else [])],
    }


def _object_of(properties: dict[str, JsonValue], required: list[JsonValue]) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _schema_of(template: Template, name: str, bound: InputBinding) -> dict[str, JsonValue]:
    schema: dict[str, JsonValue] = {
        "title": name.replace("_", " ").capitalize(),
        **_SCHEMAS[bound.kind],
        "x-kind": bound.kind.value,
    }
    if bound.description:
        schema["description"] = bound.description
    if bound.kind is InputKind.IMAGES:
        schema |= {"minItems": bound.fewest_pictures, "maxItems": bound.most_pictures}
        schema["x-roles"] = [place.role or place.prompt_name for place in bound.places]
        return schema
    if bound.minimum is not None:
        schema["minimum"] = bound.minimum
    if bound.maximum is not None:
        schema["maximum"] = bound.maximum
    if not bound.is_required:
        schema["default"] = template.value_of(name)
    return schema
