"""Projects and characters as older services wrote them, whatever they called their fields."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from anime.core.catalogue import NewCharacter, NewProject, NewVersion
from anime.core.field_errors import field_errors_of

_Model = TypeVar("_Model", bound=BaseModel)
_KEPT = "before_adoption"  # of the metadata: the record as it was
_NESTED = ("metadata", "data", "config", "settings", "details")
_NAMES = {
    "name": ("name", "character_name", "project_name", "title", "display_name"),
    "description": ("description", "summary", "bio", "about"),
    "prompt": (
        *("prompt", "positive_prompt", "base_prompt", "appearance", "appearance_prompt"),
        *("visual_prompt", "prompt_template"),
    ),
    "negative_prompt": ("negative_prompt", "negative", "negative_prompts"),
    "seed": ("seed", "base_seed"),
    "loras": ("loras", "lora", "lora_name", "lora_file", "lora_path"),
    "strength": ("lora_strength", "lora_weight"),
    "project": ("project", "project_name", "project_id"),
    "notes": ("notes", "note"),
}


class OldCharacter(NamedTuple):
    """A character to be, with its first version, and its project by name or old id."""

    new: NewCharacter
    version: NewVersion | None
    project: str | None


class ImportedRecord(BaseModel):
    """What became of a record of an older service. The record itself stays where it is."""

    kind: str  # project or character
    name: str
    source: str  # table and row, or file
    outcome: str  # added, there already, or unreadable
    reason: str = ""


def project_in(record: Mapping[str, JsonValue]) -> NewProject:
    """The project that a record is of.

    Raises:
        ValueError: it has no name, or something that no project may have; says what.
    """
    fields = {"name": _text(record, "name"), "description": _text(record, "description") or ""}
    return _checked(NewProject, fields | {"metadata": {_KEPT: dict(record)}})


def character_in(record: Mapping[str, JsonValue]) -> OldCharacter:
    """The character that a record is of; without a version if it has no prompt.

    Raises as `project_in`.
    """
    flat = _flat(record)
    new = _checked(
        NewCharacter,
        {
            "name": _text(flat, "name"),
            "description": _text(flat, "description") or "",
            "metadata": {_KEPT: dict(record)},
        },
    )
    prompt, project = _text(flat, "prompt"), _first(flat, "project")
    version = None
    if prompt:
        version = _checked(
            NewVersion,
            {
                "prompt": prompt,
                "negative_prompt": _text(flat, "negative_prompt"),
                "loras": _loras(flat),
                "seed": _first(flat, "seed"),
                "notes": _text(flat, "notes") or "",
                "by": "an older service",
            },
        )
    return OldCharacter(new, version, None if project is None else str(project))


def records_in(value: JsonValue) -> Iterable[Mapping[str, JsonValue]]:
    """The records of a file: an object, a list of objects, or objects by name.

    >>> list(records_in({"Mei": {"prompt": "red coat"}}))
    [{'name': 'Mei', 'prompt': 'red coat'}]
    """
    if isinstance(value, list):
        return [each if isinstance(each, dict) else {} for each in value]
    if not isinstance(value, dict):
        return [{}]
    if (
        _first(value, "name") is None
        and value
        and all(isinstance(each, dict) for each in value.values())
    ):
        return [{"name": name, **each} for name, each in value.items() if isinstance(each, dict)]
    return [value]


def _flat(record: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The record with what lies in its objects of any fields; what stands outside counts first."""
    inside: dict[str, JsonValue] = {}
    for name in _NESTED:
        nested = record.get(name)
        if isinstance(nested, dict):
            inside |= nested
    return inside | {name: value for name, value in record.items() if value is not None}


def _first(record: Mapping[str, JsonValue], field: str) -> JsonValue:
    values = (record.get(name) for name in _NAMES[field])
    return next((value for value in values if value not in (None, "", [])), None)


def _text(record: Mapping[str, JsonValue], field: str) -> str | None:
    value = _first(record, field)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else None


def _loras(record: Mapping[str, JsonValue]) -> list[JsonValue]:
    """LoRAs as texts, `NAME:STRENGTH`, or objects; one alone or several."""
    value = _first(record, "loras")
    found: list[JsonValue] = []
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            name, colon, strength = each.rpartition(":")
            alone = _first(record, "strength")
            found.append(
                {"name": name, "strength": strength}
                if colon
                else {"name": each, **({} if alone is None else {"strength": alone})}
            )
        elif isinstance(each, dict):
            name_of = each.get("name") or each.get("file") or each.get("path")
            strength_of = each.get("strength", each.get("weight", 1.0))
            found.append({"name": name_of, "strength": strength_of})
    return found


def _checked(model: type[_Model], fields: Mapping[str, object]) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as fault:
        errors = field_errors_of(fault.errors(include_input=False, include_url=False))
        raise ValueError(" ".join(map(str, errors))) from None
