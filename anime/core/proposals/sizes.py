"""Width and height, or the choices that stand for them; the number of pictures at a time."""

from collections.abc import Sequence

from anime.core.bindings import InputKind
from anime.core.graphs import is_link
from anime.core.proposals.findings import InputProposal, Place
from anime.core.proposals.graph_view import MATH, GraphView, last_part

_LATENTS = frozenset({"LATENT"})
_SHARES_SIZE = frozenset({"MODEL", "SIGMAS", "CONDITIONING"})
_CHOICES = ("aspect_ratio", "ratio", "size", "size_preset", "resolution", "megapixels")
_SELECTORS = ("aspect_ratio", "megapixels")
_GENERATES = frozenset({"IMAGE", "VIDEO", "SVG"})
_MOST_STEPS = 50
_SIDES = ("width", "height")
_PICTURES = frozenset({"IMAGE", "MASK", "LATENT", "VIDEO"})


def propose_sizes(view: GraphView, nodes: Sequence[str], kind: str) -> list[InputProposal]:
    """The size of what is drawn; nothing where it follows from a picture, or has none."""
    if kind not in {"image", "video"}:
        return []
    canvases = [node_id for node_id in reversed(nodes) if _is_canvas(view, node_id)]
    partner = _partner_choices(view, nodes)
    if not canvases and not partner:
        return _selected_for_partner(view, nodes)
    if not canvases or partner:
        return partner
    sides = [_side(view, nodes, canvases, side) for side in _SIDES]
    if any(side is None for side in sides):
        return _selector_choices(view, Place(canvases[0], "width"))
    return [side for side in sides if side]


def propose_batch(view: GraphView, nodes: Sequence[str], kind: str) -> InputProposal | None:
    """How many pictures are drawn at a time; a film has one."""
    if kind != "image":
        return None
    places = [
        source
        for node_id in nodes
        if _is_canvas(view, node_id)
        and "batch_size" in view.values(node_id)
        and (source := view.source(Place(node_id, "batch_size")))
    ]
    places = list(dict.fromkeys(places))
    if len(places) != 1:
        return None
    return InputProposal(
        "batch_size",
        InputKind.INT,
        tuple(places),
        view.value(places[0]),
        f"{view.class_of(places[0].node_id)}.batch_size",
    )


def _is_canvas(view: GraphView, node_id: str) -> bool:
    """Whether it makes the latents that are drawn on."""
    outputs = set(view.definition(node_id).output_types)
    return bool(outputs & _LATENTS) and set(_SIDES) <= set(view.values(node_id))


def _side(
    view: GraphView, nodes: Sequence[str], canvases: Sequence[str], side: str
) -> InputProposal | None:
    """One side of the canvas; None if it is not set as a number."""
    found = [_set_place(view, Place(canvas, side)) for canvas in canvases]
    first = found[0]
    if first is None:
        return None
    sources = list(dict.fromkeys(place for place in found if place))
    same = [place for place in sources if view.value(place) == view.value(first)]
    same += [place for place in _shared(view, nodes, side, view.value(first)) if place not in same]
    others = tuple(place for place in sources if place not in same)
    doubt = "several canvases have different sizes." if others else ""
    if len(canvases) > len(set(found)) and None in found:
        doubt = "another canvas takes its size from elsewhere."
    return InputProposal(
        side,
        InputKind.SIZE,
        tuple(same),
        view.value(first),
        f"{view.class_of(canvases[0])}.{side}",
        doubt,
        others,
    )


def _shared(view: GraphView, nodes: Sequence[str], side: str, value: object) -> list[Place]:
    """Inputs by which models and samplers are told the same size."""
    return [
        Place(node_id, side)
        for node_id in nodes
        if view.values(node_id).get(side) == value
        and set(_SIDES) <= set(view.values(node_id))
        and set(view.definition(node_id).output_types) <= _SHARES_SIZE
    ]


def _set_place(view: GraphView, place: Place) -> Place | None:
    """Where a side is set as a number; None if it follows from something else."""
    at = _followed(view, place)
    is_set = at is not None and view.origin(at) is None
    return at if at and is_set and isinstance(view.value(at), int | float) else None


