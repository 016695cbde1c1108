"""How a graph drew its pictures: read along the links of the sampler, not by guessing.

A graph holds more than what made the picture: a second prompt that is not connected, an upscaler's
seed, a LoRA that is bypassed. So everything here is reached from the sampler that ran first.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from anime.core.graphs import Graph, Node, is_link

_MAX_SAMPLERS = 8  # that are compared: in a graph of many, the first are as good as any
_MAX_CONSTANTS = 16  # nodes between an input and the one that holds its value
_MODELS = ("ckpt_name", "unet_name", "model_name")
_TEXTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt")
_LITERALS = ("value", "text", "string", "prompt", "seed", "noise_seed", "int", "float", "number")
_SILENCED = "ConditioningZeroOut"  # whatever text goes in, none comes out

T = TypeVar("T", str, int, float)


class LoraUse(BaseModel):
    """One LoRA, and how strongly it acts on the model."""

    model_config = ConfigDict(frozen=True)

    name: str
    strength: float | None = None


class Sampling(BaseModel):
    """What a picture was drawn with; None for what is not known."""

    model_config = ConfigDict(frozen=True)

    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    model: str | None = None
    loras: tuple[LoraUse, ...] = ()
    sampler: str | None = None
    scheduler: str | None = None
    steps: int | None = None
    cfg: float | None = None
    width: int | None = None
    height: int | None = None

    def filled_by(self, other: "Sampling") -> "Sampling":
        """The same, and what it leaves open as the other one says."""
        gaps = {name for name, value in self if value is None or value == ()}
        return self.model_copy(update={name: value for name, value in other if name in gaps})


def sampling_of(graph: Graph) -> Sampling | None:
    """What drew the pictures of a graph; None when nothing in it samples.

    Nodes are recognised by the names of their inputs, so that those of extensions count as well.
    """
    sampler = _first_sampler(graph)
    if sampler is None:
        return None
    parts = [sampler, *_upstream(graph, _links(sampler, _is_part), _is_part)]
    model, loras = _model_of(graph, parts)
    width, height = _canvas_of(graph, sampler)
    return Sampling(
        prompt=_text_of(graph, parts, ("positive", "conditioning")),
        negative_prompt=_text_of(graph, parts, ("negative",)),
        seed=_setting(graph, parts, ("seed", "noise_seed"), int),
        model=model,
        loras=loras,
        sampler=_setting(graph, parts, ("sampler_name",), str),
        scheduler=_setting(graph, parts, ("scheduler",), str),
        steps=_setting(graph, parts, ("steps",), int),
        cfg=_setting(graph, parts, ("cfg",), float),
        width=width,
        height=height,
    )


def _first_sampler(graph: Graph) -> Node | None:
    """The sampler that works on no other one's picture: the one a second pass refines."""
    samplers = [node for node in graph.values() if _samples(node)][:_MAX_SAMPLERS]
    for sampler in samplers if len(samplers) > 1 else ():
        before = {id(node) for node in _upstream(graph, _links(sampler), lambda _: True)}
        if not any(id(other) in before for other in samplers if other is not sampler):
            return sampler
    return samplers[0] if samplers else None


def _samples(node: Node) -> bool:
    inputs = node["inputs"]
    is_guided = is_link(inputs.get("positive")) or is_link(inputs.get("guider"))
    return is_guided and ("steps" in inputs or "sigmas" in inputs)


def _setting(graph: Graph, parts: list[Node], names: tuple[str, ...], kind: type[T]) -> T | None:
    """The first value of a kind under one of the names, written there or in a node linked to it."""
    for part in parts:
        for name in names:
            value = part["inputs"].get(name)
            if value is None:
                continue  # as of most nodes and names: a sweep asks this of every file
            is_linked = is_link(value)
            found = _constant(graph, value[0], name, kind) if is_linked else _literal(value, kind)
            if found is not None:
                return found
    return None


