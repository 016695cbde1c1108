"""The binding file of a workflow: our input names, and the node inputs they set."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from anime.core.ids import MAX_SEED
from anime.core.targets import NodeReference, PicturePlace, Target
from anime.core.unused_places import UnusedPlace
from anime.errors import InvalidRequest

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
    IMAGES = "images"  # a list of such names, in order
    SECONDS = "seconds"  # the length of a film; the graph gets its number of frames
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


class WorkflowOutput(StrEnum):
    """What a workflow makes. Jobs know of images and videos only (`GenerationType`)."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL_3D = "3d"


class InputBinding(Target):
    """One named input of a workflow: where its value goes and which values it takes."""

    input: str = Field(default="", description="Name of the input, as in the graph.")
    kind: InputKind
    also: tuple[Target, ...] = Field(default=(), description="More places for the same value.")
    required: bool = Field(default=False, description="Whether a request must give it.")
    default: JsonValue = Field(default=None, description="Taken instead of the graph's value.")
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    places: tuple[PicturePlace, ...] = Field(
        default=(), description="Of a list of pictures: where each goes, in order."
    )
    unused: UnusedPlace | None = Field(
        default=None, description="What becomes of places without a picture."
    )
    fps: float | None = Field(default=None, gt=0, description="Frames of one second.")
    offset: int = Field(default=0, ge=0, description="Frames beside those of the seconds.")
    step: int = Field(default=1, ge=1, description="The seconds' frames are a multiple of it.")

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every place a value is set."""
        return self.places or (self, *self.also)

    @property
    def is_required(self) -> bool:
        """Whether a request must give it, if it has no default."""
        return self.required or (self.kind is InputKind.IMAGES and self.fewest_pictures > 0)

    @property
    def fewest_pictures(self) -> int:
        """How many pictures a list must have."""
        if self.minimum is not None:
            return int(self.minimum)
        return 1 if self.unused else len(self.places)

    @property
    def most_pictures(self) -> int:
        """How many pictures a list may have."""
        return len(self.places) if self.maximum is None else int(self.maximum)

    def frames_of(self, seconds: float) -> int:
        """The number of frames of so many seconds.

        >>> wan = InputBinding(id="8", input="length", kind="seconds", fps=16, offset=1, step=4)
        >>> wan.frames_of(5), wan.frames_of(0.1)
        (81, 1)
        """
        steps = math.floor(seconds * (self.fps or 1) / self.step + 0.5)
        return max(steps, 0 if self.offset else 1) * self.step + self.offset

    def seconds_of(self, frames: float) -> float:
        """The seconds that so many frames last."""
        return (frames - self.offset) / (self.fps or 1)

    def _needs_node(self) -> bool:
        return self.kind is not InputKind.IMAGES

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_kind_of_place()
        least, most = self.minimum, self.maximum
        if least is not None and most is not None and least > most:
            raise ValueError(f"minimum {least:g} is above maximum {most:g}")
        if self.default is not None and (fault := fault_of(self, self.default)):
            raise ValueError(f"default {fault}")
        return self

    def _check_kind_of_place(self) -> None:
        if self.kind is InputKind.IMAGES:
            self._check_places()
            return
        if not self.input:
            raise ValueError("names no input: say which of the node's inputs it sets (input)")
        if self.places or self.unused:
            raise ValueError('has places or unused, which only kind = "images" has')
        is_seconds = self.kind is InputKind.SECONDS
        if is_seconds and self.fps is None:
            raise ValueError("has no fps: how many frames is a second?")
        if not is_seconds and {"fps", "offset", "step"} & self.model_fields_set:
            raise ValueError('has fps, offset or step, which only kind = "seconds" has')

    def _check_places(self) -> None:
        if self.is_given or self.input or self.also:
            raise ValueError("is a list of pictures: its nodes and inputs stand in places")
        if not self.places:
            raise ValueError("has no places: list the node and input of each picture")
        for name, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is not None and not (bound.is_integer() and 0 <= bound <= len(self.places)):
                raise ValueError(
                    f"{name} {bound:g} is not from 0 to {len(self.places)}, its places"
                )
        if self.fewest_pictures < len(self.places) and self.unused is None:
            raise ValueError(
                "may have fewer pictures than places: say what becomes of the others"
                f" (unused = {', '.join(UnusedPlace)})"
            )
        if self.unused is UnusedPlace.REPEAT and self.fewest_pictures == 0:
            raise ValueError('has unused = "repeat" and minimum 0: there must be one to repeat')


class LoraBinding(NodeReference):
    """The node behind which LoRAs are chained, and its outputs they pass through.

    Text encoders are patched, too, where there is a `clip_slot`: an output of this node, or of
    the node that `clip_node` or `clip_id` names.
    """

    model_slot: int = Field(default=0, ge=0)
    clip_slot: int | None = Field(
        default=None, ge=-1, description="Left out or -1: LoRAs are for the model only."
    )
    clip_node: str | None = Field(
        default=None, min_length=1, description="Title of the node that loads the text encoder."
    )
    clip_id: str | None = Field(default=None, min_length=1, description="Its id instead.")

    @property
    def clip_source(self) -> tuple[NodeReference, int] | None:
        """The node and output slot of the text encoder; None if LoRAs leave it alone."""
        if self.clip_node is not None or self.clip_id is not None:
            return NodeReference(node=self.clip_node, id=self.clip_id), self.clip_slot or 0
        return None if self.clip_slot in (None, -1) else (self, self.clip_slot or 0)

    @model_validator(mode="after")
    def _says_one_encoder(self) -> Self:
        if self.clip_node is not None and self.clip_id is not None:
            raise ValueError("says both clip_node and clip_id; keep one")
        if self.clip_slot == -1 and (self.clip_node or self.clip_id):
            raise ValueError("names a text encoder and has clip_slot = -1, which means none")
        return self


class Binding(BaseModel):
    """A workflow's binding file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1)
    description: str = ""
    output: WorkflowOutput
    output_node: NodeReference | None = Field(
        default=None, description="The node whose files are the job's; left out: all that save."
    )
    vram_mb: int | None = Field(default=None, ge=0, description="Left out: ANIME_MIN_VRAM_MB.")
    server: str | None = Field(
        default=None, min_length=1, description="Name or label of the server; left out: any."
    )
    architecture: str | None = Field(
        default=None, min_length=1, description="Of its model, which LoRAs must be for: sdxl."
    )
    needs_prompt: bool = Field(
        default=True, description="False where the prompt is no more than a caption."
    )
    graph_sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="Hash of the graph that the bindings were confirmed for: `workflow_hash`.",
    )
    inputs: dict[str, InputBinding]
    loras: tuple[LoraBinding, ...] = ()

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

    @model_validator(mode="before")
    @classmethod
    def _one_place_for_loras(cls, tables: Any) -> Any:  # whatever the file holds
        """Take a single table [loras], whose text encoder is the second output if it says none."""
        place = tables.get("loras") if isinstance(tables, dict) else None
        if not isinstance(place, dict):
            return tables
        own = {} if place.keys() & {"clip_node", "clip_id"} else {"clip_slot": 1}
        return tables | {"loras": [own | place]}

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
        todo = binding.description or f'Correct "{name}" and send the request again.'
        raise InvalidRequest(f'Input "{name}" {fault}.', todo)
    return value


