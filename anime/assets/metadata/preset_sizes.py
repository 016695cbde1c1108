"""The size that a node gives, as a preset words it."""

import re
from collections.abc import Callable

from pydantic import JsonValue

from anime.assets.metadata.node_rules import SizePreset

# Neither an aspect ratio, such as 16:9, nor inches.
_PIXELS = re.compile(r"(?<![\d.])(\d{2,5}) *[x×] *(\d{2,5})(?!\d)")
SIDES = ("width", "height")
_OWN_SIZE = ("custom", "自定义")  # in the preset that leaves the size to other inputs
_IS_SWAPPED: dict[JsonValue, bool] = {
    **dict.fromkeys((True, "On", "Yes", "true", "portrait"), True),
    **dict.fromkeys((False, "Off", "No", "false", "landscape", None), False),
}


def preset_size(
    wording: SizePreset,
    inputs: dict[str, JsonValue],
    number: Callable[[JsonValue, type[float]], float | None],
) -> tuple[int, int] | None:
    """Width and height that a node with these inputs gives; None if that is not known."""
    preset = inputs.get(wording.preset)
    swap = inputs.get(wording.swap or "")
    if not isinstance(preset, str) or isinstance(swap, list | dict) or swap not in _IS_SWAPPED:
        return None
    said: list[float | None] = [*(wording.others.get(preset) or _pixels(preset))]
    if is_custom(preset):
        said = [number(inputs.get(name), float) for name in wording.custom]
    for side, name in enumerate(wording.over[: len(said)]):
        given = number(inputs.get(name, 0), float)
        said[side] = said[side] if given == 0 else given
    scale = number(inputs.get(wording.scale or "", 1), float)
    if scale is None or len(said) != len(SIDES) or None in said:
        return None
    known = (int(each * scale) for each in said if each is not None)
    width, height = (each // wording.multiple * wording.multiple for each in known)
    return (height, width) if _IS_SWAPPED[swap] else (width, height)


def is_custom(preset: str) -> bool:
    """Whether a preset leaves the size to other inputs."""
    return any(word in preset for word in _OWN_SIZE)


def _pixels(preset: str) -> tuple[int, ...]:
    """The only size that a preset names; nothing if it names none, or several."""
    found = _PIXELS.findall(preset)
    return tuple(map(int, found[0])) if len(found) == 1 else ()
