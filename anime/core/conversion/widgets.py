"""From a node's list of saved values to values by input.

The file does not say which value belongs to which input: the list follows the widgets that the
editor builds from the server's definition, among them some that are never sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import JsonValue

from anime.core.conversion.definitions import (
    ANY_TYPE,
    COMBO,
    DYNAMIC_COMBO,
    InputDefinition,
    NodeDefinition,
)
from anime.core.conversion.editor_format import EditorNode

CUSTOM_COMBO, _POWER_LORA = "CustomCombo", "Power Lora Loader (rgthree)"
# Widgets of extensions' own JavaScript that their nodes need; the server does not tell of them.
_ADDED = {"Power Puter (rgthree)": ("outputs", "code")}
_BOX_NUMBERS = 4  # x, y, width and height follow a BOUNDING_BOX
_COMPARE_VIEW = ["", ""]
_NO_VALUE = object()


@dataclass(slots=True)
class WidgetValues:
    """A node's values by the name of their input, and the inputs that they belong to.

    `slots` are all inputs in the editor's order: the node's own sockets, which have no value, then
    those with a value, each followed by what its value brings. `misfits` are values of another
    kind than their input, as `steps is 'flow'`; `wrong_count` says so if there are more or fewer
    values than widgets. `is_by_name` is true where the file's values by name were taken in place of
    the list, `corrects_list` if that makes a difference.
    """

    values: dict[str, JsonValue] = field(default_factory=dict)
    inputs: dict[str, InputDefinition] = field(default_factory=dict)
    slots: dict[str, InputDefinition] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)
    wrong_count: str | None = None
    is_by_name: bool = False
    corrects_list: bool = False

    @property
    def is_uncertain(self) -> bool:
        """Whether the list is of another version of the node, and values are on wrong inputs."""
        return not self.is_by_name and bool(self.misfits) and self.wrong_count is not None


def widget_values(node: EditorNode, definition: NodeDefinition) -> WidgetValues:
    """The values of a node.

    The list counts, as it does for the editor, unless it does not fit the definition, as another
    version of the node has saved it: then the values by name count, if the file has them and
    they fit no worse.
    """
    saved = _as_read_today(node.named_values, definition)
    by_name = _dealt(definition, named := _ByName(saved))
    by_name.is_by_name = True
    if isinstance(node.widgets_values, dict):
        return by_name
    listed = _dealt(definition, _ByPlace(_without_forced(node.values, definition)))
    fits = not listed.misfits and listed.wrong_count is None
    if fits or not named.fits or len(by_name.misfits) > len(listed.misfits):
        return listed
    by_name.corrects_list = by_name.values != listed.values
    return by_name


def widgets_by_place(node: EditorNode, definition: NodeDefinition) -> list[str]:
    """The widget that each place of the node's list of values belongs to."""
    places = _Places(node.values)
    _dealt(definition, places)
    return places.widgets


def _as_read_today(saved: Mapping[str, Any], definition: NodeDefinition) -> Mapping[str, Any]:
    """What VideoHelperSuite makes of values that older versions of it have saved."""
    if not definition.name.startswith("VHS_"):
        return saved
    values = {"save_output": saved["save_image"], **saved} if "save_image" in saved else dict(saved)
    size = saved.get("force_size")
    if isinstance(size, str) and "force_size" not in definition.inputs_by_name:
        width, is_given, height = size.partition("x")
        if is_given or size in {"Disabled", "Custom Height"}:
            values["custom_width"] = int(width) if width.isdecimal() else 0
        if is_given or size in {"Disabled", "Custom Width"}:
            values["custom_height"] = int(height) if height.isdecimal() else 0
    return values


class _Values(Protocol):
    """The saved values, in one of the two ways in which files have them."""

    def take(self, name: str) -> object:
        """The value of the next widget; `_NO_VALUE` if there is none."""

    def skip(self, count: int, *, is_optional: bool = False) -> None:
        """Pass over widgets that are not sent; optional ones are missing in some files."""

    def rest(self) -> Sequence[Any]:
        """What is left."""

    def wrong_count(self) -> str | None:
        """What is wrong with their number."""


