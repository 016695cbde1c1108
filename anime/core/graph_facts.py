"""What rows of our own jobs keep of a graph beside the recipe; what comes by a link is left out."""

import hashlib
import json

from pydantic import JsonValue

from anime.core.graphs import Graph, Node, is_link


def facts_of(graph: Graph) -> dict[str, JsonValue]:
    """How large the latents are, and every text that is encoded for either side."""
    canvas = _canvas_of(graph)
    return {
        "canvas_width": _whole(canvas, "width"),
        "canvas_height": _whole(canvas, "height"),
        "batch_size": _whole(canvas, "batch_size"),
        "positive_texts": [*_encoded_texts(graph, "positive")],
        "negative_texts": [*_encoded_texts(graph, "negative")],
    }


def lora_strengths(graph: Graph) -> dict[str, dict[str, JsonValue]]:
    """How strongly each LoRA acts on model and text encoder, by its name."""
    return {
        name: {key: _number(node, key) for key in ("strength_model", "strength_clip")}
        for node in graph.values()
        if (name := _text(node, "lora_name")) is not None
    }


def loaded_models(graph: Graph) -> set[str]:
    """All checkpoints and diffusion models that the graph loads, whatever they are for."""
    texts = (_text(node, name) for node in graph.values() for name in ("ckpt_name", "unet_name"))
    return {text for text in texts if text}


def workflow_hash(graph: Graph) -> str:
    """SHA-256 in hex of the graph in canonical JSON: the order of nodes and inputs is no matter.

    >>> workflow_hash({"1": {"a": 1, "b": 2}}) == workflow_hash({"1": {"b": 2, "a": 1}})
    True
    """
    canonical = json.dumps(graph, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _canvas_of(graph: Graph) -> Node | None:
    """The node that says how large the latents are."""
    return next(
        (
            node
            for node in graph.values()
            if {"width", "height", "batch_size"} <= set(node["inputs"])
        ),
        None,
    )


def _encoded_texts(graph: Graph, side: str) -> tuple[str, ...]:
    """The texts that reach an input `positive` or `negative`, through whatever lies between."""
    reached: list[str] = []
    waiting = [
        node["inputs"][side][0] for node in graph.values() if is_link(node["inputs"].get(side))
    ]
    while waiting:
        node_id = waiting.pop(0)
        if node_id not in reached and node_id in graph:
            reached.append(node_id)
            waiting += [
                value[0]
                for name, value in graph[node_id]["inputs"].items()
                if is_link(value) and _goes_on(name, side)
            ]
    texts = (_text(graph[node_id], "text") for node_id in reached)
    return tuple(text for text in texts if text is not None)


def _goes_on(name: str, side: str) -> bool:
    """Whether a conditioning travels on through that input of a node such as a ControlNet's."""
    return name == side or name.startswith("conditioning")


def _text(node: Node, name: str) -> str | None:
    value: JsonValue = node["inputs"].get(name)
    return value if isinstance(value, str) else None


def _whole(node: Node | None, name: str) -> int | None:
    value: JsonValue = node["inputs"].get(name) if node else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(node: Node, name: str) -> float | None:
    value: JsonValue = node["inputs"].get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
