"""The text that AUTOMATIC1111's web UI, and tools after its fashion, write into a picture.

a girl on a rooftop, <lora:ink:0.8>
Negative prompt: blurry
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768, Model: anything

Sources: AUTOMATIC1111's web UI 1.10.1 (`parse_generation_parameters`), Forge 2.0, SD.Next of July
2026 (`create_infotext`), stable-diffusion.cpp of August 2026 (`get_image_params`), Fooocus 2.5
(scheme a1111), Draw Things 1.2024 (description), the generator of Civitai, ComfyUI's saving nodes
after the same fashion (SaveImageWithMetaDataUniversal 1.3, SageUtils of August 2026, WLSH of June
2024), the extension Additional Networks of May 2023, Krita AI Diffusion.
"""

import json
import re
from collections.abc import Iterator

from anime.assets.metadata.grids import varied_in
from anime.assets.metadata.json_fields import fields_of, objects_in
from anime.assets.metadata.lora_tags import acting, loras_in_tags, number_in, whole_in
from anime.assets.metadata.recipe import LoraUse, SamplerUse, Sampling
from anime.core.foreign_json import read_json

_NEGATIVE = re.compile(r"\s*negative prompt:\s*", re.IGNORECASE)
_UNWANTED = re.compile(r"^-(?=\S)", re.MULTILINE)
_TYPED = re.compile(r"\n(?:Template|Negative template): ")  # before styles, of SD.Next
_NOT_TOLD = "unknown"  # as a saving node of ComfyUI calls words that it is not given
_TEMPLATES = ("Template:", "Negative Template:", "Wildcard ")  # behind the settings
_LEAST_PAIRS = 3  # in a last line that begins with another setting than Steps
_SIZE = re.compile(r"(\d{1,6})\s?x\s?(\d{1,6})")
_NETWORK = re.compile(r"addnet model (\d{1,2})")
_NETWORK_HASH = re.compile(r"\s*\([0-9a-fA-F]{1,64}\)$")
_LORA_NAME = re.compile(r"lora_(\d{1,3}) model name")  # of ComfyUI's saving nodes
_LORA_OF_DRAW_THINGS = re.compile(r"lora (\d{1,3}) model")
_SECOND_PASS = frozenset(
    {"hires steps", "hires upscale", "hires upscaler", "hires resize", "first pass size"}
)
_SAMPLED = re.compile("hires|refine")  # not if a picture was only made larger
_MAX_SETTINGS = 200
_MAX_SETTINGS_CHARS = 20_000
_AIR = re.compile(r"urn:air:\w{1,50}:(\w{1,50}):.{1,300}")
_SCHEDULERS = ("schedule type", "scheduler type", "scheduler")
_SETTING = re.compile(r"[A-Z][A-Za-z ]{0,30}: ")
_JOINED = re.compile(r"(.*\S)\s(Steps: \d{1,6}, (?:Sampler|Seed|Size|CFG scale): .*)")
_ENCODED = re.compile("T5 Prompt: (.*?)\nCLIP Prompt: (.*)", re.DOTALL)
_HASH = re.compile("[0-9a-fA-F]{8,64}")
_JSON = json.JSONDecoder()