class _ByPlace:
    def __init__(self, values: Sequence[Any]) -> None:
        self._values, self._at, self._spare = values, 0, 0

    def take(self, name: str) -> object:  # noqa: ARG002  the order decides, not the name
        self._at += 1
        return self._values[self._at - 1] if self._at <= len(self._values) else _NO_VALUE

    def skip(self, count: int, *, is_optional: bool = False) -> None:
        self._at += count
        self._spare += count if is_optional else 0

    def rest(self) -> Sequence[Any]:
        left = self._values[self._at :]
        self._at += len(left)
        return left

    def wrong_count(self) -> str | None:
        is_short = 0 < len(self._values) < self._at - self._spare
        extra = self._values[self._at :]
        if is_short or any(value not in (None, "") for value in extra):
            return f"it has {len(self._values)} values for {self._at} widgets"
        return None


class _Places(_ByPlace):
    """Notes which widget each place of a list belongs to."""

    def __init__(self, values: Sequence[Any]) -> None:
        super().__init__(values)
        self.widgets: list[str] = []

    def take(self, name: str) -> object:
        self.widgets.append(name)
        return super().take(name)

    def skip(self, count: int, *, is_optional: bool = False) -> None:
        self.widgets += self.widgets[-1:] * count
        super().skip(count, is_optional=is_optional)


class _ByName:
    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._present = self._absent = 0

    @property
    def fits(self) -> bool:
        """Whether most of the widgets have a value, once they have been asked for."""
        return self._present > self._absent

    def take(self, name: str) -> object:
        self._present += name in self._values
        self._absent += name not in self._values
        return self._values.get(name, _NO_VALUE)

    def skip(self, count: int, *, is_optional: bool = False) -> None:
        pass

    def rest(self) -> Sequence[Any]:
        return [self._values.get("index"), *self._options()]

    def wrong_count(self) -> str | None:
        return None

    def _options(self) -> list[Any]:
        options: list[Any] = []
        while (name := f"option{len(options) + 1}") in self._values:
            options.append(self._values[name])
        return options


def _dealt(definition: NodeDefinition, values: _Values) -> WidgetValues:
    dealt = WidgetValues()
    for each in sorted(definition.inputs, key=lambda each: each.widget_kind is not None):
        _deal(each, each.name, values, dealt)
    for name in _ADDED.get(definition.name, ()):
        _keep(InputDefinition(name, ANY_TYPE, {"socketless": True}), name, values.take(name), dealt)
    if definition.name == CUSTOM_COMBO:
        _deal_options(values, dealt)
    if definition.name == _POWER_LORA:
        _deal_loras(values, dealt)
    values.skip(
        sum(each.uploads for each in definition.inputs if each.is_required), is_optional=True
    )
    dealt.wrong_count = values.wrong_count()
    return dealt


def _deal(each: InputDefinition, name: str, values: _Values, dealt: WidgetValues) -> None:
    """Give an input its value, and the inputs that the value brings theirs."""
    kind = each.widget_kind
    dealt.slots[name] = each
    if kind is None:
        return
    if kind == "IMAGECOMPARE":  # sent, but it has no place in the list
        dealt.inputs[name], dealt.values[name] = each, list(_COMPARE_VIEW)
        return
    _keep(each, name, values.take(name), dealt)
    chosen = str(dealt.values.get(name))
    for inner in each.inputs_by_choice.get(chosen, ()):
        _deal(inner, f"{name}.{inner.name}", values, dealt)
    for inner in each.inputs_beside.get(chosen, ()):
        _deal(inner, inner.name, values, dealt)
    values.skip(_places_after(each, name))


