"""Mochi Diffusion: one line of settings as the caption of IPTC, which XMP calls the description.

Include in Image: a cat; Exclude from Image: mist; Model: anything; Steps: 20; Seed: 1; …

What it calls a scheduler is the sampler. Source: Mochi Diffusion 6.0 (`SDImage.metadata`).
"""

import re

from anime.assets.metadata.json_fields import number_of, text_of, whole_of
from anime.assets.metadata.recipe import Sampling

_BEGIN, _GENERATOR = "Include in Image: ", "; Generator: Mochi Diffusion"
_LABEL = re.compile(
    "(?:^|; )(Include in Image|Exclude from Image|Model|Steps|Guidance Scale|Seed|Size|Quality|"
    "Starting Image|ControlNet Image|Input Images|Scheduler|ML Compute Unit|Upscaler|Generator): "
)
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_MAX_CHARS = 100_000


def sampling_of_mochi_diffusion(text: str) -> Sampling | None:
    """What the line says; None for another text."""
    if not text.startswith(_BEGIN) or _GENERATOR not in text or len(text) > _MAX_CHARS:
        return None
    _, *parts = _LABEL.split(text)
    said = dict(zip(parts[::2], parts[1::2], strict=True))
    size = _SIZE.fullmatch(said.get("Size", ""))
    return Sampling(
        prompt=text_of(said, "Include in Image"),
        negative_prompt=text_of(said, "Exclude from Image"),
        seed=whole_of(said, "Seed"),
        model=text_of(said, "Model"),
        sampler=text_of(said, "Scheduler"),
        steps=whole_of(said, "Steps"),
        cfg=number_of(said, "Guidance Scale"),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
    )
