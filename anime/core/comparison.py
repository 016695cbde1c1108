"""How two files differ, as they say themselves: settings and words; what pixels say comes besides.

A file is what it says of itself: a mapping with the keys of a recipe and, of ours, the server that
rendered it.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from pydantic import BaseModel, Field, JsonValue

from anime.core.recorded_graphs import pictures_in

_SETTINGS = (
    *("source", "workflow", "model", "model_hash", "loras", "seed", "steps", "cfg", "cfg_second"),
    *("guidance", "sampler", "scheduler", "width", "height", "frames", "models", "samplers"),
)
_OF_SERVER = ("url", "comfyui_version", "device")
_TEXTS = ("prompt", "negative_prompt", "lyrics")
_TO_BE_KNOWN = ("model_hash", "server.comfyui_version", "server.device")  # else it is unchecked
_WORD = re.compile(r"[^\s,、，。()\[\]{}|]+")


class SettingDifference(BaseModel):
    """A setting that two files do not say alike; null where one says nothing."""

    setting: str
    first: JsonValue
    second: JsonValue


class WordDifference(BaseModel):
    """The words of a text that only one of two files has, in their order."""

    text: str = Field(description="prompt, negative_prompt or lyrics.")
    removed: list[str] = Field(description="Words of the first that the second has not there.")
    added: list[str] = Field(description="Words of the second that the first has not there.")


class PixelDifference(BaseModel):
    """How far the pixels of two pictures are apart, in levels of 255 for each channel."""

    mean: float
    largest: int
    share: float = Field(description="Of the pixels that differ, 0 to 1.")

    @property
    def is_none(self) -> bool:
        """Whether all pixels are the same."""
        return self.largest == 0


class FileComparison(BaseModel):
    """How two files differ."""

    first: str = Field(description="What the first file is called.")
    second: str = Field(description="What the second file is called.")
    same_bytes: bool
    pixels: PixelDifference | None = Field(description="Null if they could not be compared.")
    settings: list[SettingDifference]
    words: list[WordDifference]
    unchecked: list[str] = Field(description="What could not be compared, and why.")
    verdict: str = Field(description="The same in one sentence.")


def compare_settings(
    first: Mapping[str, JsonValue], second: Mapping[str, JsonValue]
) -> list[SettingDifference]:
    """The settings that differ, the pictures that the graphs load, and the server's among them."""
    ones, others = _settings_of(first), _settings_of(second)
    return [
        SettingDifference(setting=name, first=ones.get(name), second=others.get(name))
        for name in dict.fromkeys((*ones, *others))
        if ones.get(name) != others.get(name)
    ]


def compare_words(
    first: Mapping[str, JsonValue], second: Mapping[str, JsonValue]
) -> list[WordDifference]:
    """The words that differ in each text.

    >>> compare_words({"prompt": "a red roof"}, {"prompt": "a roof at dusk"})
    [WordDifference(text='prompt', removed=['red'], added=['at', 'dusk'])]
    """
    found = []
    for name in _TEXTS:
        one, other = (_WORD.findall(str(each.get(name) or "")) for each in (first, second))
        removed, added = _differing(one, other)
        if removed or added:
            found.append(WordDifference(text=name, removed=removed, added=added))
    return found


def unknown_settings(first: Mapping[str, JsonValue], second: Mapping[str, JsonValue]) -> list[str]:
    """What matters and one of the two does not say, in words."""
    ones, others = _settings_of(first), _settings_of(second)
    return [
        f"{name.replace('_', ' ').replace('.', ': ')} is not recorded"
        for name in _TO_BE_KNOWN
        if ones.get(name) is None or others.get(name) is None
    ]


def verdict_of(*, same_bytes: bool, pixels: PixelDifference | None) -> str:
    """How two files compare, in one sentence.

    >>> verdict_of(same_bytes=False, pixels=PixelDifference(mean=0.25, largest=9, share=0.1))
    'Other pixels: 10.0 % of them, by 0.25 levels of 255 in the mean and 9 at most.'
    """
    if same_bytes:
        return "Same bytes."
    if pixels is None:
        return "Other bytes; the pixels are not compared."
    if pixels.is_none:
        return "Same pixels, in a file of other bytes."
    return (
        f"Other pixels: {pixels.share:.1%} of them, by {pixels.mean:.2g} levels of 255 in the mean"
        f" and {pixels.largest} at most."
    ).replace("%", " %")


def _settings_of(made: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What the file says, without what it says nothing of."""
    said = {name: made.get(name) for name in _SETTINGS}
    graph, server = made.get("graph"), made.get("server")
    if isinstance(graph, dict):
        said["pictures"] = list(pictures_in(graph))  # type: ignore[arg-type]  # JSON of a graph
    if isinstance(server, dict):
        said |= {f"server.{name}": server.get(name) for name in _OF_SERVER}
    return {name: value for name, value in said.items() if value not in (None, "", [], ())}


def _differing(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    removed: list[str] = []
    added: list[str] = []
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag != "equal":
            removed += first[start:end]
            added += second[other_start:other_end]
    return removed, added
