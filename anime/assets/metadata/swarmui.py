"""SwarmUI: JSON in the PNG text `parameters`, or in the EXIF user comment of JPEG and WEBP.

Sources: SwarmUI 0.9.7 and of August 2026 (`T2IParamInput.GenFullMetadataObject`, `T2IEngine`).
"""

from anime.assets.metadata.json_fields import (
    Fields,
    fields_of,
    loras_of,
    number_of,
    objects_in,
    text_of,
    whole_of,
)
from anime.assets.metadata.lora_tags import acting, loras_in_tags
from anime.assets.metadata.recipe import SamplerUse, Sampling


def sampling_of_swarmui(settings: Fields) -> Sampling | None:
    """What the settings say; None for another tool's."""
    said = fields_of(settings.get("sui_image_params"))
    if not said:
        return None
    prompt, more = text_of(said, "prompt"), fields_of(settings.get("sui_extra_data"))
    listed = loras_of(said.get("loras"), said.get("loraweights"))
    if "loratencweights" not in said:
        listed = acting(listed)
    hashes = {
        text_of(each, "param"): (text_of(each, "hash") or "").removeprefix("0x")
        for each in objects_in(settings.get("sui_models"))
    }
    sampling = Sampling(
        prompt=prompt,
        negative_prompt=text_of(said, "negativeprompt"),
        seed=whole_of(said, "seed"),
        model=text_of(said, "model"),
        model_hash=hashes.get("model") or None,
        loras=listed or tuple(loras_in_tags(prompt or "")),
        sampler=text_of(said, "sampler", "comfyuisampler"),
        scheduler=text_of(said, "scheduler", "comfyuischeduler"),
        steps=whole_of(said, "steps"),
        cfg=number_of(said, "cfgscale"),
        guidance=number_of(said, "fluxguidancescale"),
        width=whole_of(said, "width"),
        height=whole_of(said, "height"),
    )
    unused = more.get("unused_parameters")
    if isinstance(unused, list):
        said = {name: value for name, value in said.items() if name not in unused}
    if "intermediate" in more:  # the second pass may be still to come
        return sampling
    if "(average " in (text_of(more, "generation_time") or ""):
        sampling = sampling.of_grid({"seed"})
    return sampling.refined_by(
        SamplerUse(
            node="refiner",
            steps=whole_of(said, "refinersteps"),
            cfg=number_of(said, "refinercfgscale"),
            sampler=text_of(said, "refinersampler"),
            scheduler=text_of(said, "refinerscheduler"),
        ),
        *(text_of(said, name) for name in ("refinermodel", "videomodel", "videoswapmodel")),
    )
