"""The binding file of a workflow: our input names, and the node inputs they set."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from anime.core.ids import MAX_SEED
from anime.errors import InvalidRequest
from anime.schemas import GenerationType

_SHOWN_CHARS = 60  # of a wrong value: the rest of the sentence matters more
_SIZE_STEP_PX = 8  # a latent pixel is eight picture pixels wide


class InputKind(StrEnum):
    """What values an input takes."""

    TEXT = "text"
    INT = "int"
    FLOAT = "float"
    SWITCH = "switch"  # true or false
    CHOICE = "choice"  # one of the names that the server offers
    IMAGE = "image"  # the name of a picture in the server's input folder
    SEED = "seed"  # 0 to 2^64-1
    SIZE = "size"  # pixels, a multiple of 8


# Inputs that are fields of a GenerationRequest of the same name.
REQUEST_FIELDS: Mapping[str, InputKind] = {
    "prompt": InputKind.TEXT,
    "negative_prompt": InputKind.TEXT,
    "model": InputKind.CHOICE,
    "width": InputKind.SIZE,
    "height": InputKind.SIZE,
    "steps": InputKind.INT,
    "cfg": InputKind.FLOAT,
    "sampler": InputKind.CHOICE,
    "scheduler": InputKind.CHOICE,
    "seed": InputKind.SEED,
    "batch_size": InputKind.INT,
}


class _FromArtist(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(_FromArtist):
    """One input of one node."""

    node: str = Field(min_length=1, description="Title of the node.")
    input: str = Field(min_length=1, description="Name of the input, as in the graph.")


class InputBinding(Target):
    """One named input of a workflow: where its value goes and which values it takes."""

    kind: InputKind
    also: tuple[Target, ...] = Field(default=(), description="More places for the same value.")
    required: bool = Field(default=False, description="Whether a request must give it.")
    default: JsonValue = Field(default=None, description="Taken instead of the graph's value.")
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every place the value is set."""
        return self, *self.also

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        least, most = self.minimum, self.maximum
        if least is not None and most is not None and least > most:
            raise ValueError(f"minimum {least:g} is above maximum {most:g}")
        if self.default is not None and (fault := fault_of(self, self.default)):
            raise ValueError(f"default {fault}")
        return self


class LoraBinding(_FromArtist):
    """The node behind which LoRAs are chained, and its outputs they pass through."""

    node: str = Field(min_length=1, description="Title of the node that loads the model.")
    model_slot: int = Field(default=0, ge=0)
    clip_slot: int = Field(default=1, ge=0)


class Binding(_FromArtist):
    """A workflow's binding file."""

    title: str = Field(min_length=1)
    description: str = ""
    output: GenerationType
    vram_mb: int | None = Field(default=None, ge=0, description="Left out: ANIME_MIN_VRAM_MB.")
    needs_prompt: bool = Field(
        default=True, description="False where the prompt is no more than a caption."
    )
    inputs: dict[str, InputBinding]
    loras: LoraBinding | None = None

    @model_validator(mode="before")
    @classmethod
    def _kinds_of_request_fields(cls, tables: Any) -> Any:  # whatever the file holds
        """Fill in the kinds that need not be written: those of a request's own fields."""
        if not isinstance(tables, dict) or not isinstance(tables.get("inputs"), dict):
            return tables
        inputs = {
            name: {"kind": REQUEST_FIELDS[name]} | table
            if name in REQUEST_FIELDS and isinstance(table, dict)
            else table
            for name, table in tables["inputs"].items()
        }
        return tables | {"inputs": inputs}

    @model_validator(mode="after")
    def _prompt_is_bound(self) -> Self:
        if self.needs_prompt and "prompt" not in self.inputs:
            raise ValueError(
                "no [inputs.prompt]: bind the prompt, or set needs_prompt = false where the"
                " graph draws no text"
            )
        return self


def checked_value(name: str, binding: InputBinding, value: JsonValue) -> JsonValue:
    """The value, once it is known to suit the input.

    Raises:
        InvalidRequest: another kind of value, or out of range.
    """
    if fault := fault_of(binding, value):
        raise InvalidRequest(f'Input "{name}" {fault}.', binding.description)
    return value


def fault_of(binding: InputBinding, value: JsonValue) -> str | None:
    """What is wrong with a value, to be read after the input's name; None when nothing is.

    >>> steps = InputBinding(node="Sampler", input="steps", kind="int", minimum=1)
    >>> fault_of(steps, 0)
    'is 0, below its minimum of 1'
    """
    if not _is_of_kind(binding.kind, value):
        return f"takes {_TAKES[binding.kind]}, not {_shown(value)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if binding.minimum is not None and value < binding.minimum:
            return f"is {value}, below its minimum of {binding.minimum:g}"
        if binding.maximum is not None and value > binding.maximum:
            return f"is {value}, above its maximum of {binding.maximum:g}"
    return None


_TAKES: Mapping[InputKind, str] = {
    InputKind.TEXT: "a text",
    InputKind.INT: "a whole number",
    InputKind.FLOAT: "a number",
    InputKind.SWITCH: "true or false",
    InputKind.CHOICE: "one of the names ComfyUI offers",
    InputKind.IMAGE: "the name of a picture",
    InputKind.SEED: "a whole number from 0 to 2^64-1",
    InputKind.SIZE: "a multiple of 8 pixels",
}


def _is_of_kind(kind: InputKind, value: JsonValue) -> bool:
    match kind:
        case InputKind.TEXT:
            return isinstance(value, str)
        case InputKind.CHOICE | InputKind.IMAGE:
            return isinstance(value, str) and bool(value.strip())
        case InputKind.SWITCH:
            return isinstance(value, bool)
        case InputKind.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, int) and not isinstance(value, bool) and _is_whole(kind, value)


def _is_whole(kind: InputKind, value: int) -> bool:
    if kind is InputKind.SEED:
        return 0 <= value <= MAX_SEED
    return kind is InputKind.INT or (value > 0 and value % _SIZE_STEP_PX == 0)


def _shown(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