def parameters_of(text: str) -> Sampling | None:
    r"""What the text says; None for one of another kind, such as a photographer's comment.

    >>> parameters_of("a cat\nSteps: 20, Seed: 7, Size: 512x768").height
    768
    """
    before, settings = _divide(text.replace("\r\n", "\n").rstrip("\0"))
    if settings is None:
        return None
    if "guidance scale" in settings:  # Draw Things
        before = _UNWANTED.sub("Negative prompt: ", before)
    if settings.get("app") == "SD.Next":
        before = _without_templates(before)
        settings = _renamed(settings)
    elif settings.get("version") == "stable-diffusion.cpp":
        settings = _divided(settings)
    prompt, negative = _prompts(before)
    if settings.get("version") == "ComfyUI":
        words = (prompt.strip(), negative.strip())
        if words == (_NOT_TOLD, _NOT_TOLD):
            return Sampling()  # nor are the settings those of the picture
        prompt, negative = ("" if text == _NOT_TOLD else text for text in words)
    if settings.get("version", "").startswith("Fooocus"):  # before it, styles are written out
        prompt = settings.get("raw prompt", prompt)
        negative = settings.get("raw negative prompt", negative)
    size = _SIZE.fullmatch(settings.get("size", ""))
    resources = _resources(settings.get("civitai resources", ""))
    hashed = _hashed(settings.get("hashes", ""))
    varied = varied_in(settings)
    steps = whole_in(settings.get("steps")) or None  # Krita says 0 of what it does not know
    cfg = number_in(settings.get("cfg scale") or settings.get("guidance scale"))
    is_used = "metadata generator version" in settings  # stable-diffusion.cpp always has one
    beside_cfg = settings.get("guidance") if is_used else None
    is_unsampled = "steps" in settings and steps is None
    is_partners = is_unsampled and "civitai resources" in settings  # named where samplers are
    said = Sampling(
        prompt=_of_encoders(prompt.strip()) or None,
        negative_prompt=negative.strip() or None,
        seed=whole_in(settings.get("seed")),
        model=_named(settings, "model") or settings.get("unet") or resources.model or hashed.model,
        model_hash=_named(settings, "model hash") or hashed.model_hash,
        loras=(*(_loras_told(settings, prompt) or resources.loras), *_networks(settings)),
        sampler=None if is_partners else _sampler(settings.get("sampler")),
        scheduler=next(filter(None, map(settings.get, _SCHEDULERS)), None),
        steps=steps,
        cfg=None if cfg == 0 and is_unsampled else cfg,
        guidance=number_in(settings.get("distilled cfg scale") or beside_cfg),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
    )
    if varied is not None:
        return said.of_grid(varied)
    checkpoint = settings.get("hires checkpoint", "")
    return said.refined_by(
        _second_pass(settings),
        settings.get("refiner"),
        None if checkpoint.startswith("Use same") else checkpoint,
    )


def _second_pass(settings: dict[str, str]) -> SamplerUse:
    """The pass over the enlarged picture; of what is not said, it goes by the first one."""
    operations = settings.get("operations", "hires")  # of SD.Next
    if _SECOND_PASS.isdisjoint(settings) or not _SAMPLED.search(operations):
        return SamplerUse(node="hires")
    second = SamplerUse(
        node="refiner",
        steps=whole_in(settings.get("refiner steps")) or None,
        cfg=number_in(settings.get("hires cfg scale")),
        sampler=_sampler(settings.get("hires sampler")),
    )
    if "hires" not in operations:
        return second
    denoise = settings.get("hires strength", settings.get("denoising strength"))
    more = {
        "node": "hires",
        "steps": whole_in(settings.get("hires steps")) or None,
        "scheduler": settings.get("hires schedule type"),
        "denoise": number_in(denoise),
    }
    return second.model_copy(update=more)


def _sampler(name: str | None) -> str | None:
    """The sampler of that name; None for a word of Civitai or SD.Next that tells none."""
    return None if name in {"", "Undefined", "Default"} else name


def _named(settings: dict[str, str], setting: str) -> str | None:
    """A model or its hash; None for the word of Krita's plugin that it does not know one."""
    name = settings.get(setting)
    return None if not name or name.lower() == "unknown" else name


def _without_templates(before: str) -> str:
    """The prompts of SD.Next without what was typed for them, which follows the negative one."""
    typed = _TYPED.search(before, before.find("\nNegative prompt:"))
    return before[: typed.start()] if typed else before


def _renamed(settings: dict[str, str]) -> dict[str, str]:
    """The settings of SD.Next, whose scheduler is the class of the sampler."""
    given = {"sampler": settings.get("scheduler", ""), **settings}
    return {**given, "scheduler": settings.get("sampler sigma", "")}


def _divided(settings: dict[str, str]) -> dict[str, str]:
    """The settings of stable-diffusion.cpp, which has sampler and scheduler in one."""
    sampler, _, scheduler = settings.get("sampler", "").partition(" ")
    return {**settings, "sampler": sampler, "scheduler": scheduler}


