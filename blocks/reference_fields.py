"""References in fields of blocks that hold no text: resolved when a block is made or loaded.

A text keeps its reference, which is resolved by whoever connects, or once a run has the block.
"""

from pathlib import Path
from types import UnionType
from typing import get_args, get_origin

from pydantic import BaseModel, SecretStr, model_validator

from anime.core.secret_references import is_reference
from anime.settings.secret_references import resolve_setting, value_in

_TEXTS = {str, Path, SecretStr}


class ReferenceFields(BaseModel):
    """Part of a block: numbers, choices, lists and headers may be given by a reference, too."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_what_is_no_text(cls, values: dict[str, object]) -> dict[str, object]:
        resolved = {
            name: value_in(cls._resolved_field(name, value))
            for name, value in values.items()
            if isinstance(value, str) and is_reference(value) and not cls._is_text(name)
        }
        return values | resolved

    @classmethod
    def _resolved_field(cls, name: str, text: str) -> str:
        return resolve_setting(f"{cls.__name__}.{name}", text)

    @classmethod
    def _is_text(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        kind = field.annotation if field else str
        kinds = get_args(kind) if get_origin(kind) is UnionType else (kind,)
        return bool(_TEXTS.intersection(kinds))
