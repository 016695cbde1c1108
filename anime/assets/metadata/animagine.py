"""Animagine XL's demos on Hugging Face, and those after their fashion: JSON in a PNG text.

Source: `app.py` of the demos of Animagine XL 3.0, 3.1 and 4.0; the settings are called as Diffusers
calls them.
"""

import re

from anime.assets.metadata.json_fields import (
    Fields,
    fields_of,
    loras_of,
    number_of,
    text_of,
    whole_of,
)
from anime.assets.metadata.lora_tags import acting
from anime.assets.metadata.recipe import SamplerUse, Sampling

_SIZE = re.compile(r"(\d{1,6}) x (\d{1,6})")
_OWN = frozenset({"prompt", "num_inference_steps", "resolution"})


def sampling_of_animagine(settings: Fields) -> Sampling | None:
    """What the settings say; None for another tool's."""
    size = _SIZE.fullmatch(text_of(settings, "resolution") or "")
    if size is None or not settings.keys() >= _OWN:
        return None
    model = fields_of(settings.get("Model")) or settings
    called, larger = fields_of(settings.get("use_lora")), fields_of(settings.get("use_upscaler"))
    said = Sampling(
        prompt=text_of(settings, "prompt"),
        negative_prompt=text_of(settings, "negative_prompt"),
        seed=whole_of(settings, "seed"),
        model=text_of(model, "Model"),
        model_hash=text_of(model, "Model hash"),
        loras=acting(loras_of([called.get("selected_lora")], [called.get("multiplier")])),
        sampler=text_of(settings, "sampler"),
        steps=whole_of(settings, "num_inference_steps"),
        cfg=number_of(settings, "guidance_scale"),
        width=int(size[1]),
        height=int(size[2]),
    )
    return said.refined_by(
        SamplerUse(
            node="hires",
            steps=whole_of(larger, "upscale_steps"),
            denoise=number_of(larger, "upscaler_strength"),
        )
    )
