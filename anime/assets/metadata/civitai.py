"""Civitai's generator: a graph of ComfyUI in the user comment, with what was asked for beside it.

In PNG each is a text of its own. Sources: pictures of civitai.com's generator (2024 to 2026) and
its site of August 2026 (`comfy.metadata.ts`); `extraMetadata` is JSON in JSON.
"""

from anime.assets.metadata.json_fields import Fields, fields_of, number_of, text_of, whole_of
from anime.assets.metadata.recipe import Sampling
from anime.core.foreign_json import read_json

_OWN = frozenset({"resources", "transformations"})
BESIDE_GRAPH = frozenset({"extra", "extraMetadata"})


def sampling_of_civitai(settings: Fields) -> Sampling | None:
    """What was asked for; None for another tool's settings."""
    asked = settings.get("extraMetadata")
    said = fields_of(read_json(asked) if isinstance(asked, str) else asked)
    if {"prompt", "cfgScale"} <= settings.keys() and _OWN & settings.keys():
        said = settings
    if not said:
        return None
    return Sampling(
        prompt=text_of(said, "prompt"),
        negative_prompt=text_of(said, "negativePrompt"),
        seed=whole_of(said, "seed"),
        sampler=text_of(said, "sampler"),
        steps=whole_of(said, "steps"),
        cfg=number_of(said, "cfgScale"),
        width=whole_of(said, "width"),
        height=whole_of(said, "height"),
    )
