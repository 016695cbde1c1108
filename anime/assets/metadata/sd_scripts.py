"""sd-scripts: a text for each setting in PNG, without the model and the LoRAs.

Source: sd-scripts 0.10 (`gen_img.py`); the pictures of its training hold none.
"""

from anime.assets.metadata.json_fields import Fields, number_of, text_of, whole_of
from anime.assets.metadata.recipe import Sampling

_OWN = frozenset({"prompt", "seed", "sampler", "steps", "scale"})


def sampling_of_sd_scripts(texts: Fields) -> Sampling | None:
    """What the texts say; None for another tool's."""
    if not texts.keys() >= _OWN:
        return None
    return Sampling(
        prompt=text_of(texts, "prompt"),
        negative_prompt=text_of(texts, "negative-prompt"),
        seed=whole_of(texts, "seed"),
        sampler=text_of(texts, "sampler"),
        steps=whole_of(texts, "steps"),
        cfg=number_of(texts, "scale"),
    )