def _keep(each: InputDefinition, name: str, given: object, dealt: WidgetValues) -> None:
    dealt.inputs[name] = each
    if given is _NO_VALUE and "remote" in each.settings:
        return  # the editor asks another server for its choices
    if given is _NO_VALUE:
        if each.default is not None:
            dealt.values[name] = each.default
        return
    value: JsonValue = given  # type: ignore[assignment]  # what a file's list holds is JSON
    if value is None and each.widget_kind == COMBO and each.choices:
        value = each.choices[0]
    if not suits(value, each):
        dealt.misfits.append(f"{name} is {_short(value)}")
    dealt.values[name] = value


def _places_after(each: InputDefinition, name: str) -> int:
    """How many widgets follow an input's own that have a place but are not sent."""
    if each.widget_kind == "BOUNDING_BOX":
        return _BOX_NUMBERS
    places = 0
    if each.has_control(name):
        places += 2 if each.widget_kind == COMBO else 1  # of a combo, also the list's filter
    remote = each.settings.get("remote") if each.widget_kind == COMBO else None
    if isinstance(remote, dict):
        places += 2 if remote.get("refresh_button") else 1
    return places


def _deal_options(values: _Values, dealt: WidgetValues) -> None:
    """The options of a CustomCombo, which only the editor knows; one more is always empty."""
    _index, *options = [*values.rest()] or [None]
    texts = [option if isinstance(option, str) else "" for option in options]
    if not texts or texts[-1]:
        texts.append("")
    found: dict[str, JsonValue] = {f"option{place}": text for place, text in enumerate(texts, 1)}
    dealt.values |= found
    dealt.values |= custom_combo_index(dealt.values)
    dealt.inputs |= {
        name: InputDefinition(name, "STRING", {"socketless": True}) for name in (*found, "index")
    }


def _deal_loras(values: _Values, dealt: WidgetValues) -> None:
    """The LoRAs of rgthree's list, whose widgets only the editor knows."""
    listed = [each for each in values.rest() if isinstance(each, dict) and "lora" in each]
    for number, lora in enumerate(listed, 1):
        name = f"lora_{number}"
        dealt.inputs[name] = InputDefinition(name, ANY_TYPE, {"socketless": True})
        dealt.values[name] = {
            key: value
            for key, value in lora.items()
            if value is not None or key != "strengthTwo"  # one strength for both
        }


def custom_combo_index(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The input `index` of a CustomCombo: the place of its choice among the options, or -1."""
    options = [value for name, value in values.items() if name.startswith("option")]
    choice = values.get("choice")
    return {"index": options.index(choice) if choice in options else -1}


def _without_forced(values: Sequence[Any], definition: NodeDefinition) -> Sequence[Any]:
    """The list without the dummies that old editors saved for inputs that can only be linked."""
    is_dummy: list[bool] = []
    for each in definition.inputs:
        if each.is_forced or each.widget_kind:
            is_dummy.append(each.is_forced)
            if each.has_explicit_control:
                is_dummy.append(False)
    if len(is_dummy) != len(values):
        return values
    return [value for value, dummy in zip(values, is_dummy, strict=True) if not dummy]


def suits(value: JsonValue, each: InputDefinition) -> bool:
    """Whether the value is of the input's kind; whether the server offers it is no matter here."""
    kind = each.widget_kind
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None:
        return True
    if kind == "INT":
        return is_number and float(value).is_integer()  # type: ignore[arg-type]  # a number
    if kind == "FLOAT":
        return is_number
    if kind == "BOOLEAN":
        return isinstance(value, bool)
    if kind == "STRING":
        return isinstance(value, str)
    if kind == DYNAMIC_COMBO:
        return str(value) in each.inputs_by_choice
    if kind == COMBO:
        kinds = {type(choice) for choice in each.choices} or {str}
        return type(value) in kinds or (is_number and bool(kinds & {int, float}))  # 1 means 1.0
    return True


def _short(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
