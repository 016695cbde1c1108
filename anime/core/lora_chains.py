"""LoRAs, chained behind the nodes that load the models."""

from collections.abc import Collection, Sequence

from anime.core.bindings import LoraBinding
from anime.core.graphs import Graph, Link, Node, is_link
from anime.core.targets import NodeReference, matching_nodes
from anime.schemas import LoraChoice


def insert_loras(
    graph: Graph, bindings: Sequence[LoraBinding], loras: Sequence[LoraChoice]
) -> None:
    """Chain all LoRAs behind each model, and move the consumers of model and text encoder.

    A text encoder that several models share is patched once, with the first of them.
    """
    places = [(model_of(graph, each), encoder_of(graph, each)) for each in bindings]
    patched: list[Link] = []
    for model, encoder in places if loras else ():
        clip = None if encoder in patched else encoder
        consumers = list(graph)
        end = _chain(graph, model, clip, loras)
        _move(graph, consumers, model, [end, 0])
        if clip is not None:
            patched.append(clip)
            _move(graph, consumers, clip, [end, 1])


def node_of(graph: Graph, reference: NodeReference) -> str:
    """The id of the one node that a reference names."""
    [node_id] = matching_nodes(graph, reference)
    return node_id


def model_of(graph: Graph, binding: LoraBinding) -> Link:
    """The output that the model comes from."""
    return [node_of(graph, binding), binding.model_slot]


def encoder_of(graph: Graph, binding: LoraBinding) -> Link | None:
    """The output that the text encoder comes from, if LoRAs patch it."""
    if binding.clip_source is None:
        return None
    source, slot = binding.clip_source
    return [node_of(graph, source), slot]


def _chain(graph: Graph, model: Link, clip: Link | None, loras: Sequence[LoraChoice]) -> str:
    """Add the loaders, each fed by the one before; the id of the last."""
    node_id = ""
    for number, lora in enumerate(loras, start=1):
        node_id = _free_id(graph)
        graph[node_id] = _loader(lora, model, clip) | {"_meta": {"title": f"LoRA {number}"}}
        model, clip = [node_id, 0], clip and [node_id, 1]
    return node_id


def _loader(lora: LoraChoice, model: Link, clip: Link | None) -> Node:
    inputs = {"lora_name": lora.name, "strength_model": lora.strength, "model": list(model)}
    if clip is None:
        return {"class_type": "LoraLoaderModelOnly", "inputs": inputs}
    inputs |= {"strength_clip": lora.strength, "clip": list(clip)}
    return {"class_type": "LoraLoader", "inputs": inputs}


def _move(graph: Graph, consumers: Collection[str], old: Link, new: Link) -> None:
    for node_id in consumers:
        inputs = graph[node_id]["inputs"]
        for name, value in inputs.items():
            if is_link(value) and value == old:
                inputs[name] = list(new)


def _free_id(graph: Graph) -> str:
    return str(1 + max((int(node_id) for node_id in graph if node_id.isdecimal()), default=0))
