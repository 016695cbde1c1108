"""Which input of a bypassed node takes the place of one of its outputs."""

from collections.abc import Sequence

from anime.core.conversion.definitions import ANY_TYPE


def bridged_input(
    input_types: Sequence[str], output_types: Sequence[str], *, slot: int, wanted: str
) -> int | None:
    """The place of the input that stands in for output `slot`; None if none can.

    `wanted` is the type of the input at the end of the way.

    >>> bridged_input(["MODEL", "CLIP"], ["MODEL", "CLIP"], slot=1, wanted="CLIP")
    1
    >>> bridged_input(["LATENT", "VAE"], ["IMAGE"], slot=0, wanted="IMAGE") is None
    True
    """
    if not input_types:
        return None
    if wanted in {ANY_TYPE, ""}:
        return slot if slot < len(input_types) else 0
    output = output_types[slot] if slot < len(output_types) else ANY_TYPE

    def suits(each: str) -> bool:
        return is_compatible(each, output) and is_compatible(each, wanted)

    if slot < len(input_types) and suits(input_types[slot]):
        return slot
    for place, each in enumerate(input_types):
        if each == wanted:
            return place
    return next((place for place, each in enumerate(input_types) if suits(each)), None)


def is_compatible(one: str, other: str) -> bool:
    """Whether a link may join slots of these types; a list with commas means any of them.

    >>> is_compatible("IMAGE,MASK", "mask"), is_compatible("*", "MODEL"), is_compatible("A", "B")
    (True, True, False)
    """
    names, others = ({part.strip().lower() for part in each.split(",")} for each in (one, other))
    return bool(names & others or {ANY_TYPE, ""} & (names | others))
