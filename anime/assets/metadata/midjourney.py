"""Midjourney: what was asked of it, with its options and the number of the job, as the description.

a kite --ar 2:3 --no grain --seed 31 --v 7 Job ID: 8323d5b0-1888-4fd7-a239-9d4bb8222ce3

Source: pictures that midjourney.com gave for its models 5.2 to 7.
"""

import re

from anime.assets.metadata.lora_tags import whole_in
from anime.assets.metadata.recipe import Sampling

_JOB = re.compile(r"\s*\bJob ID: ?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*$")
_OPTION = re.compile(r"(?:^|\s)--([a-z]{1,20})(?=\s|$)")
_VERSIONS = {"niji": "niji", "v": "v", "version": "v"}  # of its models, by their options
_MAX_CHARS = 50_000


def sampling_of_midjourney(text: str) -> Sampling | None:
    """What the description says; None for another text."""
    job = _JOB.search(text) if len(text) <= _MAX_CHARS and "Job ID:" in text else None
    if job is None:
        return None
    prompt, *parts = _OPTION.split(text[: job.start()])
    options = dict(zip(parts[::2], (value.strip() for value in parts[1::2]), strict=True))
    models = [
        f"{name} {options[key].split()[0]}" for key, name in _VERSIONS.items() if options.get(key)
    ]
    return Sampling(
        prompt=prompt.strip() or None,
        negative_prompt=options.get("no") or None,
        model=next(iter(models), None),
        seed=whole_in(options.get("seed")),
    )
