"""Length and frame rate of films, and the length of sounds."""

import re
from collections.abc import Sequence

from anime.core.bindings import InputKind
from anime.core.proposals.findings import InputProposal, LengthProposal, Place
from anime.core.proposals.graph_view import MATH, GraphView, last_part

_LENGTHS = frozenset({"length", "num_frames", "video_length", "frames_number"})
_RATES = frozenset({"fps", "frame_rate"})
_SECONDS = frozenset({"seconds", "duration", "duration_seconds"})


def propose_rate(view: GraphView, nodes: Sequence[str], kind: str) -> InputProposal | None:
    """The frame rate of a film, at all places that are told it."""
    if kind != "video":
        return None
    places: dict[Place, str] = {}
    for node_id in reversed(nodes):
        for name in view.values(node_id):
            source = view.source(Place(node_id, name)) if last_part(name) in _RATES else None
            if source and _number(view, source) is not None:
                places.setdefault(source, f"{view.class_of(node_id)}.{name}")
    if not places:
        return None
    first = next(iter(places))
    same = tuple(place for place in places if _number(view, place) == _number(view, first))
    others = tuple(place for place in places if place not in same)
    doubt = "nodes have different frame rates: which one is meant?" if others else ""
    return InputProposal(
        "fps", InputKind.FLOAT, same, view.value(first), places[first], doubt, others
    )


def propose_length(
    view: GraphView, nodes: Sequence[str], rate: InputProposal | None
) -> LengthProposal | InputProposal | None:
    """The length in seconds: counted in frames, or set as it is."""
    for node_id in reversed(nodes):
        if "LATENT" not in view.definition(node_id).output_types:
            continue
        for name in view.values(node_id):
            if last_part(name) not in _LENGTHS:
                continue
            if found := _frames(view, Place(node_id, name), rate):
                return found
    return _seconds(view, nodes)


def _frames(
    view: GraphView, place: Place, rate: InputProposal | None
) -> LengthProposal | InputProposal | None:
    source = view.source(place)
    if source is None:
        return _duration_before(view, place)
    frames, fps = _number(view, source), _number(view, rate.places[0]) if rate else None
    if frames is None or not fps:
        return None
    found = view.input_of(place)
    settings = found.settings if found else {}
    step = int(settings.get("step") or 1)
    return LengthProposal(
        source,
        int(frames),
        fps,
        int(settings.get("min") or 1) % step if step > 1 else 0,
        step,
        f"{view.class_of(place.node_id)}.{place.input}",
        "" if rate and not rate.doubt else "the frame rate is not certain.",
    )


def _duration_before(view: GraphView, place: Place) -> InputProposal | None:
    """The duration in an expression that multiplies it by the frame rate."""
    at = view.followed(place)
    origin = view.origin(at) if at else None
    if origin is None or view.class_of(origin) != MATH:
        return None
    sources = [
        source
        for name in view.values(origin)
        if name.startswith("values.") and (source := view.source(Place(origin, name)))
    ]
    durations = [place for place in sources if _is_titled_duration(view, place)]
    if len(durations) != 1:
        return None
    value = view.value(durations[0])
    return InputProposal(
        "seconds",
        InputKind.INT if isinstance(value, int) else InputKind.FLOAT,
        (durations[0],),
        value,
        f"{view.class_of(place.node_id)}.{place.input}, by an expression",
    )


def _is_titled_duration(view: GraphView, place: Place) -> bool:
    title = str(view.graph[place.node_id].get("_meta", {}).get("title", ""))
    return bool(re.search(r"duration|seconds|length", title, re.IGNORECASE))


def _seconds(view: GraphView, nodes: Sequence[str]) -> InputProposal | None:
    """The length that a partner's node or a canvas for sound takes in seconds."""
    places: dict[Place, str] = {}
    for node_id in reversed(nodes):
        for name in view.values(node_id):
            source = view.source(Place(node_id, name)) if last_part(name) in _SECONDS else None
            if source and not isinstance(view.value(source), list | dict | bool):
                places.setdefault(source, f"{view.class_of(node_id)}.{name}")
    if not places:
        return None
    first = next(iter(places))
    value = view.value(first)
    same = tuple(place for place in places if view.value(place) == value)
    others = tuple(place for place in places if place not in same)
    kind = InputKind.CHOICE
    if isinstance(value, int | float):
        is_whole = all(view.kind_of(place) == "INT" for place in same)
        kind = InputKind.INT if is_whole else InputKind.FLOAT
    doubt = "nodes have different lengths: which one is meant?" if others else ""
    return InputProposal("seconds", kind, same, value, places[first], doubt, others)


def _number(view: GraphView, place: Place) -> float | None:
    value = view.value(place)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
