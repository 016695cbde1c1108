"""Reference pictures of characters, in the workflow's list of pictures."""

from collections import Counter
from collections.abc import Sequence

from anime.core.bindings import InputKind
from anime.core.composition.record import REQUEST
from anime.core.composition.sources import DrawnCharacter
from anime.core.composition.state import CompositionState
from anime.core.references import places_for

_REFERENCES = "references"


def place_references(state: CompositionState) -> None:
    """Give the pictures of the characters to the workflow's list of pictures."""
    having = [each for each in state.cast.values() if each.references]
    name = _picture_list(state)
    if name is None:
        state.warnings += [
            f"The pictures of {each.source} are left out: workflow {state.template.name}"
            " takes no references."
            for each in having
        ]
    elif having and name in state.request.inputs:
        who = " and ".join(each.source for each in having)
        state.conflicts.append(f"{name}: the request's pictures count, not those of {who}.")
        state.note(name, state.request.inputs[name], REQUEST)
    elif having:
        _place(state, name, having)


def _place(state: CompositionState, name: str, having: Sequence[DrawnCharacter]) -> None:
    """Fill the places of that list, and say whose pictures are left out."""
    bound = state.template.inputs[name]
    pictures = places_for(
        [(each.slug, each.references) for each in having], bound.places[: bound.most_pictures]
    )
    for place, (slug, reference) in zip(bound.places, pictures, strict=False):
        state.shown.add(slug)
        called = f" as {place.prompt_name}" if place.prompt_name else ""
        who = state.reference_paths[reference.path] = state.cast[slug].source
        state.note(name, f"{reference.role} {reference.path}{called}", who)
        if place.prompt_name:
            state.pictures.setdefault(slug, []).append(place.prompt_name)
    if pictures:
        state.set_input(name, [reference.path for _, reference in pictures])
    placed = Counter(slug for slug, _ in pictures)
    state.warnings += [
        f"{len(each.references) - placed[each.slug]} of {len(each.references)} pictures of"
        f" {each.source} are left out: workflow {state.template.name} has no place for them."
        for each in having
        if placed[each.slug] < len(each.references)
    ]


def _picture_list(state: CompositionState) -> str | None:
    """The input that takes references; None if there is none."""
    inputs = state.template.inputs
    if _REFERENCES in inputs and inputs[_REFERENCES].kind is InputKind.IMAGES:
        return _REFERENCES
    name = state.template.picture_input
    return name if name is not None and inputs[name].kind is InputKind.IMAGES else None
