"""LoRAs that a prompt calls by name: `<lora:ink:0.8>`.

Source: AUTOMATIC1111's web UI 1.10.1, extra networks.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from anime.assets.metadata.recipe import LoraUse

_TAG = re.compile(r"<(?:lora|lyco|lycoris):([^<>]{1,700})>", re.IGNORECASE)
_EXAMPLE = re.compile("filename:(?:weight|multiplier)")  # as nodes show it until one is typed
_MAX_LORAS = 64
_NOBODY = "None"  # of a list that has a place for one


def loras_in_tags(text: str) -> Iterator[LoraUse]:
    """The LoRAs that a text calls with any strength; one that is not given is 1.

    >>> list(loras_in_tags("a cat <lora:ink:0.8>"))
    [LoraUse(name='ink', strength=0.8)]
    """
    for found in islice(_TAG.finditer(text), _MAX_LORAS):
        if _EXAMPLE.fullmatch(found[1]):
            continue
        name, *given = found[1].split(":")
        plain = [each for each in given if "=" not in each]
        named = dict(each.split("=", 1) for each in given if "=" in each)
        said = plain or [named.get("unet") or named.get("te") or "1"]
        parts = [*said[:2], *(named[part] for part in ("te", "unet") if part in named)]
        if any(number_in(each) != 0 for each in parts):
            strength = number_in(named.get("unet", said[0]))
            yield LoraUse(name=name.strip(), strength=strength)


def acting(loras: Iterable[LoraUse]) -> tuple[LoraUse, ...]:
    """Those that do something: one with a strength of zero is as good as none, as is `None`."""
    return tuple(lora for lora in loras if lora.strength != 0 and lora.name != _NOBODY)


def number_in(text: object) -> float | None:
    """The number that a text is, or that a value is; None for no number."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        return float(text) if len(str(text)) <= 40 else None
    except (ValueError, OverflowError):
        return None


def whole_in(text: object) -> int | None:
    """The whole number that a text is, or that a value is; None for none."""
    if isinstance(text, bool):
        return None
    if isinstance(text, int):
        return text
    if isinstance(text, float):
        return int(text) if text.is_integer() and abs(text) < 2**53 else None
    plain = str(text).strip() if isinstance(text, str) else ""
    return int(plain) if len(plain) <= 20 and plain.isascii() and plain.isdigit() else None
