"""InvokeAI: `invokeai_metadata` (3 and newer), `sd-metadata` (2), `Dream` (1 and 2).

What it calls a scheduler is the sampler. Sources: InvokeAI 5.6 and 6.14 (`CoreMetadataInvocation`,
`buildWanGraph`, `buildIdeogram4Graph`), 3.4 (`hrf_…`), 2.3.5
(`metadata_dumps`; its LoRAs are called as compel 1.1 reads them) and 2.2.4 (`dream_prompt_str`,
which puts no quotes around the prompt).
"""

import re
from collections.abc import Iterator
from itertools import islice

from pydantic import JsonValue

from anime.assets.metadata.json_fields import (
    Fields,
    fields_of,
    number_of,
    objects_in,
    text_of,
    whole_of,
)
from anime.assets.metadata.lora_tags import acting, number_in, whole_in
from anime.assets.metadata.recipe import LoraUse, SamplerUse, Sampling

_ARGUMENT = re.compile(r"\s-([A-Za-z])\s*([^\s]{1,100})")
_QUOTED = re.compile(r'"[^"]*"')
_MODEL = re.compile(r" # model_id=([^#\n]{1,300}?)\s*(?:#|$)")
_PROMPT_ENDS = re.compile(r'"(?=\s+--?[A-Za-z])')  # if it is in quotes
_SWITCHES_BEGIN = re.compile(r"(?=\s-s\s?\d{1,6}\s+-[A-Z])")  # if it is not
_SECOND_MODELS = ("refiner_model", "wan_transformer_low_noise")
_OWN = ("positive_prompt", "generation_mode", "app_version")
_NEGATIVE = re.compile(r"\[([^\[\]]*)\]")
_CALLED_LORA = re.compile(r"\b(?:with|use)Lora\(\s*([^,()\s]{1,300})\s*(?:,\s*([\d.]+)\s*)?\)")
_MAX_LORAS = 64
_MAX_DREAM_CHARS = 50_000


def sampling_of_invokeai(settings: Fields) -> Sampling | None:
    """What `invokeai_metadata` or `sd-metadata` says; None for another tool's settings."""
    if {"model_weights", "model_id"} & settings.keys():
        if image := fields_of(settings.get("image")):
            return _of_second(settings, image)
        for cell in objects_in(settings.get("images")):
            return _of_second(settings, cell).of_grid({"seed"})
    own = sum(name in settings for name in _OWN)
    if not own or own + ("negative_prompt" in settings) + ("cfg_scale" in settings) < 2:
        return None
    said = Sampling(
        prompt=text_of(settings, "positive_prompt"),
        negative_prompt=text_of(settings, "negative_prompt"),
        seed=whole_of(settings, "seed"),
        model=_name_of(settings.get("model")),
        model_hash=text_of(fields_of(settings.get("model")), "hash"),
        loras=acting(_loras(settings.get("loras"))),
        sampler=text_of(settings, "scheduler"),
        steps=whole_of(settings, "steps", "ideogram4_steps"),
        cfg=number_of(settings, "cfg_scale", "ideogram4_guidance_scale"),
        guidance=number_of(settings, "guidance"),
        width=whole_of(settings, "width"),
        height=whole_of(settings, "height"),
    )
    is_enlarged = settings.get("hrf_enabled") is True
    return said.refined_by(
        SamplerUse(
            node="hires" if is_enlarged else "refiner",
            steps=whole_of(settings, "refiner_steps"),
            cfg=number_of(settings, "refiner_cfg_scale", "wan_guidance_scale_low_noise"),
            sampler=text_of(settings, "refiner_scheduler"),
            denoise=number_of(settings, "hrf_strength") if is_enlarged else None,
        ),
        *(_name_of(settings.get(name)) for name in _SECOND_MODELS),
    )


def sampling_of_dream(text: str) -> Sampling | None:
    """What a command of the first versions says: `"a cat [dog]" -s 50 -S 7 -C 7.5 -A k_lms`."""
    if len(text) > _MAX_DREAM_CHARS:
        return None
    is_quoted = text.startswith('"')
    end = (_PROMPT_ENDS if is_quoted else _SWITCHES_BEGIN).search(text, 1)
    if end is None:
        return None
    switches = _QUOTED.sub("", text[end.end() :])  # without names of files, that hold anything
    said = {found[1]: found[2] for found in _ARGUMENT.finditer(switches)}
    if not {"s", "S"} <= said.keys() or not (is_quoted or {"A", "C"} & said.keys()):
        return None
    prompt, negative = _divided(text[is_quoted : end.start()])
    model = _MODEL.search(switches)
    sampling = Sampling(
        prompt=prompt,
        negative_prompt=negative,
        seed=whole_in(said["S"]),
        model=model[1] if model and model[1] != "unknown model" else None,
        sampler=said.get("A"),
        steps=whole_in(said["s"]),
        cfg=number_in(said.get("C")),
        width=whole_in(said.get("W")),
        height=whole_in(said.get("H")),
    )
    return sampling.of_grid({"seed"} if " --grid" in switches else ())


def _of_second(settings: Fields, image: Fields) -> Sampling:
    listed = image.get("prompt")
    texts = [text_of(each, "prompt") for each in objects_in(listed)]
    whole = listed if isinstance(listed, str) else " ".join(text for text in texts if text)
    # Of several, weights are not those that were typed; Dream, beside it, has the prompt whole.
    prompt, negative = _divided(whole) if len(texts) < 2 else (None, None)
    return Sampling(
        prompt=prompt,
        negative_prompt=negative,
        seed=whole_of(image, "seed"),
        model=text_of(settings, "model_weights", "model_id"),  # of the page, of the command line
        model_hash=text_of(settings, "model_hash"),
        loras=acting(
            LoraUse(name=found[1], strength=number_in(found[2]))
            for found in islice(_CALLED_LORA.finditer(whole), _MAX_LORAS)
        ),
        sampler=text_of(image, "sampler"),
        steps=whole_of(image, "steps"),
        cfg=number_of(image, "cfg_scale"),
        width=whole_of(image, "width"),
        height=whole_of(image, "height"),
    )


def _divided(text: str) -> tuple[str | None, str | None]:
    """The prompt, and what stands in brackets in it, which was not wanted."""
    unwanted = ", ".join(part.strip() for part in _NEGATIVE.findall(text) if part.strip())
    return _NEGATIVE.sub("", text).strip(" ,") or None, unwanted or None


def _name_of(value: JsonValue) -> str | None:
    return text_of(fields_of(value), "name", "model_name") or (
        value if isinstance(value, str) else None
    )


def _loras(value: JsonValue) -> Iterator[LoraUse]:
    for each in objects_in(value):
        if name := _name_of(each.get("model")) or _name_of(each.get("lora")):
            yield LoraUse(name=name, strength=number_in(each.get("weight")))
