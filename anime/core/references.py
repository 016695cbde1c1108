"""Reference pictures of characters, and where they go in a workflow's list of pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from anime.core.targets import PicturePlace


class ReferenceRole(StrEnum):
    """What a reference picture shows of a character."""

    FACE = "face"
    BODY = "body"
    OUTFIT = "outfit"
    STYLE = "style"


_ROLES = frozenset(ReferenceRole)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference picture. `path` is that of its copy, relative to the library."""

    role: ReferenceRole
    path: str
    sha256: str


def places_for(
    characters: Sequence[tuple[str, Sequence[Reference]]], places: Sequence[PicturePlace]
) -> list[tuple[str, Reference]]:
    """The pictures for the places, in their order, each with its character's slug.

    A place whose role is one of references takes one of that role; any other takes any. The
    characters take turns, so that each is seen before one is seen twice. A list of pictures has no
    gaps: it ends at the first place that no picture is left for.
    """
    placed: list[tuple[str, Reference]] = []
    count: Counter[str] = Counter()
    left = {slug: list(references) for slug, references in characters}
    for place in places:
        role = place.role.strip().casefold()
        fitting = {
            slug: found
            for slug, references in left.items()
            if (found := _first(references, role if role in _ROLES else None)) is not None
        }
        if not fitting:
            break
        slug = min(fitting, key=lambda each: count[each])
        count[slug] += 1
        left[slug].remove(fitting[slug])
        placed.append((slug, fitting[slug]))
    return placed


def _first(references: Sequence[Reference], role: str | None) -> Reference | None:
    return next((each for each in references if role is None or each.role == role), None)
