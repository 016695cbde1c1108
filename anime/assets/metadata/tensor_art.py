"""TensorArt: JSON in the PNG text `generation_data`, beside a graph.

Source: sd-metadata 3.3 (`parsers/tensorart.ts`), which reads pictures of tensor.art.
"""

from anime.assets.metadata.json_fields import Fields, fields_of, number_of, text_of, whole_of
from anime.assets.metadata.recipe import Sampling


def sampling_of_tensor_art(settings: Fields) -> Sampling | None:
    """What was asked for; None for another tool's settings."""
    model = fields_of(settings.get("baseModel"))
    if "prompt" not in settings or "modelFileName" not in model:
        return None
    return Sampling(
        prompt=text_of(settings, "prompt"),
        negative_prompt=text_of(settings, "negativePrompt"),
        seed=whole_of(settings, "seed"),
        model=text_of(model, "modelFileName"),
        model_hash=text_of(model, "hash"),
        steps=whole_of(settings, "steps"),
        cfg=number_of(settings, "cfgScale"),
        width=whole_of(settings, "width"),
        height=whole_of(settings, "height"),
    )
