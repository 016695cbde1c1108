"""Draw Things: JSON in the user comment of a PNG's XMP.

Sources: pictures of Draw Things 1.20240819, whose short keys are its own; its community edition of
August 2026 (`Invocation`) for those of `v2`.
"""

import re

from anime.assets.metadata.json_fields import (
    Fields,
    fields_of,
    number_of,
    objects_in,
    text_of,
    whole_of,
)
from anime.assets.metadata.lora_tags import acting, number_in
from anime.assets.metadata.recipe import LoraUse, SamplerUse, Sampling

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")


def sampling_of_draw_things(settings: Fields) -> Sampling | None:
    """What the settings say; None for another tool's."""
    if not {"c", "sampler", "scale"} <= settings.keys():
        return None
    size = _SIZE.fullmatch(text_of(settings, "size") or "")
    said = Sampling(
        prompt=text_of(settings, "c"),
        negative_prompt=text_of(settings, "uc"),
        seed=whole_of(settings, "seed"),
        model=text_of(settings, "model"),
        loras=acting(
            LoraUse(name=name, strength=number_in(each.get("weight")))
            for each in objects_in(settings.get("lora"))
            if (name := text_of(each, "model", "file"))
        ),
        sampler=text_of(settings, "sampler"),
        steps=whole_of(settings, "steps"),
        cfg=number_of(settings, "scale"),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
    )
    more = fields_of(settings.get("v2"))
    strength = number_of(more, "hiresFixStrength") if more.get("hiresFix") is True else None
    second = SamplerUse(node="hires", denoise=strength)
    return said.refined_by(second, text_of(more, "refinerModel"))
