"""What one node of a graph was set to: a sampler with all that it is put together from, or a node
that makes a file of a prompt by itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pydantic import JsonValue

from anime.assets.metadata.graph_loras import LoraReader
from anime.assets.metadata.graph_values import GraphValues, Origin
from anime.assets.metadata.node_rules import NodeRule, names_of, rule_of
from anime.assets.metadata.recipe import LoraUse, SamplerUse, Sampling
from anime.core.graphs import Graph, Node, is_link, title_of
from anime.core.ids import MAX_SEED

_PROMPT_PART = re.compile(r"text\d{1,2}|storyboard_\d{1,2}_prompt")  # of several shots or speakers
_MAX_BEFORE = 256  # nodes between a sampler and its empty latent
_LATENT_PX = 8  # pixels that a latent has in one
_INTO_LATENT = frozenset({"samples", "pixels", "image"})

_GUIDED = ("positive", "guider", "text_embeds", "hyvid_embeds", "conditioning")

T = TypeVar("T", str, int, float)


@dataclass(slots=True)
class _Encoded:
    """What the conditionings that reach an input say."""

    texts: list[str]
    lyrics: str | None = None
    guidance: float | None = None

    @property
    def text(self) -> str | None:
        return "\n".join(dict.fromkeys(self.texts)) or None


def samples(step: Origin) -> bool:
    """Whether a node makes a latent or picture of noise."""
    if step.rule.sampler is not None:
        return step.rule.sampler
    inputs = step.node["inputs"]
    if "steps" not in inputs and "sigmas" not in inputs:
        return False
    return any(is_link(inputs.get(name)) for name in (*_GUIDED, *names_of("pipe")))


class StepReader:
    """Reads single nodes of one graph."""

    def __init__(self, graph: Graph, values: GraphValues) -> None:
        self._graph = graph
        self._values = values
        self._loras = LoraReader(values)

    def sampling_of(self, step: Origin) -> Sampling:
        """What one node says of what it has made."""
        return self._of_sampler(step) if samples(step) else self._of_generator(step)

    def _of_sampler(self, step: Origin) -> Sampling:
        parts = self._parts(step)
        positive_at, negative_at = (
            self._guided_by(parts, each) for each in ("positive", "negative")
        )
        positive = self._conditioning(positive_at, "positive")
        is_shared = self._is_same(positive_at, negative_at)
        is_bundle = is_link(positive_at) and positive_at is negative_at  # one input brings both
        negative = self._conditioning(
            negative_at, "negative", is_shared=is_shared, is_bundle=is_bundle
        )
        second = next((n["inputs"]["cond2"] for n, _ in parts if "cond2" in n["inputs"]), None)
        if second is not None and (is_shared or negative.text == positive.text):  # as of HiDream
            negative = self._conditioning(second, "negative")
        models, loras = self._models(parts)
        width, height = self._canvas(step)
        seed = _seed(self._setting(parts, "seed", int))
        use = SamplerUse(
            node=title_of(step.node),
            seed=None if seed is None else str(seed),
            steps=self._setting(parts, "steps", int),
            cfg=self._setting(parts, "cfg", float),
            sampler=self._setting(parts, "sampler", str),
            scheduler=self._setting(parts, "scheduler", str),
            denoise=self._setting(parts, "denoise", float),
        )
        return Sampling(
            prompt=positive.text,
            negative_prompt=negative.text,
            seed=seed,
            model=models[0] if models else None,
            loras=loras,
            sampler=use.sampler,
            scheduler=use.scheduler,
            steps=use.steps,
            cfg=use.cfg,
            cfg_second=self._setting(parts, "cfg_second", float),
            guidance=positive.guidance or self._setting(parts, "guidance", float),
            lyrics=positive.lyrics,
            width=width,
            height=height,
            models=models,
            samplers=(use,),
        )

    def _of_generator(self, step: Origin) -> Sampling:
        """What a node says that makes a file of a prompt by itself.

        The inputs that come with a choice are named after it: `model.prompt`.
        """
        nested = {name.rpartition(".")[2]: value for name, value in step.node["inputs"].items()}
        node = {**step.node, "inputs": {**nested, **step.node["inputs"]}}

        def text(role: str) -> str | None:
            return self._values.text(self._values.own(node, step.rule, role), "value") or None

        shots = sorted(name for name in nested if _PROMPT_PART.fullmatch(name))
        prompts = (self._values.text(nested[name], "value") for name in shots)
        model = self._setting([(node, step.rule)], "model_file", str)
        return Sampling(
            prompt=text("prompt") or "\n".join(each for each in prompts if each) or None,
            negative_prompt=text("negative_text"),
            seed=_seed(self._setting([(node, step.rule)], "seed", int)),
            model=model,
            models=(model,) if model else (),
            steps=self._setting([(node, step.rule)], "steps", int),
            cfg=self._setting([(node, step.rule)], "cfg", float),
            guidance=self._setting([(node, step.rule)], "guidance", float),
            lyrics=text("lyrics"),
        )

    def _parts(self, step: Origin) -> list[tuple[Node, NodeRule]]:
        """A sampler and the nodes that it is put together from: guider, noise, sigmas, pipe."""
        found, waiting, reached = [], [(step.node, step.rule)], {step.node_id}
        for node, rule in waiting:  # grows while it is walked
            found.append((node, rule))
            for name in names_of("parts"):
                origin = self._values.origin(node["inputs"].get(name), name)
                if origin is not None and origin.node_id not in reached:
                    reached.add(origin.node_id)
                    waiting.append((origin.node, origin.rule))
        return found

    def _setting(
        self, parts: Sequence[tuple[Node, NodeRule]], role: str, kind: type[T]
    ) -> T | None:
        """The first value for a role that a part has, itself or by its pipe."""
        names = names_of(role)
        for node, rule in parts:
            inputs = node["inputs"]
            for name in rule.inputs.get(role, names):
                value = inputs.get(name)
                if value is None:
                    continue  # as of most nodes and names: a sweep asks this of every file
                found = self._values.number(value, kind, names)
                if found is not None:
                    return found
            for pipe in self._pipes(node, rule):
                found = self._values.number(self._in_pipe(pipe, role), kind, names)
                if found is not None:
                    return found
        return None

    def _pipes(self, node: Node, rule: NodeRule) -> list[JsonValue]:
        return self._values.links(node, rule.pipe or names_of("pipe"))

    def _in_pipe(self, pipe: JsonValue, role: str) -> JsonValue:
        """What a bundle holds for a role, a literal or a link."""
        graph, reached = self._graph, set()
        while isinstance(pipe, list) and is_link(pipe) and pipe[0] not in reached:
            reached.add(pipe[0])
            node = graph.get(str(pipe[0]))
            if node is None:
                return None
            rule = rule_of(node["class_type"])
            own = self._values.own(node, rule, role)
            if own is not None:
                return own
            pipe = next(iter(self._pipes(node, rule)), None)
        return None

    def _guided_by(self, parts: Sequence[tuple[Node, NodeRule]], role: str) -> JsonValue:
        """The input that a sampler, its guider or its pipe has its conditioning from."""
        for node, rule in parts:
            own = self._values.own(node, rule, role)
            if own is not None:
                return own
        for node, rule in parts:
            for pipe in self._pipes(node, rule):
                return pipe
        return None

    def _is_same(self, positive_at: JsonValue, negative_at: JsonValue) -> bool:
        """Whether both sides come from one output, which then has to hold both."""
        positive = self._values.origin(positive_at, "positive")
        negative = self._values.origin(negative_at, "negative")
        return (
            positive is not None
            and negative is not None
            and ((positive.node_id, positive.slot) == (negative.node_id, negative.slot))
        )

    def _conditioning(
        self, begin: JsonValue, role: str, *, is_shared: bool = False, is_bundle: bool = False
    ) -> _Encoded:
        """The texts whose encoding reaches an input, each once, in the order of the inputs."""
        found = _Encoded([begin] if isinstance(begin, str) and begin else [])
        waiting, reached = [(begin, role)], set()
        while waiting:
            value, asked = waiting.pop()
            origin = self._values.origin(value, asked)
            if origin is None or (origin.node_id, origin.role) in reached or origin.rule.silent:
                continue
            reached.add((origin.node_id, origin.role))
            side = origin.role if origin.role in {"positive", "negative"} else asked
            if side == "positive":
                self._add_beside(found, origin)
            texts = self._texts_at(origin, side, is_shared=is_shared)
            found.texts += texts
            if not texts:
                waiting += reversed(self._passed_on(origin, side, is_bundle=is_bundle))
                is_shared = is_shared and not _has_sides(origin.node)
        return found

    def _add_beside(self, found: _Encoded, origin: Origin) -> None:
        inputs = origin.node["inputs"]
        if found.guidance is None and "guidance" in inputs:
            found.guidance = self._values.number(inputs["guidance"], float, ("guidance",))
        if found.lyrics is None and "lyrics" in inputs:
            found.lyrics = self._values.text(inputs["lyrics"], "value")

    def _texts_at(self, origin: Origin, side: str, *, is_shared: bool) -> list[str]:
        """The texts that a node encodes for a side."""
        node, rule = origin.node, origin.rule
        role = f"{side}_text"
        names = rule.inputs.get(role)
        if names is None:
            has_both = any(name in node["inputs"] for name in names_of("negative_text"))
            if side == "negative" and is_shared and not has_both:
                return []
            names = names_of(role if has_both and side == "negative" else "positive_text")
        held = (node["inputs"].get(name) for name in names)
        texts = (self._values.text(each, role) for each in held if each is not None)
        return [text for text in texts if text and not text.isspace()]

    def _passed_on(
        self, origin: Origin, side: str, *, is_bundle: bool
    ) -> list[tuple[JsonValue, str]]:
        """The conditionings that a node makes its own from, each with its side.

        Of a node with both sides, the first output is the positive one, unless it is a bundle, or
        the node is given a model, too, which then comes first.
        """
        inputs = origin.node["inputs"]
        if names := origin.rule.inputs.get(side):
            return [(link, side) for link in self._values.links(origin.node, names)]
        if _has_sides(origin.node):
            is_bundle = is_bundle or is_link(inputs.get("model"))
            if not origin.rule.outputs and origin.slot in {0, 1} and not is_bundle:
                side = ("positive", "negative")[origin.slot]
            return [(inputs[side], side)]
        averaged = self._values.number(inputs.get("conditioning_to_strength"), float)
        unheard = {1.0: "conditioning_from", 0.0: "conditioning_to"}.get(averaged or -1.0)
        if averaged == 0.0:
            unheard = "conditioning_to"
        names = tuple(names_of(side))
        links = [
            value
            for name, value in inputs.items()
            if is_link(value)
            and name != unheard
            and (name in names or name.startswith("conditioning") or name in {side, ""})
        ]
        return [(link, side) for link in links or self._pipes(origin.node, origin.rule)]

    def _models(
        self, parts: Sequence[tuple[Node, NodeRule]]
    ) -> tuple[tuple[str, ...], tuple[LoraUse, ...]]:
        """The models that a sampler draws with, and the LoRAs in the order in which they act."""
        for node, rule in parts:
            begin = self._model_links(node, rule)
            if begin or any(isinstance(node["inputs"].get(n), str) for n in ("ckpt_name",)):
                return self._loaded(begin)
        return (), ()

    def _model_links(self, node: Node, rule: NodeRule) -> list[JsonValue]:
        names = rule.inputs.get("model") or names_of("model")
        return self._values.links(node, names) or self._pipes(node, rule)

    def _loaded(self, begin: list[JsonValue]) -> tuple[tuple[str, ...], tuple[LoraUse, ...]]:
        models: list[str] = []
        loras: list[list[LoraUse]] = []
        waiting, reached = list(begin), set()
        for link in waiting:  # grows while it is walked
            origin = self._values.origin(link, "model")
            if origin is None or origin.node_id in reached:
                continue
            reached.add(origin.node_id)
            loras.append(self._loras.of_node(origin.node, origin.rule))
            file = self._model_file(origin)
            if file is not None:
                models.append(file)
            waiting += self._model_links(origin.node, origin.rule)
        return tuple(dict.fromkeys(models)), tuple(use for uses in reversed(loras) for use in uses)

    def _model_file(self, origin: Origin) -> str | None:
        inputs = origin.node["inputs"]
        if self._values.links(origin.node, names_of("model")):
            return None  # what it loads is a patch for the model that it is given
        for name in names_of("model_file"):
            value = inputs.get(name)
            if value is None or (name == "model" and not isinstance(value, str)):
                continue
            file = self._values.number(value, str, (name,))
            if file and file != "None":
                return file
        return None

    def _canvas(self, step: Origin) -> tuple[int | None, int | None]:
        """Width and height of the latent that a sampler begins with, in pixels."""
        waiting, reached = [step.node_id], {step.node_id}
        for node_id in islice(waiting, _MAX_BEFORE):  # grows while it is walked
            node = self._graph[node_id]
            if (size := self._size_at(node)) is not None:
                return size
            links = [
                value
                for name, value in node["inputs"].items()
                if isinstance(value, list)
                and is_link(value)
                and ("latent" in name or "embeds" in name or name in _INTO_LATENT)
            ]
            for link in links or (self._pipes(node, rule_of(node["class_type"]))):
                origin = self._values.origin(link, "latent")
                if origin is not None and origin.node_id not in reached:
                    reached.add(origin.node_id)
                    waiting.append(origin.node_id)
        return None, None

    def size_of(self, step: Origin) -> tuple[int, int] | None:
        """Width and height of what a sampler gives; None unless its latent is made of that size."""
        for _ in range(_MAX_BEFORE):
            if (size := self._size_at(step.node)) is not None:
                return size[0] // _LATENT_PX * _LATENT_PX, size[1] // _LATENT_PX * _LATENT_PX
            links = self._values.links(step.node, names_of("latent")) if samples(step) else []
            before = self._values.origin(links[0], "latent") if links else None
            if before is None:
                return None
            step = before
        return None

    def _size_at(self, node: Node) -> tuple[int, int] | None:
        parts = [(node, rule_of(node["class_type"]))]
        width, height = (self._setting(parts, name, int) for name in ("width", "height"))
        return None if width is None or height is None else (width, height)


def _has_sides(node: Node) -> bool:
    """Whether a node is given both sides apart."""
    return is_link(node["inputs"].get("positive")) and is_link(node["inputs"].get("negative"))


def _seed(seed: int | None) -> int | None:
    return seed if seed is not None and 0 <= seed <= MAX_SEED else None
