"""Seed, steps, guidance, sampler and scheduler: what the samplers and partners' nodes take."""

from collections.abc import Iterable, Sequence

from anime.core.bindings import InputKind
from anime.core.proposals.findings import InputProposal, Place
from anime.core.proposals.graph_view import GraphView, last_part

_SEEDS = frozenset({"seed", "noise_seed"})
_NO_NOISE = "disable"
_SETTINGS: tuple[tuple[str, InputKind, tuple[str, ...]], ...] = (
    ("steps", InputKind.INT, ("steps",)),
    ("cfg", InputKind.FLOAT, ("cfg",)),
    ("sampler", InputKind.CHOICE, ("sampler_name",)),
    ("scheduler", InputKind.CHOICE, ("scheduler",)),
)


def propose_seed(view: GraphView, nodes: Sequence[str]) -> InputProposal | None:
    """The seed of all that is drawn by chance; texts that are made by chance keep theirs."""
    places: dict[Place, str] = {}
    for node_id in reversed(nodes):
        values = view.values(node_id)
        if values.get("add_noise") == _NO_NOISE or _writes_text(view, node_id):
            continue
        for name in values:
            if not (last_part(name) in _SEEDS or last_part(name).endswith("_seed")):
                continue
            source = view.source(Place(node_id, name))
            if source and _is_whole(view.value(source)):
                places.setdefault(source, f"{view.class_of(node_id)}.{name}")
    if not places:
        return None
    first = next(iter(places))
    most = [limit for place in places if (limit := _limits(view, place)[1]) is not None]
    return InputProposal(
        "seed",
        InputKind.SEED,
        tuple(places),
        view.value(first),
        _and_more(places.values()),
        maximum=min(most, default=None),
    )


def propose_settings(view: GraphView, nodes: Sequence[str]) -> list[InputProposal]:
    """Steps, guidance, sampler and scheduler, as far as the graph has them."""
    found = []
    for name, kind, inputs in _SETTINGS:
        places = _sources(view, nodes, inputs)
        if places:
            found.append(_setting(view, nodes, name, kind, places))
    return found


def _setting(
    view: GraphView,
    nodes: Sequence[str],
    name: str,
    kind: InputKind,
    places: dict[Place, str],
) -> InputProposal:
    ordered = sorted(places, key=lambda place: not _begins(view, place))
    first = ordered[0]
    same = tuple(place for place in ordered if view.value(place) == view.value(first))
    others = tuple(place for place in ordered if view.value(place) != view.value(first))
    doubt = ""
    if others:
        doubt = f"{len(places)} nodes have different values: which one is meant?"
    elif name == "steps" and _is_split(view, nodes):
        doubt = "two samplers share the steps: at which step the second goes on would not change."
    low, high = _limits(view, first) if kind is not InputKind.CHOICE else (None, None)
    return InputProposal(
        name,
        kind,
        same,
        view.value(first),
        _and_more([places[place] for place in same]),
        doubt,
        others,
        low,
        high,
    )


def _sources(view: GraphView, nodes: Sequence[str], inputs: Sequence[str]) -> dict[Place, str]:
    """Where the inputs of such names are set, with the input that says so."""
    places: dict[Place, str] = {}
    for node_id in nodes:
        for name in view.values(node_id):
            source = view.source(Place(node_id, name)) if last_part(name) in inputs else None
            if source and not isinstance(view.value(source), list | dict):
                places.setdefault(source, f"{view.class_of(node_id)}.{name}")
    return places


def _begins(view: GraphView, place: Place) -> bool:
    """Whether it belongs to a sampler that begins, or to none; others go on with its latents."""
    return view.values(place.node_id).get("add_noise") != _NO_NOISE


def _is_split(view: GraphView, nodes: Sequence[str]) -> bool:
    """Whether a sampler begins at a step that another one has left off at."""
    return any(
        isinstance(at := view.values(node_id).get("start_at_step"), int) and at > 0
        for node_id in nodes
    )


def _writes_text(view: GraphView, node_id: str) -> bool:
    outputs = view.definition(node_id).output_types
    return bool(outputs) and set(outputs) <= {"STRING"}


def _limits(view: GraphView, place: Place) -> tuple[float | None, float | None]:
    """The least and the most that the node class takes."""
    found = view.input_of(place)
    settings = found.settings if found else {}
    low, high = settings.get("min"), settings.get("max")
    return (
        low if isinstance(low, int | float) else None,
        high if isinstance(high, int | float) else None,
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _and_more(signals: Iterable[str]) -> str:
    """The first signal, and how many there are beside it."""
    listed = list(signals)
    more = f" and {len(listed) - 1} more" if len(listed) > 1 else ""
    return f"{listed[0]}{more}"