def _divide(text: str) -> tuple[str, dict[str, str] | None]:
    """The prompts, and the settings that follow them by lower-case name; None without settings.

    The settings are the last line, if it holds some; else the last that begins with Steps, as
    templates may come behind it.
    """
    if text.startswith("Positive prompt:\n"):
        before, settings = _divide_lines(text.rstrip().removeprefix("Positive prompt:\n"))
        if settings:
            return before, settings
    if "\n" not in text:  # as an attribute of XMP has none
        text = text.replace(" Negative prompt: ", "\nNegative prompt: ", 1)
    before, _, last = text.rstrip().rpartition("\n")
    is_whole = last.startswith(("Steps: ", *_TEMPLATES))
    is_prompt = _NEGATIVE.match(last) or not (before or _SETTING.match(last))
    joined = _JOINED.fullmatch(last) if is_prompt else None
    if joined and len(joined[2]) <= _MAX_SETTINGS_CHARS:
        return f"{before}\n{joined[1].removesuffix(',')}", _settings(joined[2])  # of SageUtils
    if len(last) <= _MAX_SETTINGS_CHARS and not is_whole:
        settings = _settings(last)
        if len(settings) >= _LEAST_PAIRS and _is_of_sampling(settings):
            return before, settings
    at = f"\n{text}".rfind("\nSteps: ")
    if at < 0:
        return text, None
    line = text[at : at + _MAX_SETTINGS_CHARS].strip().partition("\n")[0]
    return text[: max(0, at - 1)], _settings(line)


def _divide_lines(text: str) -> tuple[str, dict[str, str]]:
    """The same of WLSH's saving nodes, which give each setting a line, from the model on."""
    words, model, settings = text.rpartition("\nModel: ")
    prompt, negative, unwanted = words.partition("\nNegative prompt:\n")
    lines = [line.partition(": ") for line in f"Model: {settings}".split("\n")]
    if not model or not negative or not all(colon for _, colon, _ in lines):
        return text, {}
    told = {name.lower(): value.strip() for name, _, value in lines[:_MAX_SETTINGS]}
    given = ("" if words.strip() == _NOT_TOLD else words for words in (prompt, unwanted))
    return "\nNegative prompt: ".join(given), told


def _prompts(text: str) -> tuple[str, str]:
    """Prompt and negative prompt: lines from the first that begins so belong to the latter."""
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in text.split("\n"):
        if begin := _NEGATIVE.match(line):
            into = negative
            line = line[begin.end() :].rstrip()  # noqa: PLW2901
        into.append(line)
    return "\n".join(prompt), "\n".join(negative)


def _of_encoders(prompt: str) -> str:
    """What SaveImageWithMetaDataUniversal says was encoded twice, in the order of a graph's."""
    found = _ENCODED.fullmatch(prompt)
    return "\n".join(dict.fromkeys((found[2].strip(), found[1].strip()))) if found else prompt


def _settings(line: str) -> dict[str, str]:
    """The comma separated settings; a value that holds a comma is JSON: a text, list or object."""
    found: dict[str, str] = {}
    while line and len(found) < _MAX_SETTINGS:
        name, _, rest = line.partition(":")
        value, line = _value(rest.lstrip())
        name = name.rpartition(",")[2]  # of a list that is no JSON, the rest stands before
        found.setdefault(name.strip().lower(), value)
    return found


def _is_of_sampling(settings: dict[str, str]) -> bool:
    """Whether they are more than a comment with colons: one of them is what it should be."""
    numbers = (settings.get(name) for name in ("steps", "seed", "cfg scale"))
    is_number = any(number_in(each) is not None for each in numbers)
    return is_number or _SIZE.fullmatch(settings.get("size", "")) is not None


def _value(rest: str) -> tuple[str, str]:
    """The value that comes first, and what follows its comma."""
    if rest.startswith(('"', "[", "{")):
        try:
            value, end = _JSON.raw_decode(rest)
        except (ValueError, RecursionError):
            pass
        else:
            following = rest[end:].lstrip()
            if not following or following.startswith(","):  # else it only begins like JSON
                text = value if isinstance(value, str) else rest[:end]
                return text, following.removeprefix(",").lstrip()
    plain, _, following = rest.partition(",")
    return plain.strip(), following.lstrip()