def fault_of(binding: InputBinding, value: JsonValue) -> str | None:
    """What is wrong with a value, to be read after the input's name; None when nothing is.

    >>> steps = InputBinding(node="Sampler", input="steps", kind="int", minimum=1)
    >>> fault_of(steps, 0)
    'is 0, below its minimum of 1'
    """
    if not _is_of_kind(binding.kind, value):
        return f"takes {_TAKES[binding.kind]}, not {_shown(value)}"
    if isinstance(value, list):
        return _fault_of_count(binding, len(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        if binding.minimum is not None and value < binding.minimum:
            return f"is {value}, below its minimum of {binding.minimum:g}"
        if binding.maximum is not None and value > binding.maximum:
            return f"is {value}, above its maximum of {binding.maximum:g}"
    return None


def _fault_of_count(binding: InputBinding, count: int) -> str | None:
    least, most = binding.fewest_pictures, binding.most_pictures
    if least <= count <= most:
        return None
    bounds = f"{least}" if least == most else f"{least} to {most}"
    names = [place.role or place.prompt_name for place in binding.places]
    return f"takes {bounds} picture(s), not {count}" + (
        f": {', '.join(names)}" if all(names) else ""
    )


_TAKES: Mapping[InputKind, str] = {
    InputKind.TEXT: "a text",
    InputKind.INT: "a whole number",
    InputKind.FLOAT: "a number",
    InputKind.SWITCH: "true or false",
    InputKind.CHOICE: "one of the names ComfyUI offers",
    InputKind.IMAGE: "the name of a picture",
    InputKind.IMAGES: "a list of names of pictures",
    InputKind.SECONDS: "a number of seconds above 0",
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
        case InputKind.IMAGES:
            return isinstance(value, list) and all(
                _is_of_kind(InputKind.IMAGE, each) for each in value
            )
        case InputKind.SECONDS:
            return _is_number(value) and math.isfinite(value) and value > 0
        case InputKind.FLOAT:
            return _is_number(value)
        case _:
            return isinstance(value, int) and not isinstance(value, bool) and _is_whole(kind, value)


def _is_number(value: JsonValue) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(kind: InputKind, value: int) -> bool:
    if kind is InputKind.SEED:
        return 0 <= value <= MAX_SEED
    return kind is InputKind.INT or (value > 0 and value % _SIZE_STEP_PX == 0)


def _shown(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
