"""From proposals, and what a person says of the doubtful ones, to the binding of a workflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anime.core.bindings import Binding, InputBinding, InputKind, LoraBinding, WorkflowOutput
from anime.core.graph_facts import workflow_hash
from anime.core.graphs import Graph, is_link, title_of
from anime.core.ids import MAX_SEED
from anime.core.proposals.findings import (
    InputProposal,
    LengthProposal,
    OutputProposal,
    PictureProposal,
    Place,
    Proposals,
)
from anime.core.targets import NodeReference, PicturePlace, Target
from anime.core.unused_places import UnusedPlace
from anime.errors import InvalidWorkflow

ESSENTIAL = ("prompt", "output")  # without them, nothing is imported
_NO_INPUTS = frozenset({"output", "loras"})  # choices that are no inputs of the workflow
_MOST_TITLE_CHARS = 60
_MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class ProposedBinding:
    """A binding with what is to be said of it.

    `signals` and `left_out` are by name of the input: what speaks for it, and why it is not
    bound. `lost` are inputs of the binding before that the new graph has no place for.
    """

    binding: Binding
    signals: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def bind_proposals(
    graph: Graph, proposals: Proposals, choices: Mapping[str, str], *, title: str
) -> ProposedBinding:
    """The binding of all that is certain or chosen.

    Args:
        graph: What the proposals are for.
        proposals: See `propose`.
        choices: By name of an input what is meant, as `12:3.text`; empty leaves it out. Of
            `output` it is the id of the node.
        title: What the workflow is called.

    Raises:
        InvalidWorkflow: prompt or output are in doubt, or a choice is no place of the graph.
    """
    _refuse_doubts(proposals, choices)
    output = proposals.output
    if output is None:
        raise InvalidWorkflow(
            "No node of the graph saves a picture, film, sound or mesh.",
            "Add a node that saves, such as SaveImage or SaveVideo.",
        )
    taken = _chosen_output(proposals, output, choices)
    left_out = {
        name: doubt for name, doubt in proposals.doubts() if name not in {*choices, *ESSENTIAL}
    }
    inputs, signals = _inputs(graph, proposals, choices, left_out)
    return ProposedBinding(
        Binding(
            title=title,
            output=WorkflowOutput(output.kind),
            output_node=reference_to(graph, taken),
            needs_prompt="prompt" in inputs,
            graph_sha256=workflow_hash(graph),
            inputs=inputs,
            loras=_loras(graph, proposals) if _takes_loras(choices, left_out) else (),
        ),
        signals,
        left_out,
    )


def reference_to(graph: Graph, node_id: str) -> NodeReference:
    """How a binding names a node: by its title where no other has it, else by its id."""
    title = title_of(graph[node_id])
    twins = sum(title_of(node) == title for node in graph.values())
    if twins == 1 and title.strip() and len(title) <= _MOST_TITLE_CHARS and title.isprintable():
        return NodeReference(node=title)
    return NodeReference(id=node_id)


def target_of(graph: Graph, place: Place) -> Target:
    """How a binding names an input."""
    return Target(**_reference(graph, place.node_id), input=place.input)


def chosen_place(graph: Graph, name: str, text: str) -> Place:
    """The place that a person names as `12:3.text`.

    Raises:
        InvalidWorkflow: the graph has no such input, or it comes from another node.
    """
    node_id, _, input_name = text.partition(".")
    values = graph.get(node_id, {}).get("inputs", {})
    if input_name not in values or is_link(values[input_name]):
        raise InvalidWorkflow(
            f'{name}: "{text[:80]}" is no input of the graph that has a value.',
            "Name it by the id of the node and the input, as 12:3.text.",
        )
    return Place(node_id, input_name)


def _chosen_output(proposals: Proposals, output: OutputProposal, choices: Mapping[str, str]) -> str:
    taken = choices.get("output") or output.node_id
    known = proposals.candidates("output")
    if taken not in known:
        raise InvalidWorkflow(
            f'output: no node "{taken[:80]}" saves a file.', f"There are: {_listed(known)}."
        )
    return taken


def _refuse_doubts(proposals: Proposals, choices: Mapping[str, str]) -> None:
    """Make sure that prompt and output are certain or chosen."""
    for name, doubt in proposals.doubts():
        if name in ESSENTIAL and name not in choices:
            raise InvalidWorkflow(
                f"{name}: {doubt} There are: {_listed(proposals.candidates(name))}.",
                f"Say which one is meant: --bind {name}=…, or `choices` in the API.",
            )


def _listed(candidates: Sequence[str]) -> str:
    more = len(candidates) - _MOST_LISTED
    return ", ".join(candidates[:_MOST_LISTED]) + (f" … and {more} more" if more > 0 else "")


def _inputs(
    graph: Graph, proposals: Proposals, choices: Mapping[str, str], left_out: Mapping[str, str]
) -> tuple[dict[str, InputBinding], dict[str, str]]:
    """The inputs by name, and the signals that speak for them."""
    inputs: dict[str, InputBinding] = {}
    signals: dict[str, str] = {}
    taken: set[Place] = set()
    for proposal in proposals.inputs:
        if taken & set(proposal.places) and proposal.name not in choices:
            continue  # such as a negative prompt that is the prompt itself
        if bound := _bound(graph, proposal, choices, left_out):
            inputs[proposal.name] = bound
            signals[proposal.name] = proposal.signal
            taken |= set(proposal.places)
    if (length := _wanted_length(proposals, choices)) and "seconds" not in {*inputs, *left_out}:
        inputs["seconds"] = _length(graph, length)
        signals["seconds"] = length.signal
    for name, text in choices.items():
        if text and name not in {*inputs, *_NO_INPUTS}:
            place = chosen_place(graph, name, text)
            inputs[name] = _input_binding(graph, (place,), _kind_by_value(graph, place))
            signals[name] = "chosen"
    pictures = _pictures(graph, proposals.pictures)
    signals |= dict.fromkeys(pictures, "pictures that the take is made of")
    return inputs | pictures, signals


def _wanted_length(proposals: Proposals, choices: Mapping[str, str]) -> LengthProposal | None:
    """The length of the film, unless a choice says that it is something else."""
    length = proposals.length
    is_wanted = length and choices.get("seconds", str(length.place)) == str(length.place)
    return length if is_wanted else None


def _bound(
    graph: Graph,
    proposal: InputProposal,
    choices: Mapping[str, str],
    left_out: Mapping[str, str],
) -> InputBinding | None:
    if proposal.name in left_out:
        return None
    places = proposal.places
    if proposal.name in choices:
        if not choices[proposal.name]:
            return None
        place = chosen_place(graph, proposal.name, choices[proposal.name])
        places = places if place in places else (place,)
    most = proposal.maximum if proposal.kind is InputKind.SEED else None
    return _input_binding(
        graph,
        places,
        proposal.kind,
        required=proposal.required,
        maximum=most if most is not None and most < MAX_SEED else None,
    )


def _input_binding(
    graph: Graph,
    places: tuple[Place, ...],
    kind: InputKind,
    *,
    required: bool = False,
    maximum: float | None = None,
) -> InputBinding:
    first, *others = places
    return InputBinding(
        **_reference(graph, first.node_id),
        input=first.input,
        kind=kind,
        also=tuple(target_of(graph, place) for place in others),
        required=required,
        maximum=maximum,
    )


def _length(graph: Graph, length: LengthProposal) -> InputBinding:
    return InputBinding(
        **_reference(graph, length.place.node_id),
        input=length.place.input,
        kind=InputKind.SECONDS,
        fps=length.fps,
        offset=length.offset,
        step=length.step,
    )


def _pictures(graph: Graph, pictures: tuple[PictureProposal, ...]) -> dict[str, InputBinding]:
    """One picture is an input of its own; several are a list in their order."""
    if not pictures:
        return {}
    if len(pictures) == 1:
        return {
            "image": _input_binding(graph, (pictures[0].place,), InputKind.IMAGE, required=True)
        }
    fewest = max(
        (number for number, each in enumerate(pictures, start=1) if not each.is_optional), default=1
    )
    places = tuple(
        PicturePlace(
            **_reference(graph, each.place.node_id),
            input=each.place.input,
            role=each.role,
            prompt_name=each.prompt_name,
        )
        for each in pictures
    )
    is_open = fewest < len(pictures)
    return {
        "references": InputBinding(
            kind=InputKind.IMAGES,
            places=places,
            minimum=fewest if is_open else None,
            unused=UnusedPlace.DROP if is_open else None,
        )
    }


def _takes_loras(choices: Mapping[str, str], left_out: Mapping[str, str]) -> bool:
    return bool(choices["loras"]) if "loras" in choices else "loras" not in left_out


def _loras(graph: Graph, proposals: Proposals) -> tuple[LoraBinding, ...]:
    return tuple(
        LoraBinding(
            **_reference(graph, lora.node_id),
            model_slot=lora.model_slot,
            clip_slot=lora.clip_slot,
        )
        for lora in proposals.loras
    )


def _reference(graph: Graph, node_id: str) -> dict[str, str]:
    found = reference_to(graph, node_id)
    return {"node": found.node} if found.node is not None else {"id": node_id}


def _kind_by_value(graph: Graph, place: Place) -> InputKind:
    value = graph[place.node_id]["inputs"][place.input]
    kinds = {
        str: InputKind.TEXT,
        bool: InputKind.SWITCH,
        int: InputKind.INT,
        float: InputKind.FLOAT,
    }
    return kinds.get(type(value), InputKind.TEXT)