def _loras_told(settings: dict[str, str], prompt: str) -> tuple[LoraUse, ...]:
    """LoRAs that the prompts call, else those that are listed; Draw Things knows no calls."""
    if "seed mode" in settings:
        return acting(_numbered(settings, _LORA_OF_DRAW_THINGS, "lora {} weight"))
    called = _loras_in(prompt, settings.get("hires prompt", ""))
    by_number = _numbered(settings, _LORA_NAME, "lora_{} strength model")
    return called or by_number or _loras_by_weight(settings) or _loras_by_name(settings)


def _loras_in(prompt: str, of_second_pass: str) -> tuple[LoraUse, ...]:
    """LoRAs that the prompts call; of those that both do, as the first pass has it."""
    called = tuple(loras_in_tags(prompt))
    names = {lora.name for lora in called}
    return (*called, *(lora for lora in loras_in_tags(of_second_pass) if lora.name not in names))


def _networks(settings: dict[str, str]) -> Iterator[LoraUse]:
    """LoRAs of the extension Additional Networks: `AddNet Model 1: ink(its hash)`."""
    if settings.get("addnet enabled") != "True":
        return
    for name, network in settings.items():
        found = _NETWORK.fullmatch(name)
        if found and network != "None":
            weight = settings.get(
                f"addnet weight a {found[1]}", settings.get(f"addnet weight {found[1]}")
            )
            yield LoraUse(name=_NETWORK_HASH.sub("", network), strength=number_in(weight))


def _numbered(settings: dict[str, str], label: re.Pattern[str], weight: str) -> tuple[LoraUse, ...]:
    """LoRAs that are listed as `Lora_0 Model name` or `LoRA 1 Model`, each beside its weight."""
    found = filter(None, map(label.fullmatch, settings))
    return tuple(
        LoraUse(name=settings[each[0]], strength=number_in(settings.get(weight.format(each[1]))))
        for each in found
    )


def _loras_by_weight(settings: dict[str, str]) -> tuple[LoraUse, ...]:
    """LoRAs that Fooocus lists as `ink: 0.8, soft: 0.2`; before 2.3 as `ink: its hash: 0.8`."""
    weights = [part.split(":") for part in settings.get("lora weights", "").split(",")]
    hashes = [part.split(":") for part in settings.get("lora hashes", "").split(",")]
    listed = [parts for parts in weights if len(parts) == 2] or [
        parts for parts in hashes if len(parts) == 3
    ]
    return acting(
        LoraUse(name=name.strip(), strength=number_in(weight.strip()))
        for name, *_, weight in listed
    )


def _loras_by_name(settings: dict[str, str]) -> tuple[LoraUse, ...]:
    """LoRAs that SD.Next has loaded, also those of which the prompt says nothing any more."""
    names = settings.get("lora networks", "").split(",")
    return tuple(LoraUse(name=name.strip()) for name in names if name.strip())


def _hashed(text: str) -> Sampling:
    """The model of `{"model": its hash}`, as Civitai's extension lists; savers also name it there.

    >>> _hashed('{"Model:kite": "0a1b2c3d4e", "model": "0a1b2c3d4e"}').model
    'kite'
    """
    hashes = fields_of(read_json(text))
    own = str(hashes.get("model"))
    if not _HASH.fullmatch(own):
        return Sampling()
    names = [name[len("model:") :] for name in hashes if name.lower().startswith("model:")]
    return Sampling(model=names[0] if len(names) == 1 else None, model_hash=own)


def _resources(text: str) -> Sampling:
    """The models that Civitai lists, each with the name of its version, or by its AIR alone.

    Some savers list encoders of text as checkpoints, too: of several, none is known to be it.
    """
    models, loras = set(), []
    for each in objects_in(read_json(text)):
        words = (each.get("modelName"), each.get("modelVersionName"))
        air = _AIR.fullmatch(str(each.get("air")))
        kind = str(each.get("type") or (air and air[1])).lower()
        name = " ".join(word for word in words if isinstance(word, str)) or (air[0] if air else "")
        if name and kind in {"lora", "lycoris", "locon", "dora"}:
            loras.append(LoraUse(name=name, strength=number_in(each.get("weight"))))
        elif name and kind in {"checkpoint", "model", "unet"}:
            models.add(name)
    return Sampling(model=models.pop() if len(models) == 1 else None, loras=acting(loras))
