"""Node classes as a server declares them in its /object_info, with all that a conversion needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from anime.errors import InvalidWorkflow

COMBO = "COMBO"
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"
ANY_TYPE = "*"

# Inputs of these kinds have a widget in the editor, and so a place in the list of values.
_WIDGET_KINDS = frozenset(
    {
        *("INT", "FLOAT", "BOOLEAN", "STRING", COMBO, DYNAMIC_COMBO, "COLOR", "COLORS", "CURVE"),
        *("RANGE", "BOUNDING_BOX", "BOUNDING_BOXES", "IMAGECOMPARE", "PAINTER", "COMPOSITOR"),
        *("VIDEO_EDIT", "MARKDOWN", "TEXTAREA", "CHART", "GALLERIA", "WEBCAM", "AUDIO_RECORD"),
        *("LOAD_3D", "PREVIEW_3D", "EASY_PROMPT_STYLES"),  # the last is ComfyUI-Easy-Use's
    }
)
_SEED_NAMES = frozenset({"seed", "noise_seed"})
_UPLOADS = ("image_upload", "video_upload", "animated_image_upload", "audio_upload")


@dataclass(frozen=True)
class InputDefinition:
    """An input of a node class; `settings` is what the server says of it beside its kind."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    choices: Sequence[JsonValue] = ()
    is_required: bool = True

    @cached_property
    def widget_kind(self) -> str | None:
        """The kind of its widget in the editor; None for an input that can only be linked."""
        kinds = (str(self.settings.get("widgetType")), self.kind)  # extensions have more of them
        known = (kind for kind in kinds if kind in _WIDGET_KINDS and not self.is_forced)
        return next(known, None)

    @property
    def is_forced(self) -> bool:
        """Whether it can only be linked, whatever its kind."""
        return bool(self.settings.get("forceInput"))

    @property
    def is_linkable(self) -> bool:
        """Whether it has a socket."""
        return not self.settings.get("socketless")

    @property
    def has_explicit_control(self) -> bool:
        """Whether the server asks for a widget that says how the value changes after a run."""
        return bool(self.settings.get("control_after_generate"))

    def has_control(self, name: str) -> bool:
        """Whether the editor has that widget, asked for or because the input is a seed.

        `name` is the input's name in the graph: `seed` that a dynamic combo brings is none.
        """
        if "control_after_generate" in self.settings:
            return self.has_explicit_control
        return self.widget_kind == "INT" and name in _SEED_NAMES

    @property
    def uploads(self) -> bool:
        """Whether the editor has a button to upload a file for it."""
        return any(self.settings.get(key) for key in _UPLOADS)

    @cached_property
    def inputs_by_choice(self) -> Mapping[str, tuple["InputDefinition", ...]]:
        """The inputs that each choice of a dynamic combo brings, by the choice."""
        listed = self.settings.get("options") if self.kind == DYNAMIC_COMBO else None
        options = [_as_object(option) for option in _as_list(listed)]
        return {
            str(option.get("key")): inputs_of(option.get("inputs"), None)
            for option in options
            if "key" in option
        }

    @cached_property
    def inputs_beside(self) -> Mapping[str, tuple["InputDefinition", ...]]:
        """The inputs that each choice of a plain combo brings: VideoHelperSuite's film formats."""
        formats = _as_object(self.settings.get("formats")) if self.kind == COMBO else {}
        return {
            name: inputs_of({"required": {str(spec[0]): spec[1:] for spec in specs}}, None)
            for name, listed in formats.items()
            if (specs := [spec for spec in map(_as_list, _as_list(listed)) if spec])
        }

    @cached_property
    def item(self) -> "InputDefinition | None":
        """What each input of an autogrow group takes."""
        template = self.settings.get("template") if self.kind == AUTOGROW else None
        return next(iter(inputs_of(_as_object(template).get("input"), None)), None)

    @property
    def default(self) -> JsonValue:
        """The value where the file has none; None if there is none either."""
        if "default" in self.settings:
            given: JsonValue = self.settings["default"]
            return given
        if self.widget_kind == DYNAMIC_COMBO:
            return next(iter(self.inputs_by_choice), None)
        if self.widget_kind == COMBO:
            return self.choices[0] if self.choices else None
        empty: dict[str | None, JsonValue] = {"INT": 0, "FLOAT": 0, "BOOLEAN": False, "STRING": ""}
        return empty.get(self.widget_kind)


@dataclass(frozen=True)
class NodeDefinition:
    """A node class: its inputs in the order of the editor, and the types of its outputs."""

    name: str
    display_name: str
    inputs: tuple[InputDefinition, ...]
    output_types: tuple[str, ...]
    is_output: bool

    @cached_property
    def inputs_by_name(self) -> Mapping[str, InputDefinition]:
        """The inputs by name, without those that a dynamic input brings."""
        return {each.name: each for each in self.inputs}


class NodeDefinitions(Mapping[str, NodeDefinition]):
    """The node classes of a server by name; each is read when it is first asked for."""

    def __init__(self, object_info: Mapping[str, Any]) -> None:
        """Args: object_info: the server's answer to GET /object_info.

        Raises:
            InvalidWorkflow: it is something else.
        """
        if not object_info or not all(
            isinstance(entry, dict) and isinstance(entry.get("input"), dict)
            for entry in object_info.values()
        ):
            raise InvalidWorkflow(
                "What should describe the node classes is no object_info.",
                "Save ComfyUI's answer to /object_info, and give that.",
            )
        self._entries = object_info
        self._read: dict[str, NodeDefinition] = {}

    def __getitem__(self, name: str) -> NodeDefinition:
        if name not in self._read:
            self._read[name] = _definition_of(name, self._entries[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def inputs_of(groups: object, order: object) -> tuple[InputDefinition, ...]:
    """The inputs of a class or of an option: required, then optional, each in its order."""
    found: list[InputDefinition] = []
    for group, is_required in (("required", True), ("optional", False)):
        declared = _as_object(_as_object(groups).get(group))
        ordered = [str(name) for name in _as_list(_as_object(order).get(group))]
        names = dict.fromkeys([*(name for name in ordered if name in declared), *declared])
        found += [_input_of(name, declared[name], is_required=is_required) for name in names]
    return tuple(found)


def _definition_of(name: str, entry: Mapping[str, Any]) -> NodeDefinition:
    return NodeDefinition(
        name=name,
        display_name=str(entry.get("display_name") or name),
        inputs=inputs_of(entry["input"], entry.get("input_order")),
        output_types=tuple(_kind_of(each) for each in _as_list(entry.get("output"))),
        is_output=bool(entry.get("output_node")),
    )


def _input_of(name: str, declared: object, *, is_required: bool) -> InputDefinition:
    spelled = _as_list(declared)
    kind = spelled[0] if spelled else ANY_TYPE
    settings = _as_object(spelled[1] if len(spelled) > 1 else None)
    choices = kind if isinstance(kind, list) else settings.get("options")
    return InputDefinition(
        name=name,
        kind=_kind_of(kind),
        settings=settings,
        choices=_as_list(choices) if _kind_of(kind) == COMBO else (),
        is_required=is_required,
    )


def _kind_of(kind: object) -> str:
    return COMBO if isinstance(kind, list) else str(kind)


def _as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
