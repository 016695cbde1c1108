"""What an executed graph tells about how its pictures came about."""

import hashlib
import json
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, JsonValue, computed_field

from anime.core.graphs import Graph, Node, is_link, title_of

_MODEL_INPUTS = ("ckpt_name", "unet_name")
_SEED_INPUTS = ("seed", "noise_seed")


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class LoraFact(_Fact):
    """One LoRA and its strengths on model and text encoder."""

    name: str
    strength_model: float | None = None
    strength_clip: float | None = None

    @computed_field  # type: ignore[prop-decorator]  # pydantic documents it so
    @property
    def strength(self) -> float | None:
        """The strength on the model, under the name it has in a recipe."""
        return self.strength_model


class SamplerFact(_Fact):
    """The settings of one sampler; the seed in decimal, as it may exceed 2^53."""

    node: str
    seed: str | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    denoise: float | None = None


class GraphFacts(_Fact):
    """How the pictures of a graph came about. What comes from a link is left out."""

    model: str | None = None
    models: tuple[str, ...] = ()
    loras: tuple[LoraFact, ...] = ()
    samplers: tuple[SamplerFact, ...] = ()
    canvas_width: int | None = None
    canvas_height: int | None = None
    batch_size: int | None = None
    positive_texts: tuple[str, ...] = ()
    negative_texts: tuple[str, ...] = ()


def facts_of(graph: Graph) -> GraphFacts:
    """The facts a graph holds; recognised by the names of inputs, so that samplers and
    loaders of extensions count as well.
    """
    models = tuple(_texts_of(graph, _MODEL_INPUTS))
    canvas = _canvas_of(graph)
    return GraphFacts(
        model=models[0] if models else None,
        models=models,
        loras=tuple(_lora_of(node) for node in _nodes_with(graph, "lora_name")),
        samplers=tuple(_sampler_of(node) for node in graph.values() if _samples(node)),
        canvas_width=_whole(canvas, "width"),
        canvas_height=_whole(canvas, "height"),
        batch_size=_whole(canvas, "batch_size"),
        positive_texts=_encoded_texts(graph, "positive"),
        negative_texts=_encoded_texts(graph, "negative"),
    )


def workflow_hash(graph: Graph) -> str:
    """SHA-256 in hex of the graph in canonical JSON: the order of nodes and inputs is no matter.

    >>> workflow_hash({"1": {"a": 1, "b": 2}}) == workflow_hash({"1": {"b": 2, "a": 1}})
    True
    """
    canonical = json.dumps(graph, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _samples(node: Node) -> bool:
    return "sampler_name" in node["inputs"] and "steps" in node["inputs"]


def _sampler_of(node: Node) -> SamplerFact:
    seeds = (_whole(node, name) for name in _SEED_INPUTS)
    seed = next((seed for seed in seeds if seed is not None), None)
    return SamplerFact(
        node=title_of(node),
        seed=None if seed is None else str(seed),
        steps=_whole(node, "steps"),
        cfg=_number(node, "cfg"),
        sampler=_text(node, "sampler_name"),
        scheduler=_text(node, "scheduler"),
        denoise=_number(node, "denoise"),
    )


def _lora_of(node: Node) -> LoraFact:
    return LoraFact(
        name=_text(node, "lora_name") or "",
        strength_model=_number(node, "strength_model"),
        strength_clip=_number(node, "strength_clip"),
    )


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


def _nodes_with(graph: Graph, name: str) -> Iterator[Node]:
    return (node for node in graph.values() if _text(node, name) is not None)


def _texts_of(graph: Graph, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        for node in graph.values():
            if text := _text(node, name):
                yield text


def _text(node: Node, name: str) -> str | None:
    value: JsonValue = node["inputs"].get(name)
    return value if isinstance(value, str) else None


def _whole(node: Node | None, name: str) -> int | None:
    value: JsonValue = node["inputs"].get(name) if node else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(node: Node, name: str) -> float | None:
    value: JsonValue = node["inputs"].get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
