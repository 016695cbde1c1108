"""Takes that would be one picture, as what they are composed from gives all of them one seed."""

from collections import Counter
from collections.abc import Iterable

from anime.core.composition.record import Composition
from anime.core.labels import shorten
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest


def refuse_equal_takes(composed: Iterable[tuple[GenerationRequest, Composition | None]]) -> None:
    """Make sure that no two of the requests become the same picture by a seed that neither gives.

    `composed`: each request with what is rendered for it, None where that is the request itself.

    Raises:
        InvalidRequest: two of them would.
    """
    count: Counter[tuple[str, int]] = Counter()
    first: dict[tuple[str, int], Composition] = {}
    for request, made in composed:
        if request.seed is None and made is not None and made.request.seed is not None:
            picture = made.digest, made.request.seed
            count[picture] += 1
            first.setdefault(picture, made)
    for picture, takes in count.items():
        if takes > 1:
            made = first[picture]
            named = f"shot {made.request.shot}" if made.request.shot else None
            raise InvalidRequest(
                f"{named or shorten(made.request.prompt)}: {takes} takes would be one picture, as"
                f" {_source_of_seed(made)} gives all one seed.",
                "Ask for one take, give a seed, or set seed_policy=take in the project's style.",
            )


def _source_of_seed(made: Composition) -> str:
    return next(each.source for each in made.fragments if each.field == "seed")
