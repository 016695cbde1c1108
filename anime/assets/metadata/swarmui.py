"""SwarmUI: JSON in the PNG text `parameters`, or in the EXIF user comment of JPEG and WEBP.

Source: SwarmUI 0.9.7, `T2IParamInput.GenRawMetadata`.
"""

from anime.assets.metadata.json_fields import (
    Fields,
    fields_of,
    loras_of,
    number_of,
    text_of,
    whole_of,
)
from anime.assets.metadata.lora_tags import loras_in_tags
from anime.assets.metadata.recipe import Sampling


def sampling_of_swarmui(settings: Fields) -> Sampling | None:
    """What the settings say; None for another tool's."""
    said = fields_of(settings.get("sui_image_params"))
    if not said:
        return None
    prompt = text_of(said, "prompt")
    listed = loras_of(said.get("loras"), said.get("loraweights"))
    return Sampling(
        prompt=prompt,
        negative_prompt=text_of(said, "negativeprompt"),
        seed=whole_of(said, "seed"),
        model=text_of(said, "model"),
        loras=listed or tuple(loras_in_tags(prompt or "")),
        sampler=text_of(said, "sampler", "comfyuisampler"),
        scheduler=text_of(said, "scheduler", "comfyuischeduler"),
        steps=whole_of(said, "steps"),
        cfg=number_of(said, "cfgscale"),
        guidance=number_of(said, "fluxguidancescale"),
        width=whole_of(said, "width"),
        height=whole_of(said, "height"),
    )
