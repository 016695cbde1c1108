"""Finds the places of a binding again in a graph that was changed."""

from collections.abc import Mapping
from dataclasses import replace

from anime.core.bindings import InputBinding, InputKind, LoraBinding
from anime.core.graphs import Graph, is_link, title_of
from anime.core.proposals.binding import ProposedBinding, reference_to
from anime.core.targets import NodeReference, PicturePlace, Target, matching_nodes
from anime.core.workflow_build import Template


def with_confirmed(proposed: ProposedBinding, before: Template, graph: Graph) -> ProposedBinding:
    """The proposed binding, with all that was confirmed for the graph before.

    What was confirmed wins over proposals. What the new graph has no place for is `lost`; a
    proposal may take its name.
    """
    found: dict[str, InputBinding] = {}
    lost: list[str] = []
    for name, bound in before.inputs.items():
        kept = _found_again(bound, before.graph, graph)
        if kept is None:
            lost.append(name)
        else:
            found[name] = kept
    return replace(
        proposed,
        binding=proposed.binding.model_copy(
            update={
                "title": before.binding.title,
                "description": before.binding.description,
                "vram_mb": before.binding.vram_mb,
                "needs_prompt": before.binding.needs_prompt,
                "inputs": _merged(found, proposed.binding.inputs, graph),
                "loras": _loras_again(before, graph) or proposed.binding.loras,
                "output_node": _output_again(before, graph) or proposed.binding.output_node,
            }
        ),
        signals={name: signal for name, signal in proposed.signals.items() if name not in found},
        left_out={name: reason for name, reason in proposed.left_out.items() if name not in found},
        lost=tuple(name for name in lost if name not in proposed.binding.inputs),
    )


def _merged(
    found: Mapping[str, InputBinding], proposed: Mapping[str, InputBinding], graph: Graph
) -> dict[str, InputBinding]:
    """What was confirmed, then what is new and sets nothing that is set already."""
    taken = {place for bound in found.values() for place in _places(bound, graph)}
    new = {
        name: bound
        for name, bound in proposed.items()
        if name not in found and not _places(bound, graph) & taken
    }
    return {**found, **new}


def _places(bound: InputBinding, graph: Graph) -> set[tuple[str, str]]:
    return {
        (node_id, target.input)
        for target in bound.targets
        for node_id in matching_nodes(graph, target)
    }


def _found_again(bound: InputBinding, before: Graph, graph: Graph) -> InputBinding | None:
    """The same input in the new graph; None if one of its places is gone."""
    if bound.kind is InputKind.IMAGES:
        places = [_target_again(place, before, graph) for place in bound.places]
        if any(place is None for place in places):
            return None
        return bound.model_copy(
            update={"places": tuple(place for place in places if isinstance(place, PicturePlace))}
        )
    first = _target_again(bound, before, graph)
    others = [_target_again(target, before, graph) for target in bound.also]
    if not isinstance(first, InputBinding):
        return None
    return first.model_copy(update={"also": tuple(target for target in others if target)})


def _target_again(target: Target, before: Graph, graph: Graph) -> Target | None:
    """The same input of the same node, wherever it is now; None if it takes no value there."""
    reference = _node_again(target, before, graph)
    if reference is None:
        return None
    values = graph[matching_nodes(graph, reference)[0]]["inputs"]
    if target.input not in values or is_link(values[target.input]):
        return None
    return target.model_copy(update=_named(reference))


def _node_again(reference: NodeReference, before: Graph, graph: Graph) -> NodeReference | None:
    """How the node is named now: as it was, or by the class and title that it had."""
    was = matching_nodes(before, reference)
    if len(was) != 1:
        return None
    old = before[was[0]]
    now = matching_nodes(graph, reference)
    if len(now) == 1 and graph[now[0]]["class_type"] == old["class_type"]:
        return reference
    alike = [
        node_id
        for node_id, node in graph.items()
        if (node["class_type"], title_of(node)) == (old["class_type"], title_of(old))
    ]
    return reference_to(graph, alike[0]) if len(alike) == 1 else None


def _named(reference: NodeReference) -> dict[str, str | None]:
    return {"node": reference.node, "id": reference.id, "class_type": reference.class_type}


def _loras_again(before: Template, graph: Graph) -> tuple[LoraBinding, ...]:
    """Where LoRAs go, if every loader is there still."""
    found = []
    for place in before.binding.loras:
        reference = _node_again(place, before.graph, graph)
        if reference is None:
            return ()
        found.append(place.model_copy(update=_named(reference)))
    return tuple(found)


def _output_again(before: Template, graph: Graph) -> NodeReference | None:
    taken = before.binding.output_node
    return _node_again(taken, before.graph, graph) if taken else None
