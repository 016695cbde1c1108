"""Fooocus (scheme fooocus), MRE, SimpleSDXL and RuinedFooocus: JSON in a PNG text, or in EXIF.

Of Fooocus' other scheme, a1111, the reader of AUTOMATIC1111's text takes care.
Sources: Fooocus 2.5.5 and SimpleSDXL 2 (`modules/meta_parser.py`), Fooocus-MRE 2.0 and
RuinedFooocus 1.60 and 26.06 (`modules/async_worker.py`; `ltx2_video_pipeline.py`, whose films may
have only their prompt).
"""

import re
from collections.abc import Iterator

from pydantic import JsonValue

from anime.assets.metadata.json_fields import Fields, number_of, text_of, whole_of
from anime.assets.metadata.lora_tags import acting, number_in
from anime.assets.metadata.recipe import LoraUse, SamplerUse, Sampling

_SIZE = re.compile(r"\(?(\d{1,6})\s*[,x×]\s*(\d{1,6})\)?")
_COMBINED = re.compile(r"lora_combined_\d{1,3}")
_NUMBERED = range(1, 6)  # of MRE
_LABELLED = re.compile(r"LoRA (?:(\d{1,3})|\[(.{1,500})\] weight)")
_IN_TEXT = re.compile(r"<([^<>]{1,500}):(-?\d{1,3}(?:\.\d{1,6})?)>")  # of RuinedFooocus before 1.60
_WEIGHTED = re.compile(r"\s*(-?\d{1,3}(?:\.\d{1,6})?)\s*-\s*(.{1,500})")


def sampling_of_fooocus(settings: Fields) -> Sampling | None:
    """What Fooocus' own scheme says, or SimpleSDXL's; None for another tool's settings."""
    if "Base Model" in settings:
        settings = dict(_renamed(settings))
    if not {"prompt", "base_model"} <= settings.keys():
        return None
    size = _SIZE.fullmatch(text_of(settings, "resolution") or "")
    said = Sampling(
        prompt=text_of(settings, "prompt"),
        negative_prompt=text_of(settings, "negative_prompt"),
        seed=whole_of(settings, "seed"),
        model=text_of(settings, "base_model"),
        model_hash=text_of(settings, "base_model_hash"),
        loras=acting(_loras(settings)) or acting(_further_loras(settings)),  # many write both
        sampler=text_of(settings, "sampler"),
        scheduler=text_of(settings, "scheduler"),
        steps=whole_of(settings, "steps"),
        cfg=number_of(settings, "guidance_scale", "cfg"),
        width=int(size[1]) if size else whole_of(settings, "width"),
        height=int(size[2]) if size else whole_of(settings, "height"),
    )
    return said.refined_by(SamplerUse(node="refiner"), text_of(settings, "refiner_model"))


def sampling_of_ruinedfooocus(settings: Fields) -> Sampling | None:
    """What RuinedFooocus says; None for another tool's settings."""
    is_own = settings.get("software") == "RuinedFooocus"
    if not is_own and not {"Prompt", "base_model_name"} <= settings.keys():
        return None
    said = Sampling(
        prompt=text_of(settings, "Prompt", "prompt"),
        negative_prompt=text_of(settings, "Negative"),
        seed=whole_of(settings, "seed"),
        model=text_of(settings, "base_model_name"),
        model_hash=text_of(settings, "base_model_hash"),
        loras=acting(_loras(settings)),
        sampler=text_of(settings, "sampler_name"),
        scheduler=text_of(settings, "scheduler"),
        steps=whole_of(settings, "steps"),
        cfg=number_of(settings, "cfg"),
        width=whole_of(settings, "width"),
        height=whole_of(settings, "height"),
    )
    return said.refined_by(SamplerUse(node="refiner"), text_of(settings, "refiner_model_name"))


def _renamed(settings: Fields) -> Iterator[tuple[str, JsonValue]]:
    """The settings of SimpleSDXL under the names that Fooocus gives them."""
    for number, (label, value) in enumerate(settings.items()):
        found = _LABELLED.fullmatch(label)
        if found is None:
            yield label.lower().replace(" ", "_"), value
        else:
            yield f"lora_combined_{number}", value if found[1] else f"{found[2]} : {value}"


def _loras(settings: Fields) -> Iterator[LoraUse]:
    """LoRAs as `[name, weight, hash]`, `[hash, "weight - name"]` or in one text."""
    listed = settings.get("loras")
    for name, weight in _IN_TEXT.findall(listed) if isinstance(listed, str) else ():
        yield LoraUse(name=name, strength=number_in(weight))
    for each in listed if isinstance(listed, list) else []:
        first, second = (*each, None)[:2] if isinstance(each, list) and each else (each, None)
        weighted = _WEIGHTED.fullmatch(second if isinstance(second, str) else "")
        if weighted:
            yield LoraUse(name=weighted[2], strength=number_in(weighted[1]))
        elif isinstance(first, str) and first:
            yield LoraUse(name=first, strength=number_in(second))


def _further_loras(settings: Fields) -> Iterator[LoraUse]:
    """LoRAs of MRE as l1 and w1; as `"name : weight"`, before it perhaps whether the LoRA is on."""
    for number in _NUMBERED:
        name = text_of(settings, f"l{number}")
        if name:
            yield LoraUse(name=name, strength=number_of(settings, f"w{number}"))
    for name, value in settings.items():
        if _COMBINED.fullmatch(name) and isinstance(value, str):
            if value.startswith("False : "):
                continue
            lora, colon, weight = value.removeprefix("True : ").rpartition(" : ")
            strength = number_in(weight) if colon else None
            yield LoraUse(name=lora if colon else weight, strength=strength)
