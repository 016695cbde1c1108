"""WanGP (Wan2GP): JSON as the comment of a film, a PNG or a JPEG, or as the user comment of EXIF.

A LoRA without a multiplier has 1; one with several, for phases or parts of the steps, has no single
strength. Sources: WanGP 8.21 and 10.70 (`video_metadata.py`, `loras_mutipliers.py`, its settings).
"""

import re
from collections.abc import Iterator
from pathlib import PureWindowsPath

from anime.assets.metadata.json_fields import Fields, number_of, text_of, whole_of
from anime.assets.metadata.lora_tags import acting, number_in
from anime.assets.metadata.recipe import LoraUse, Sampling

_MAKER = " by DeepBeepMeep"
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_MAX_CHARS = 10_000  # of all multipliers


def sampling_of_wangp(settings: Fields) -> Sampling | None:
    """What the settings say; None for another tool's."""
    if _MAKER not in (text_of(settings, "type") or ""):
        return None
    size = _SIZE.fullmatch(text_of(settings, "resolution") or "")
    return Sampling(
        prompt=text_of(settings, "prompt"),
        negative_prompt=text_of(settings, "negative_prompt"),
        seed=whole_of(settings, "seed"),
        model=_file(text_of(settings, "model_filename", "model_type") or "") or None,
        loras=acting(_loras(settings)),
        sampler=text_of(settings, "sample_solver"),
        steps=whole_of(settings, "num_inference_steps"),
        cfg=number_of(settings, "guidance_scale"),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
    )


def _loras(settings: Fields) -> Iterator[LoraUse]:
    """The LoRAs, each with its multiplier in a text with lines of comments."""
    lines = (text_of(settings, "loras_multipliers") or "")[:_MAX_CHARS].splitlines()
    plain = " ".join(line for line in lines if not line.startswith("#"))
    multipliers = iter(plain.replace("|", " ").split())
    listed = settings.get("activated_loras")
    for each in listed if isinstance(listed, list) else []:
        multiplier = next(multipliers, "1")
        if isinstance(each, str) and each:
            yield LoraUse(name=_file(each), strength=number_in(multiplier))


def _file(path: str) -> str:
    """The file that a path or an address leads to."""
    return PureWindowsPath(path).name
