"""All proposals for a graph, each with its signal and, where it is not certain, its doubt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from anime.core.bindings import InputKind
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.graphs import Graph, is_link
from anime.core.proposals.app_mode import AppMode, app_mode_of
from anime.core.proposals.films import propose_length, propose_rate
from anime.core.proposals.findings import InputProposal, LengthProposal, Place, Proposals
from anime.core.proposals.graph_view import GraphView, last_part
from anime.core.proposals.loaders import propose_loras, propose_models
from anime.core.proposals.media import propose_clips, propose_pictures
from anime.core.proposals.outputs import propose_output
from anime.core.proposals.sampler_settings import propose_seed, propose_settings
from anime.core.proposals.sizes import propose_batch, propose_sizes
from anime.core.proposals.texts import TextFinding, negatives_of, prompts_of

_MOST_PLACES = 64
_OWN_KINDS = {
    "INT": InputKind.INT,
    "FLOAT": InputKind.FLOAT,
    "STRING": InputKind.TEXT,
    "BOOLEAN": InputKind.SWITCH,
    "COMBO": InputKind.CHOICE,
}


def propose(
    graph: Graph,
    definitions: NodeDefinitions,
    workflow: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
) -> Proposals:
    """What the inputs of a graph are for.

    Args:
        graph: In API format, with classes that are all among the definitions.
        definitions: The node classes of the server.
        workflow: What the editor saved, if the graph was made of it: App mode has signals.
        output: Id of the node that saves the take, where a person says which.
    """
    view = GraphView(graph, definitions)
    app = app_mode_of(workflow, graph)
    saved = propose_output(view, app.outputs, output)
    if saved is None:
        return Proposals(None)
    nodes, kind = view.upstream(saved.node_id), saved.kind
    rate = propose_rate(view, nodes, kind)
    length = propose_length(view, nodes, rate) if kind in {"video", "audio"} else None
    found = [
        _text("prompt", prompts_of(view, nodes), view, app),
        _text("negative_prompt", negatives_of(view, nodes), view, app),
        *propose_models(view, nodes),
        *propose_sizes(view, nodes, kind),
        propose_batch(view, nodes, kind),
        *propose_settings(view, nodes),
        propose_seed(view, nodes),
        length if isinstance(length, InputProposal) else None,
        rate,
        *propose_clips(view, nodes),
    ]
    pictures = propose_pictures(view, nodes)
    inputs = [_bounded(each) for each in found if each]
    taken = {place for each in inputs for place in each.places}
    taken |= {picture.place for picture in pictures}
    inputs += _shown_in_app(view, app, nodes, taken, {each.name for each in inputs})
    return Proposals(
        output=saved,
        inputs=tuple(inputs),
        length=length if isinstance(length, LengthProposal) else None,
        pictures=pictures,
        loras=propose_loras(view, nodes),
    )


def _bounded(proposal: InputProposal) -> InputProposal:
    """The proposal, in doubt if it is for more places than a person would read."""
    if len(proposal.places) + len(proposal.others) <= _MOST_PLACES:
        return proposal
    return replace(
        proposal,
        places=proposal.places[:_MOST_PLACES],
        others=proposal.others[:_MOST_PLACES],
        doubt=f"more than {_MOST_PLACES} places may be meant.",
    )


def _text(
    name: str, findings: Sequence[TextFinding], view: GraphView, app: AppMode
) -> InputProposal | None:
    """The text that is meant; with several, the one that App mode shows, or a doubt."""
    if not findings:
        return None
    shown = [each for each in findings if set(each.places) & set(app.inputs)]
    chosen = shown[0] if len(shown) == 1 else findings[0]
    others = tuple(place for each in findings if each is not chosen for place in each.places)
    doubt = ""
    if len(shown) != 1 and others:
        doubt = f"{len(findings)} texts may be meant."
    elif chosen.is_rewritten and not shown:
        doubt = "a language model writes the text anew before it is drawn."
    signal = f"{chosen.signal}, shown in App mode" if chosen in shown else chosen.signal
    return InputProposal(
        name,
        InputKind.TEXT,
        chosen.places,
        view.value(chosen.places[0]),
        signal,
        doubt,
        others,
    )


def _shown_in_app(
    view: GraphView,
    app: AppMode,
    nodes: Sequence[str],
    taken: set[Place],
    names: set[str],
) -> list[InputProposal]:
    """What else App mode shows: inputs of the workflow's own."""
    found: list[InputProposal] = []
    for place in app.inputs:
        kind = _OWN_KINDS.get(view.kind_of(place))
        value = view.value(place)
        if place in taken or place.node_id not in nodes or kind is None or is_link(value):
            continue
        name = _free_name(last_part(place.input), names | {each.name for each in found})
        found.append(InputProposal(name, kind, (place,), value, "shown in App mode"))
    return found


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