def _constant(graph: Graph, node_id: str, name: str, kind: type[T]) -> T | None:
    """The value that a link brings to an input, from a node that holds just a value."""
    names = (name, *_LITERALS)
    sources = _upstream(graph, [node_id], names.__contains__)
    for source in islice(sources, _MAX_CONSTANTS):
        for each in names:
            found = _literal(source["inputs"].get(each), kind)
            if found is not None:
                return found
    return None


def _literal(value: JsonValue, kind: type[T]) -> T | None:
    if isinstance(value, bool):
        return None
    if kind is float and isinstance(value, int):
        return kind(value)
    return value if isinstance(value, kind) else None


def _text_of(graph: Graph, parts: list[Node], sides: tuple[str, ...]) -> str | None:
    """The texts whose encoding reaches an input, each once, a line each."""

    def carries_text(name: str) -> bool:
        return name in {*sides, ""} or name.startswith("conditioning")

    found: dict[str, None] = {}
    for part in parts:
        begin = _links(part, sides.__contains__)
        for node in _upstream(graph, begin, carries_text, stop_at=_SILENCED):
            texts = (_setting(graph, [node], (name,), str) for name in (*_TEXTS, *sides))
            found.update((text, None) for text in texts if text is not None)
    return "\n".join(found) if found else None


def _model_of(graph: Graph, parts: list[Node]) -> tuple[str | None, tuple[LoraUse, ...]]:
    """The checkpoint a sampler draws with, and the LoRAs on the way, in the order they act."""
    for part in parts:
        loras: list[LoraUse] = []
        for node in _upstream(graph, _links(part, _carries_model), _carries_model):
            loras += reversed(list(_loras_in(node)))
            model = _setting(graph, [node], _MODELS, str)
            if model is not None:
                return model, tuple(reversed(loras))
    return None, ()


def _is_part(name: str) -> bool:
    return name in {"guider", "noise", "sampler", "sigmas"}


def _carries_model(name: str) -> bool:
    return name in {"model", "model1", "unet", ""}


def _loras_in(node: Node) -> Iterator[LoraUse]:
    """The LoRA of a loader, or those of a loader with a list of them, as far as they are on."""
    inputs = node["inputs"]
    name = inputs.get("lora_name")
    if isinstance(name, str):
        strength = _literal(inputs.get("strength_model", inputs.get("strength")), float)
        yield LoraUse(name=name, strength=strength)
    for value in inputs.values():
        if isinstance(value, dict) and value.get("on") and isinstance(value.get("lora"), str):
            yield LoraUse(name=value["lora"], strength=_literal(value.get("strength"), float))


def _canvas_of(graph: Graph, sampler: Node) -> tuple[int | None, int | None]:
    """Width and height of the latent that a sampler begins with, in pixels."""
    begin = _links(sampler, lambda name: name.startswith("latent"))
    for node in _upstream(graph, begin, lambda name: not _carries_model(name)):
        width = _setting(graph, [node], ("width",), int)
        height = _setting(graph, [node], ("height",), int)
        if width is not None and height is not None:
            return width, height
    return None, None


def _upstream(
    graph: Graph,
    begin: list[str],
    follow: Callable[[str], bool],
    *,
    stop_at: str | None = None,
) -> Iterator[Node]:
    """The nodes from which something comes, the nearest first, through inputs worth following."""
    waiting, reached = list(begin), set(begin)
    for node_id in waiting:  # grows while it is walked
        node = graph.get(node_id)
        if node is None or node["class_type"] == stop_at:
            continue
        yield node
        further = [each for each in _links(node, follow) if each not in reached]
        reached.update(further)
        waiting += further


def _links(node: Node, follow: Callable[[str], bool] = lambda _: True) -> list[str]:
    """The ids of the nodes that a node's inputs are linked to."""
    return [value[0] for name, value in node["inputs"].items() if follow(name) and is_link(value)]
