"""Easy Diffusion: a text for each setting in PNG, JSON in the user comment of JPEG and WEBP.

Where it writes text files as well, the settings have the names that people see.
Sources: Easy Diffusion 3.5 (`save_utils.py`), sdkit 2.0 (`save_dicts`, which writes "None").
"""

import re
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from anime.assets.metadata.json_fields import Fields, loras_of, number_of, text_of, whole_of
from anime.assets.metadata.lora_tags import acting
from anime.assets.metadata.recipe import Sampling

_MODELS = ("use_stable_diffusion_model", "Stable Diffusion model")
_ITEM = re.compile(r"'([^']*)'|\"([^\"]*)\"|(-?[0-9.]+)")


def sampling_of_easy_diffusion(settings: Mapping[str, JsonValue]) -> Sampling | None:
    """What the settings say; None for another tool's."""
    if settings.keys().isdisjoint(_MODELS):
        return None
    names = _listed(settings, "use_lora_model", "LoRA model")
    strengths = _listed(settings, "lora_alpha", "LoRA Strength")
    loras = loras_of([*names], [*strengths] if len(names) == len(strengths) else [])
    scheduler = text_of(settings, "scheduler_name", "Scheduler")
    return Sampling(
        prompt=text_of(settings, "prompt", "Prompt"),
        negative_prompt=text_of(settings, "negative_prompt", "Negative Prompt"),
        seed=whole_of(settings, "seed", "Seed"),
        model=text_of(settings, *_MODELS),
        loras=acting(lora for lora in loras if lora.name != "None"),
        sampler=text_of(settings, "sampler_name", "Sampler"),
        scheduler=None if scheduler == "None" else scheduler,
        steps=whole_of(settings, "num_inference_steps", "Steps"),
        cfg=number_of(settings, "guidance_scale", "Guidance Scale"),
        width=whole_of(settings, "width", "Width"),
        height=whole_of(settings, "height", "Height"),
    )


def _listed(settings: Fields, name: str, label: str) -> Sequence[JsonValue]:
    """The items of a setting: one, a list, or a list as Python or people write it."""
    value = settings.get(name, settings.get(label))
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.startswith("["):
        return ["".join(found.groups("")).replace("\\\\", "\\") for found in _ITEM.finditer(value)]
    return value.split(", ") if isinstance(value, str) and label in settings else [value]
