"""ComfyUI's executed graph: what made the file, read back from the node that saved it.

A graph holds more than what made the file: previews, keyframes, branches that a switch leaves
out, a second prompt that is not connected. So everything here is reached from the saving node.
Source: ComfyUI 0.33.0, its nodes and those of the packs that `node_rules.toml` names.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from anime.assets.metadata.graph_loras import LoraReader
from anime.assets.metadata.graph_values import GraphValues, Origin
from anime.assets.metadata.node_rules import NodeRule, names_of, rule_of
from anime.assets.metadata.recipe import LoraUse, SamplerUse, Sampling
from anime.assets.metadata.saving_nodes import SavedFile, saving_nodes
from anime.core.graphs import Graph, Node, is_link, title_of
from anime.core.ids import MAX_SEED
from anime.core.paths import FileKind

_MAX_PATHS = 16  # ways back from the saved file to what it began with
_MAX_CHAIN = 64  # samplers, each refining what the one before has made
_CANVAS_LENGTHS = frozenset(
    {"length", "num_frames", "video_frames", "frame_count", "batch_size", "frames_number"}
)
_BESIDE = re.compile(
    r"model|clip|vae|positive|negative|cond|control|mask|ref|style|start|end|first|last|prompt|"
    r"guid|seed|lora|noise|sigma|sampler|sched|embed|token|depth|pose|width|height|fps|rate|steps"
)
_UNNAMED = "unnamed"  # what a node of an unknown class may be given a picture by
_MEDIA = ("latent", "picture", "sound", _UNNAMED)
_NUMBERED = re.compile(r"_?\d+$")
_NOBODY = "disable"

T = TypeVar("T", str, int, float)


class _Step(NamedTuple):
    """A node that makes a picture, film or sound: of noise, or of a prompt by itself."""

    node_id: str
    node: Node
    rule: NodeRule


@dataclass(slots=True)
class _Encoded:
    """What the conditionings that reach an input say."""

    texts: list[str]
    lyrics: str | None = None
    guidance: float | None = None

    @property
    def text(self) -> str | None:
        return "\n".join(dict.fromkeys(self.texts)) or None


def sampling_of(graph: Graph, saved: SavedFile | None = None) -> Sampling | None:
    """What made a file that the graph has saved; None when nothing in it makes one.

    Where several nodes may have saved it, only what is the same for all of them is said.
    """
    return GraphReader(graph).sampling_of(saved or SavedFile())


class GraphReader:
    """Reads one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._values = GraphValues(graph)
        self._loras = LoraReader(self._values)

    def sampling_of(self, saved: SavedFile) -> Sampling | None:
        """What made the file; None when nothing in the graph did."""
        chains: list[list[_Step]] = []
        for node_ids in saving_nodes(self._graph, self._values, saved):
            ends = self._makers(list(node_ids), saved.kind)
            chains = [chain for end in ends for chain in self._chains(end, saved.kind)]
            if chains:
                break
        said = [self._of_chain(chain) for chain in chains[:_MAX_PATHS]]
        return reduce(Sampling.agreed_with, said) if said else None

    def _makers(self, begin: Sequence[str], kind: FileKind | None) -> list[_Step]:
        """The nearest nodes back from these that make something, themselves included."""
        found, waiting, reached = [], list(begin), set(begin)
        for node_id in waiting:  # grows while it is walked
            node = self._graph.get(node_id)
            if node is None:
                continue
            step = _Step(node_id, node, rule_of(node["class_type"]))
            if self._makes(step):
                found.append(step)
                continue
            for before in self._before(step, kind):
                if before not in reached:
                    reached.add(before)
                    waiting.append(before)
        return found

    def _chains(self, end: _Step, kind: FileKind | None) -> Iterator[list[_Step]]:
        """The samplers whose work ends in that one, the first of each chain first."""
        waiting = [[end]]
        while waiting:
            chain = waiting.pop()
            earlier: list[_Step] = []
            if len(chain) < _MAX_CHAIN and len(waiting) < _MAX_PATHS and self._refines(chain[0]):
                before = list(self._before(chain[0], kind))
                known = {step.node_id for step in chain}
                earlier = [each for each in self._makers(before, kind) if each.node_id not in known]
            if not earlier:
                yield chain
            waiting += [[each, *chain] for each in earlier]

    def _makes(self, step: _Step) -> bool:
        return self._samples(step) or self._generates(step)

    def _samples(self, step: _Step) -> bool:
        if step.rule.sampler is not None:
            return step.rule.sampler
        inputs = step.node["inputs"]
        is_guided = any(
            is_link(inputs.get(name))
            for name in ("positive", "guider", "text_embeds", "hyvid_embeds", *names_of("pipe"))
        )
        return is_guided and ("steps" in inputs or "sigmas" in inputs)

    def _generates(self, step: _Step) -> bool:
        inputs = step.node["inputs"]
        is_like_partners = "prompt" in inputs and "seed" in inputs
        is_like_partners = is_like_partners and isinstance(inputs.get("model"), str)
        return step.rule.generator or (is_like_partners and not step.rule.opaque)

    def _refines(self, step: _Step) -> bool:
        """Whether a sampler goes on with a picture, rather than making it anew of noise."""
        if not self._samples(step):
            return False
        inputs = step.node["inputs"]
        if inputs.get("add_noise") in {_NOBODY, False}:
            return True
        if (start := self._values.number(inputs.get("start_at_step"), int)) is not None:
            return start > 0
        denoise = self._values.number(inputs.get("denoise"), float)
        if denoise is None and is_link(inputs.get("sigmas")):
            noise = self._values.origin(inputs.get("noise"), "noise")
            if noise is not None and noise.node["class_type"] == "DisableNoise":
                return True
            sigmas = self._values.origin(inputs["sigmas"], "sigmas")
            held = sigmas.node["inputs"].get("denoise") if sigmas else None
            denoise = self._values.number(held, float)
        return denoise is None or denoise < 1

    def _before(self, step: _Step, kind: FileKind | None) -> Iterator[str]:
        """The nodes that a node has its latent, picture or sound from."""
        for link, role in self._media_links(step.node, kind):
            origin = self._values.origin(link, role)
            if origin is not None:
                yield origin.node_id

    def _media_links(self, node: Node, kind: FileKind | None) -> Iterator[tuple[JsonValue, str]]:
        """The links by which a picture comes; none into a node that begins a latent."""
        inputs = node["inputs"]
        if "width" in inputs and _CANVAS_LENGTHS & inputs.keys() and not _has_latent(inputs):
            return
        links: dict[str, list[JsonValue]] = {role: [] for role in _MEDIA}
        for name, value in inputs.items():
            if is_link(value) and (role := _medium_of(name)):
                links[role].append(value)
        roles = ("sound", *_MEDIA) if kind is FileKind.AUDIO else _MEDIA
        role = next((each for each in roles if links[each]), _UNNAMED)
        yield from ((link, role) for link in links[role])

    def _of_chain(self, chain: Sequence[_Step]) -> Sampling:
        """What a chain of samplers says: its first one, and beside it all of them."""
        first = self._of_step(chain[0])
        if len(chain) == 1:
            return first
        rest = [self._of_step(step) for step in chain[1:]]
        whole = [first, *rest]
        loras = {lora.name: lora for each in reversed(whole) for lora in reversed(each.loras)}
        return first.model_copy(
            update={
                "samplers": tuple(use for each in whole for use in each.samplers),
                "models": tuple(dict.fromkeys(name for each in whole for name in each.models)),
                "loras": tuple(reversed(loras.values())),
            }
        )

    def _of_step(self, step: _Step) -> Sampling:
        return self._of_sampler(step) if self._samples(step) else self._of_generator(step)

    def _of_sampler(self, step: _Step) -> Sampling:
        parts = self._parts(step)
        positive_at, negative_at = (
            self._guided_by(parts, each) for each in ("positive", "negative")
        )
        positive = self._conditioning(positive_at, "positive")
        is_shared = self._is_same(positive_at, negative_at)
        negative = self._conditioning(negative_at, "negative", is_shared=is_shared)
        models, loras = self._models(parts)
        width, height = self._canvas(step)
        seed, steps = self._setting(parts, "seed", int), self._setting(parts, "steps", int)
        if seed is not None and not 0 <= seed <= MAX_SEED:
            seed = None
        said = Sampling(
            prompt=positive.text,
            negative_prompt=negative.text,
            seed=seed,
            model=models[0] if models else None,
            loras=loras,
            sampler=self._setting(parts, "sampler", str),
            scheduler=self._setting(parts, "scheduler", str),
            steps=steps,
            cfg=self._setting(parts, "cfg", float),
            cfg_second=self._setting(parts, "cfg_second", float),
            guidance=positive.guidance or self._setting(parts, "guidance", float),
            lyrics=positive.lyrics,
            width=width,
            height=height,
            models=models,
        )
        use = SamplerUse(
            node=title_of(step.node),
            seed=None if seed is None else str(seed),
            steps=said.steps,
            cfg=said.cfg,
            sampler=said.sampler,
            scheduler=said.scheduler,
            denoise=self._setting(parts, "denoise", float),
        )
        return said.model_copy(update={"samplers": (use,)})

    def _of_generator(self, step: _Step) -> Sampling:
        """What a node says that makes a file of a prompt by itself.

        The inputs that come with a choice are named after it: `model.prompt`.
        """
        nested = {name.rpartition(".")[2]: value for name, value in step.node["inputs"].items()}
        node = {**step.node, "inputs": {**nested, **step.node["inputs"]}}

        def text(role: str) -> str | None:
            return self._values.text(self._values.own(node, step.rule, role), "value") or None

        model = self._setting([(node, step.rule)], "model_file", str)
        return Sampling(
            prompt=text("prompt"),
            negative_prompt=text("negative_text"),
            seed=_seed(self._setting([(node, step.rule)], "seed", int)),
            model=model,
            models=(model,) if model else (),
            steps=self._setting([(node, step.rule)], "steps", int),
            cfg=self._setting([(node, step.rule)], "cfg", float),
            guidance=self._setting([(node, step.rule)], "guidance", float),
            lyrics=text("lyrics"),
        )

    def _parts(self, step: _Step) -> list[tuple[Node, NodeRule]]:
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
            for name in rule.inputs.get(role) or names:
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

    def _conditioning(self, begin: JsonValue, role: str, *, is_shared: bool = False) -> _Encoded:
        """The texts whose encoding reaches an input, each once, the nearest first."""
        found = _Encoded([begin] if isinstance(begin, str) and begin else [])
        waiting, reached = [(begin, role)], set()
        for value, asked in waiting:  # grows while it is walked
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
                waiting += self._passed_on(origin, side)
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
        return [text for text in texts if text]

    def _passed_on(self, origin: Origin, side: str) -> Iterator[tuple[JsonValue, str]]:
        """The conditionings that a node makes its own from, each with its side.

        Of a node with both sides, the first output is the positive one.
        """
        inputs = origin.node["inputs"]
        if names := origin.rule.inputs.get(side):
            yield from ((link, side) for link in self._values.links(origin.node, names))
            return
        if is_link(inputs.get("positive")) and is_link(inputs.get("negative")):
            if not origin.rule.outputs and origin.slot in {0, 1}:
                side = ("positive", "negative")[origin.slot]
            yield inputs[side], side
            return
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
        yield from ((link, side) for link in links or self._pipes(origin.node, origin.rule))

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

    def _canvas(self, step: _Step) -> tuple[int | None, int | None]:
        """Width and height of the latent that a sampler begins with, in pixels."""
        waiting, reached = [step.node_id], {step.node_id}
        for node_id in waiting:  # grows while it is walked
            node = self._graph[node_id]
            width, height = (
                self._setting([(node, rule_of(node["class_type"]))], name, int)
                for name in ("width", "height")
            )
            if width is not None and height is not None:
                return width, height
            links = [
                value
                for name, value in node["inputs"].items()
                if is_link(value) and ("latent" in name or "embeds" in name or name in _INTO_LATENT)
            ]
            for link in links or (self._pipes(node, rule_of(node["class_type"]))):
                origin = self._values.origin(link, "latent")
                if origin is not None and origin.node_id not in reached:
                    reached.add(origin.node_id)
                    waiting.append(origin.node_id)
        return None, None


_INTO_LATENT = frozenset({"samples", "pixels", "image"})


def _seed(seed: int | None) -> int | None:
    return seed if seed is not None and 0 <= seed <= MAX_SEED else None


def _has_latent(inputs: dict[str, JsonValue]) -> bool:
    return any(is_link(inputs.get(name)) for name in names_of("latent"))


@lru_cache(maxsize=4096)
def _medium_of(name: str) -> str | None:
    """What an input brings by its name: a latent, a picture, a sound, something beside them.

    Numbered inputs and those of a list bring what their name without it does.
    """
    last = name.rpartition(".")[2]
    names = (name, last, _NUMBERED.sub("", last))
    for role in _MEDIA[:-1]:
        if any(each in names_of(role) for each in names):
            return role
    return None if _BESIDE.search(name) else _UNNAMED
