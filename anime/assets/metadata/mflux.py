"""mflux: JSON as the user comment of EXIF.

What it calls guidance is that of a distilled model in FLUX.1; of others it is not said. A picture
that SeedVR2 has enlarged tells beside its settings those that it was made with, as the original.
Source: mflux 0.18 (`GeneratedImage._get_metadata`).
"""

from pathlib import PureWindowsPath

from pydantic import JsonValue

from anime.assets.metadata.json_fields import Fields, loras_of, number_of, text_of, whole_of
from anime.assets.metadata.lora_tags import acting
from anime.assets.metadata.recipe import SamplerUse, Sampling

_DISTILLED, _ENLARGES = "FLUX.1", "SeedVR2"


def sampling_of_mflux(settings: Fields) -> Sampling | None:
    """What the settings say; None for another tool's."""
    if "mflux_version" not in settings:
        return None
    model = text_of(settings, "model") or ""
    if _ENLARGES not in model or text_of(settings, "original_model") is None:
        return _said(settings, "")
    second = SamplerUse(node="upscale", steps=whole_of(settings, "steps"))
    return _said(settings, "original_").refined_by(second, model)


def _said(settings: Fields, kind: str) -> Sampling:
    model = text_of(settings, f"{kind}model")
    is_distilled = model is not None and _DISTILLED in model
    loras = loras_of(_names(settings.get(f"{kind}lora_paths")), settings.get(f"{kind}lora_scales"))
    return Sampling(
        prompt=text_of(settings, "prompt"),
        negative_prompt=text_of(settings, "negative_prompt"),
        seed=whole_of(settings, f"{kind}seed"),
        model=model,
        loras=acting(loras),
        steps=whole_of(settings, f"{kind}steps"),
        guidance=number_of(settings, f"{kind}guidance") if is_distilled else None,
        width=whole_of(settings, "width"),
        height=whole_of(settings, "height"),
    )


def _names(paths: JsonValue) -> list[JsonValue]:
    """The files of LoRAs, as mflux itself names them in XMP."""
    listed = paths if isinstance(paths, list) else []
    return [PureWindowsPath(each).name for each in listed if isinstance(each, str)]
