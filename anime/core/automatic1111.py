"""The text AUTOMATIC1111's web UI, and tools after its fashion, write into a picture.

a girl on a rooftop, <lora:ink:0.8>
Negative prompt: blurry
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768, Model: anything
"""

import json
import re
from itertools import islice

from anime.core.sampling import LoraUse, Sampling

_NEGATIVE = "\nNegative prompt:"
_LORA = re.compile(r"<(?:lora|lyco):([^<>]{1,700})>")
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_MAX_LORAS = 64
_MAX_SETTINGS = 200
_MAX_SETTINGS_CHARS = 20_000
_QUOTED = json.JSONDecoder()


def parameters_of(text: str) -> Sampling | None:
    r"""What the text says; None for one of another kind, such as a photographer's comment.

    >>> parameters_of("a cat\nSteps: 20, Seed: 7, Size: 512x768").height
    768
    """
    before, settings = _divide(text.replace("\r\n", "\n"))
    if settings is None:
        return None
    prompt, _, negative = f"\n{before}".partition(_NEGATIVE)
    size = _SIZE.fullmatch(settings.get("Size", ""))
    return Sampling(
        prompt=prompt.strip() or None,
        negative_prompt=negative.strip() or None,
        seed=_whole(settings.get("Seed")),
        model=settings.get("Model"),
        loras=_loras_in(prompt),
        sampler=settings.get("Sampler"),
        scheduler=settings.get("Schedule type"),
        steps=_whole(settings.get("Steps")),
        cfg=_number(settings.get("CFG scale")),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
    )


def _divide(text: str) -> tuple[str, dict[str, str] | None]:
    """The prompts, and the settings that follow them; None when there are no settings."""
    at = f"\n{text}".rfind("\nSteps: ")
    if at < 0:
        return text, None
    return text[: max(0, at - 1)], _settings(text[at : at + _MAX_SETTINGS_CHARS].strip())


def _settings(line: str) -> dict[str, str]:
    """The comma separated settings by name; a value that holds a comma is quoted as in JSON."""
    found: dict[str, str] = {}
    while line and len(found) < _MAX_SETTINGS:
        name, _, rest = line.partition(":")
        rest = rest.lstrip()
        value, line = _value(rest)
        found.setdefault(name.strip(), value)
    return found


def _value(rest: str) -> tuple[str, str]:
    """The value that comes first, and what follows its comma."""
    if rest.startswith('"'):
        try:
            value, end = _QUOTED.raw_decode(rest)
        except ValueError:
            pass
        else:
            return value, rest[end:].lstrip().removeprefix(",").lstrip()
    plain, _, following = rest.partition(",")
    return plain.strip(), following.lstrip()


def _loras_in(prompt: str) -> tuple[LoraUse, ...]:
    """The LoRAs that are called by name, and strength if it is not 1, and more after that."""
    calls = (found[1].split(":") for found in islice(_LORA.finditer(prompt), _MAX_LORAS))
    return tuple(LoraUse(name=call[0], strength=_number((*call, "1")[1])) for call in calls)


def _whole(text: str | None) -> int | None:
    return int(text) if text and len(text) <= 20 and text.isascii() and text.isdigit() else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text and len(text) <= 40 else None
    except ValueError:
        return None
