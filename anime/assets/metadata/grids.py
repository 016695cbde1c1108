"""Grids of pictures: what is said of one cell must not be said of all.

Sources: AUTOMATIC1111's web UI 1.10.1 (`xyz_grid.py`, `images.save_image`), Forge 2.0, SD.Next of
July 2026 (`create_infotext`), Additional Networks of May 2023.
"""

import re
from collections.abc import Mapping, Set

from anime.assets.metadata.recipe import VARIABLE, Sampling

_GRID = re.compile(r"x/?y|matrix", re.IGNORECASE)
_SHEET = re.compile(r"grid-\d{4}")  # how the names of sheets of a batch begin
# What differs between the cells of a grid, by its axis; all may by one that is not listed.
_BY_AXIS: dict[str, Set[str]] = {
    **dict.fromkeys(
        (
            *("nothing", "var. seed", "var. strength", "hires steps", "image cfg scale", "eta"),
            *("hires sampler", "hires upscaler", "denoising", "clip skip", "vae", "face restore"),
            *("sigma churn", "sigma min", "sigma max", "sigma noise", "unipc order", "rng source"),
            *("initial noise multiplier", "extra noise", "token merging ratio", "size"),
            *("negative guidance minimum sigma", "refiner switch at", "cond. image mask weight"),
        ),
        frozenset(),
    ),
    "seed": {"seed"},
    "steps": {"steps"},
    "cfg scale": {"cfg"},
    "distilled cfg scale": {"guidance"},
    "prompt s/r": {"prompt", "negative_prompt", "loras"},
    "prompt order": {"prompt"},
    "styles": {"prompt", "negative_prompt", "loras"},
    "sampler": {"sampler", "scheduler"},
    "schedule type": {"scheduler"},
    "checkpoint name": {"model", "model_hash", "models"},
    "refiner checkpoint": {"models"},
    "addnet model": {"loras"},
    "addnet weight": {"loras"},
    "addnet unet weight": {"loras"},
    "addnet tenc weight": {"loras"},
}


def is_sheet(said: Sampling, name: str, size: tuple[int, int] | None) -> bool:
    """Whether a file holds all pictures of a batch; what it says is said of the first of them.

    One that was renamed has whole pictures side by side, and not as many below each other.
    """
    if size is None or not said.width or not said.height:
        return False
    across, down = size[0] / said.width, size[1] / said.height
    if _SHEET.match(name) is not None:
        return across > 1 or down > 1
    is_even = across.is_integer() and down.is_integer()
    return is_even and across != down and not said.samplers


def varied_in(settings: Mapping[str, str]) -> frozenset[str] | None:
    """What differs between the cells of a grid; None for a picture that is none."""
    axes = [axis for each in "xyz" if (axis := settings.get(f"{each} type"))]
    if not axes and not _GRID.search(settings.get("script", "")):
        is_sheet_of_sd_next = settings.get("app") == "SD.Next" and "grid" in settings
        return frozenset({"seed"}) if is_sheet_of_sd_next else None
    known = (axis.lower().rstrip(" 0123456789") for axis in axes or ["unknown"])
    return frozenset(name for axis in known for name in _BY_AXIS.get(axis, VARIABLE))