def _followed(view: GraphView, place: Place) -> Place | None:
    """Where a side comes from, through expressions and pictures that are resized to it."""
    for _ in range(_MOST_STEPS):
        at = view.followed(place)
        if at is None or view.origin(at) is None:
            return at
        before = _before_math(view, at) or _resized(view, at) or _own_side(view, at)
        if before is None:
            return at
        place = before
    return None


def _before_math(view: GraphView, place: Place) -> Place | None:
    """The one value that an expression is made of, such as half of it."""
    origin = view.origin(place)
    if origin is None or view.class_of(origin) != MATH:
        return None
    names = [name for name in view.values(origin) if name.startswith("values.")]
    return Place(origin, names[0]) if len(names) == 1 else None


def _own_side(view: GraphView, place: Place) -> Place | None:
    """The same side of the node before, which hands it on among other things."""
    origin = view.origin(place)
    is_side = origin is not None and place.input in _SIDES and place.input in view.values(origin)
    return Place(origin, place.input) if origin and is_side else None


def _resized(view: GraphView, place: Place) -> Place | None:
    """The side that the picture is resized to whose size is taken."""
    node_id = view.origin(place)
    link = view.values(place.node_id)[place.input]
    slot = int(str(link[1])) if isinstance(link, list) else len(_SIDES)
    if node_id is None or "Size" not in view.class_of(node_id) or slot >= len(_SIDES):
        return None
    wanted = {_SIDES[slot], f"target_{_SIDES[slot]}"}
    for _ in range(_MOST_STEPS):
        pictures = [
            before
            for name, before, at in view.links(node_id)
            if name != "switch" and view.output_type(before, at) in _PICTURES
        ]
        if not pictures:
            return None
        node_id = pictures[0]
        names = [name for name in view.values(node_id) if last_part(name) in wanted]
        if names:
            return Place(node_id, names[0])
    return None


def _selector_choices(view: GraphView, width: Place) -> list[InputProposal]:
    """The choices of the node that works out the size."""
    at = _followed(view, width)
    origin = view.origin(at) if at else None
    if origin is None:
        return []
    return [
        _choice(view, Place(origin, name), ())
        for name in view.values(origin)
        if last_part(name) in _SELECTORS
    ]


def _partner_choices(view: GraphView, nodes: Sequence[str]) -> list[InputProposal]:
    """The choices of the last partner's node that makes pictures or films of a prompt."""
    found: list[list[Place]] = []
    for node_id in reversed(nodes):
        if _is_canvas(view, node_id):
            break
        names = _names_set(view, node_id, _CHOICES) or _names_set(view, node_id, _SIDES)
        outputs = set(view.definition(node_id).output_types)
        if outputs & _GENERATES and names and _is_service(view, node_id):
            found.append([Place(node_id, name) for name in names])
    others = tuple(place for places in found[1:] for place in places)
    return [_choice(view, place, others) for places in found[:1] for place in places]


def _selected_for_partner(view: GraphView, nodes: Sequence[str]) -> list[InputProposal]:
    """The choices that work out the size of what the last partner's node makes."""
    for node_id in reversed(nodes):
        outputs = set(view.definition(node_id).output_types)
        widths = [name for name in view.values(node_id) if last_part(name) == "width"]
        if outputs & _GENERATES and widths and _is_service(view, node_id):
            return _selector_choices(view, Place(node_id, widths[0]))
    return []


def _names_set(view: GraphView, node_id: str, wanted: Sequence[str]) -> list[str]:
    """The inputs of such names that have a value of their own."""
    values = view.values(node_id)
    return [name for name in values if last_part(name) in wanted and not is_link(values[name])]


def _is_service(view: GraphView, node_id: str) -> bool:
    """Whether a partner's service does the node's work."""
    names = {last_part(name) for name in view.values(node_id)}
    return bool(names & {"seed", "prompt", "model", "model_name"})


def _choice(view: GraphView, place: Place, others: tuple[Place, ...]) -> InputProposal:
    value = view.value(place)
    alike = tuple(each for each in others if last_part(each.input) == last_part(place.input))
    return InputProposal(
        last_part(place.input),
        _kind_of(place, value),
        (place,),
        value,
        f"{view.class_of(place.node_id)}.{place.input}",
        "nodes before it have sizes of their own." if alike else "",
        alike,
    )


def _kind_of(place: Place, value: object) -> InputKind:
    if last_part(place.input) in _SIDES:
        return InputKind.SIZE
    return InputKind.CHOICE if isinstance(value, str) else InputKind.FLOAT
