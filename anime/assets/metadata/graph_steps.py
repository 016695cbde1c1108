"""What one node of a graph was set to: a sampler with all that it is put together from, or a node
that makes a file of a prompt by itself.
"""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from anime.assets.metadata.graph_loras import LoraReader
from anime.assets.metadata.graph_values import GraphValues, Origin, has_wildcards
from anime.assets.metadata.node_rules import NodeRule, Refiner, names_of, rule_of
from anime.assets.metadata.preset_sizes import SIDES, is_custom, preset_size
from anime.assets.metadata.recipe import VARIABLE, LoraUse, SamplerUse, Sampling
from anime.core.graphs import Graph, Node, is_link, title_of
from anime.core.ids import MAX_SEED

_PROMPT_PART = re.compile(r"text\d{1,2}|storyboard_\d{1,2}_prompt")  # of several shots or speakers
_MAX_BEFORE = 256  # nodes between a sampler and its empty latent
_MAX_ENCODERS = 32  # nodes that change what words are encoded with
_LATENT_PX = 8  # pixels that a latent has in one
_INTO_LATENT = frozenset({"samples", "pixels", "image"})

_PIPES, _GRIDS = frozenset(names_of("pipe")), frozenset(names_of("grid"))
_NEGATIVE_TEXT, _SEED = frozenset(names_of("negative_text")), frozenset(names_of("seed"))
_FILE_NAMES, _PICTURES = frozenset({"filename_prefix", "filename"}), frozenset({"images", "image"})
_SIDES = ("positive", "negative")
_APART = {
    side: [name for name in names_of(side) if name not in names_of(other)]
    for side, other in zip(_SIDES, reversed(_SIDES), strict=True)
}
_OF_EITHER = [name for name in names_of("positive") if name.startswith("cond")]
_READS_TEXTS = frozenset({"clip", "ckpt_name"})  # what a node encodes texts with
_ENTRY = re.compile(r'(:\s*")([^"]*)"')  # of a schedule of prompts: "24": "a kite"
_MAX_SIGMAS_CHARS = 4000  # of a text of dots, the time is the square
_SIZE = re.compile(r"(\d{1,5}) x (\d{1,5})\b")  # as a preset begins
_SIGMA = re.compile(r"[-+]?\d*\.*\d+")  # as ComfyUI finds them in a text
_FILLED_IN = "populated_text"  # what a node has made of its wildcards
_OF_LIST = re.compile("[,\n]")  # between names of which each picture has one
_SAME_MODEL = "(use same)"
_NO_FILE = ("None", "none")
_GUIDES, _DRAWS_WITH = re.compile("cond|embed|prompt"), re.compile("model|pipe|unet|transformer")
_GUIDED = ("positive", "guider", "text_embeds", "hyvid_embeds", "conditioning", *names_of("pipe"))

T = TypeVar("T", str, int, float)


@dataclass(slots=True)
class _Encoded:
    """What the conditionings that reach an input say."""

    texts: list[str]
    lyrics: str | None = None
    guidance: float | None = None
    is_whole: bool = True  # no part of them is unknown
    is_unguided: bool = False  # whatever guidance it had before
    loras: list[LoraUse] = field(default_factory=list)
    encoders: list[tuple[str, int]] = field(default_factory=list)  # by node and output

    def add(self, other: "_Encoded") -> None:
        """Put in what the conditionings of a part of the picture say."""
        self.texts += other.texts
        self.loras += other.loras
        self.is_whole = self.is_whole and other.is_whole

    @property
    def text(self) -> str | None:
        return ("\n".join(dict.fromkeys(self.texts)) or None) if self.is_whole else None


class _Loaded(NamedTuple):
    """What a sampler draws with: the first model unless one of them is unknown, all that are known,
    and the LoRAs in the order in which they act.
    """

    model: str | None
    models: tuple[str, ...]
    loras: tuple[LoraUse, ...]
    regions: tuple[JsonValue, ...] = ()  # the conditionings of parts of the picture


def samples(step: Origin) -> bool:
    """Whether a node makes a latent or picture of noise."""
    inputs = step.node["inputs"]
    rule = step.rule
    if rule.when:  # as of few nodes: a sweep asks this of every node
        rule = rule.known(inputs) or rule
    if rule.sampler is not None:
        return rule.sampler
    if ("steps" not in inputs and "sigmas" not in inputs) or is_told(step):
        return False
    if inputs.get("denoise") == 0:  # it hands on what it was given
        return False
    if any(name in inputs and is_link(inputs[name]) for name in _GUIDED):
        return True
    if rule.classes or _SEED.isdisjoint(inputs):
        return False
    given = " ".join(name for name, value in inputs.items() if is_link(value))
    return bool(_DRAWS_WITH.search(given) and _GUIDES.search(given))  # of a pack of its own


def is_told(step: Origin) -> bool:
    """Whether a node saves pictures and writes into them settings that it is told."""
    inputs = step.node["inputs"]
    return not _FILE_NAMES.isdisjoint(inputs) and not _PICTURES.isdisjoint(inputs)


class StepReader:
    """Reads single nodes of one graph."""

    def __init__(self, graph: Graph, values: GraphValues, *, is_measured: bool = False) -> None:
        """The size of what was made is not looked for if it `is_measured` in the file."""
        self._graph = graph
        self._is_measured = is_measured
        self._values = values
        self._loras = LoraReader(values)
        self._part_lists: dict[str, list[tuple[Node, NodeRule]]] = {}  # by node

    def sampling_of(self, step: Origin) -> Sampling:
        """What one node says of what it has made."""
        return self._of_sampler(step) if samples(step) else self._of_generator(step)

    def positive_of(self, step: Origin) -> Origin | None:
        """The node that a sampler, its guider or its pipe has its positive side from."""
        own = step.node["inputs"].get("positive") or self._guided_by(self._parts(step), "positive")
        return self._values.origin(own, "positive")

    def scripts(self, step: Origin) -> list[Origin]:
        """The scripts of Efficiency Nodes that add passes to a sampler, in the order of these.

        That is one of their own: that of their names.
        """
        if "script" not in step.node["inputs"]:
            return []  # as of most samplers: a sweep asks this of every file
        found: dict[str, Origin] = {}
        origin = self._values.origin(step.node["inputs"]["script"], "script")
        while origin is not None and origin.node["class_type"] not in found:
            found[origin.node["class_type"]] = origin
            origin = self._values.origin(origin.node["inputs"].get("script"), "script")
        known = [found[name] for name in sorted(found) if samples(found[name])]
        return [each for each in known if each.node["inputs"].get("denoise") != 0]

    def further(self, step: Origin, said: Sampling) -> list[Sampling]:
        """The passes that a sampler, which has said that, makes beside its first one."""
        refined = [] if step.rule.refiner is None else self._refined(step, step.rule.refiner, said)
        return [*refined, *(self._by_script(each, said) for each in self.scripts(step))]

    def _by_script(self, script: Origin, said: Sampling) -> Sampling:
        rule = script.rule.known(script.node["inputs"]) or script.rule
        part = [(script.node, rule)]
        changes: dict[str, JsonValue] = {
            "node": title_of(script.node),
            "steps": self._setting(part, "steps", int),
            "denoise": self._setting(part, "denoise", float),
        }
        if "seed" not in rule.inputs:
            seed = _seed(self._setting(part, "seed", int))
            changes["seed"] = None if seed is None else str(seed)
        model = self._setting(part, "model_file", str)
        models = said.models if model in {None, _SAME_MODEL} else (str(model),)
        return said.next_pass(changes, models)

    def _refined(self, step: Origin, told: Refiner, said: Sampling) -> list[Sampling]:
        """The pass of a second model in a sampler, if it is known to begin."""
        part = [(step.node, step.rule)]
        if not self._is_refined(part, told, said.steps):
            return []
        own = self._values.links(step.node, told.model)
        pipes = self._pipes(step.node, step.rule)
        loaded = self._loaded(own) if own else self._loaded(pipes, "refiner_model")
        if not loaded.models:
            return []
        changes: dict[str, JsonValue] = {
            role: self._setting(part, name, float)
            for role, name in (("cfg", told.cfg), ("denoise", told.denoise))
            if name is not None
        }
        if told.steps is not None:
            changes["steps"] = self._setting(part, told.steps, int)
        return [said.next_pass(changes, loaded.models)]

    def _is_refined(
        self, part: Sequence[tuple[Node, NodeRule]], told: Refiner, steps: int | None
    ) -> bool:
        """Whether a second model is known to do some of the steps."""
        if told.begins is not None:
            begins = self._setting(part, told.begins, int)
            return begins is not None and steps is not None and -1 < begins < steps
        if told.share is not None:
            share = self._setting(part, told.share, float)
            return share is not None and share < 1
        left = self._setting(part, told.steps or told.ratio or "", float)
        return left is not None and left > 0

    def in_pipe_of(self, step: Origin, role: str) -> JsonValue:
        """What the pipe of a node holds for a role, a literal or a link."""
        pipe = next(iter(self._pipes(step.node, step.rule)), None)
        return self._in_pipe(pipe, role)

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
        is_alike = negative.is_whole and negative.text == positive.text
        if second is not None and (is_shared or is_alike):  # as of HiDream
            negative = self._conditioning(second, "negative")
        if (negative.encoders, negative.texts) == (positive.encoders, positive.texts):
            negative.texts = []  # what stands in for a side that is not used
        replaced = self._replaced(step)
        positive.is_whole = positive.is_whole and "replaced" not in replaced
        negative.is_whole = negative.is_whole and "replaced_negative" not in replaced
        for link in self._values.links(step.node, step.rule.regions):
            positive.add(self._conditioning(link, "positive"))
            negative.add(self._conditioning(link, "negative", is_shared=True, is_bundle=True))
        model, models, loras, regions = self._models(parts)
        for link in regions:
            positive.add(self._conditioning(link, "positive"))
        width, height = (None, None) if self._is_measured else self._canvas(step)
        seed = _seed(self._setting(parts, "seed", int))
        guidance = self._setting(parts[:1], "guidance", float)  # its own, whatever the words bring
        if guidance is None:
            guidance = positive.guidance
        if guidance is None and not positive.is_unguided:
            guidance = self._setting(parts, "guidance", float)
        use = SamplerUse(
            node=title_of(step.node),
            seed=None if seed is None else str(seed),
            steps=self._setting(parts, "steps", int),
            cfg=self._setting(parts, "cfg", float),
            sampler=self._named(parts, "sampler"),
            scheduler=self._named(parts, "scheduler"),
            denoise=self._setting(parts, "denoise", float),
        )
        said = Sampling(
            prompt=positive.text,
            negative_prompt=negative.text,
            seed=seed,
            model=model,
            loras=(*loras, *self._loras.of_node(step.node, step.rule), *positive.loras),
            sampler=use.sampler,
            scheduler=use.scheduler,
            steps=use.steps,
            cfg=use.cfg,
            cfg_second=self._setting(parts, "cfg_second", float),
            guidance=guidance,
            lyrics=positive.lyrics,
            width=width,
            height=height,
            models=models,
            samplers=(use,),
        )
        return said.of_grid(self._varied(step))

    def _replaced(self, step: Origin) -> Sequence[str]:
        """Of which sides a sampler, or its pipe, has other words instead, or further ones."""
        if self._values.own(step.node, step.rule, "replaced"):
            return ["replaced"]
        if not self._pipes(step.node, step.rule):
            return []
        return [role for role in ("replaced", "replaced_negative") if self.in_pipe_of(step, role)]

    def _varied(self, step: Origin) -> frozenset[str]:
        """What differs between the pictures that a sampler makes, if it makes a grid of them."""
        if _GRIDS.isdisjoint(step.node["inputs"]) and not step.rule.pipe:
            return frozenset()  # as of most samplers: a sweep asks this of every file
        names = (*names_of("grid"), *step.rule.pipe)
        waiting, reached = self._values.links(step.node, names), {step.node_id}
        varied: frozenset[str] = frozenset()
        for link in waiting:  # grows while it is walked
            node_id = link[0] if is_link(link) else ""
            node = self._graph.get(node_id)
            if node is not None and node_id not in reached:
                reached.add(node_id)
                rule = rule_of(node["class_type"])
                varied |= VARIABLE if "*" in rule.varies else rule.varies
                waiting += self._bundles(node, rule, (*names_of("grid"), *rule.pipe))
        return varied

    def _of_generator(self, step: Origin) -> Sampling:
        """What a node says that makes a file of a prompt by itself.

        The inputs that come with a choice are named after it: `model.prompt`.
        """
        nested = {name.rpartition(".")[2]: value for name, value in step.node["inputs"].items()}
        node = {**step.node, "inputs": {**nested, **step.node["inputs"]}}

        pipe = next(iter(self._pipes(node, step.rule)), None)

        def text(role: str) -> str | None:
            held = self._values.own(node, step.rule, role)
            held = self._in_pipe(pipe, role) if held is None else held
            return self._values.text(held, "value") or None

        shots = sorted(name for name in nested if _PROMPT_PART.fullmatch(name))
        prompts = [self._values.text(nested[name], "value") for name in shots]
        told = "\n".join(each for each in prompts if each) if None not in prompts else None
        model = self._setting([(node, step.rule)], "model_file", str)
        loras = [self._loras.of_node(each, rule) for each, rule in self._along(pipe)]
        return Sampling(
            prompt=text("prompt") or told or None,
            negative_prompt=text("negative_text"),
            seed=_seed(self._setting([(node, step.rule)], "seed", int)),
            model=model,
            models=(model,) if model else (),
            loras=(*chain.from_iterable(loras), *self._loras.of_node(node, step.rule)),
            steps=self._setting([(node, step.rule)], "steps", int),
            cfg=self._setting([(node, step.rule)], "cfg", float),
            sampler=self._setting([(node, step.rule)], "sampler", str),
            scheduler=self._setting([(node, step.rule)], "scheduler", str),
            guidance=self._setting([(node, step.rule)], "guidance", float),
            lyrics=text("lyrics"),
        )

    def _parts(self, step: Origin) -> list[tuple[Node, NodeRule]]:
        """A sampler and the nodes that it is put together from: guider, noise, sigmas, pipe."""
        if step.node_id in self._part_lists:
            return self._part_lists[step.node_id]
        found, waiting, reached = [], [(step.node, step.rule)], {step.node_id}
        for node, rule in waiting:  # grows while it is walked
            inputs = node["inputs"]
            if (known := rule.known(inputs)) is not None:
                found.append((node, known.given_sigmas if is_link(inputs.get("sigmas")) else known))
            for name in (*names_of("parts"), *filter(None, [rule.inherits])):
                origin = self._values.origin(inputs[name], name) if name in inputs else None
                is_known = origin is not None and not origin.rule.opaque
                if origin is not None and is_known and origin.node_id not in reached:
                    reached.add(origin.node_id)
                    waiting.append((origin.node, origin.rule))
        self._part_lists[step.node_id] = found
        return found

    def _setting(
        self, parts: Sequence[tuple[Node, NodeRule]], role: str, kind: type[T]
    ) -> T | None:
        """What the first part that has something for a role has, itself or by its pipe."""
        names = names_of(role)
        for node, rule in parts:
            inputs = node["inputs"]
            if role == "scheduler" and rule.schedule is not None:
                return self._values.number(rule.schedule, kind)
            own = rule.inputs.get(role, names)
            for name in own:
                value = inputs.get(name)
                if value is not None and value not in rule.same:  # a sweep asks this of every file
                    return self._values.number(value, kind, names if own is names else own)
            if role == "steps" and rule.sigmas is not None:
                sigmas = self._values.text(inputs.get(rule.sigmas), "value")
                if sigmas is None or len(sigmas) > _MAX_SIGMAS_CHARS:
                    return None
                return kind(max(len(_SIGMA.findall(sigmas)) - 1, 0))
            for pipe in self._pipes(node, rule):
                held = self._in_pipe(pipe, role)
                if held is not None:
                    return self._values.number(held, kind, names)
            if rule.inherits and role == "denoise":
                return None
        return None

    def _named(self, parts: Sequence[tuple[Node, NodeRule]], role: str) -> str | None:
        """A setting that is a name; None for a list of names, of which each picture has one."""
        name = self._setting(parts, role, str)
        return None if name is not None and _OF_LIST.search(name) else name

    def _pipes(self, node: Node, rule: NodeRule) -> list[JsonValue]:
        if not rule.pipe and _PIPES.isdisjoint(node["inputs"]):
            return []  # as of most nodes
        return self._values.links(node, rule.pipe or names_of("pipe"))

    def _bundles(self, node: Node, rule: NodeRule, names: Sequence[str]) -> list[JsonValue]:
        """The links that bring a node bundles by these names, or the one that it only passes on."""
        if not rule.passes_one:
            return self._values.links(node, names)
        passed = self._values.passed_on(node, rule, "pipe")
        return [] if passed is None else [passed]

    def _in_pipe(self, pipe: JsonValue, role: str) -> JsonValue:
        """What a bundle holds for a role, a literal or a link."""
        for node, rule in self._along(pipe):
            known = rule.known(node["inputs"]) or rule
            own = None if known.keeps else self._values.own(node, known, role)
            if own is not None:
                return own
        return None

    def _along(self, pipe: JsonValue) -> Iterator[tuple[Node, NodeRule]]:
        """The nodes that have put something into a bundle, the last of them first."""
        reached = set()
        while isinstance(pipe, list) and is_link(pipe) and pipe[0] not in reached:
            reached.add(pipe[0])
            node = self._graph.get(str(pipe[0]))
            if node is None:
                return
            rule = rule_of(node["class_type"])
            if not rule.passes_one:
                yield node, rule
            pipe = next(iter(self._bundles(node, rule, rule.pipe or names_of("pipe"))), None)

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
        """Whether both sides come from one node, which then has to hold both."""
        positive = self._values.origin(positive_at, "positive")
        negative = self._values.origin(negative_at, "negative")
        return (
            positive is not None and negative is not None and positive.node_id == negative.node_id
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
            if origin is None or origin.rule.opaque:
                found.is_whole = found.is_whole and not is_link(value)
                continue
            if (origin.node_id, origin.role) in reached or origin.rule.silent:
                continue
            reached.add((origin.node_id, origin.role))
            side = origin.role if origin.role in _SIDES else asked
            if side == "positive":
                self._add_beside(found, origin)
            texts = self._texts_at(origin, side, is_shared=is_shared)
            is_plain = texts and origin.rule.classes  # its text is all that it gives
            links = [] if is_plain else self._passed_on(origin, side, is_bundle=is_bundle)
            if texts is None or (texts and links):
                found.is_whole = False
            elif texts:
                found.texts += texts
                found.encoders.append((origin.node_id, origin.slot))
            else:
                found.is_whole = found.is_whole and bool(links or self._is_empty(origin))
                waiting += reversed(links)
                is_apart = side in origin.rule.inputs or _has_sides(origin.node)
                is_shared = is_shared and not is_apart
        return found

    def _is_empty(self, origin: Origin) -> bool:
        """Whether a node is known to encode no words."""
        given = (origin.node["inputs"].get(name) for name in names_of("positive_text"))
        return any(isinstance(each, str) or self._values.text(each) == "" for each in given)

    def _add_beside(self, found: _Encoded, origin: Origin) -> None:
        inputs = origin.node["inputs"]
        if origin.rule.inputs.get("guidance") == ():
            found.is_unguided = found.guidance is None
        if found.guidance is None and not found.is_unguided and "guidance" in inputs:
            found.guidance = self._values.number(inputs["guidance"], float, ("guidance",))
        if found.lyrics is None and "lyrics" in inputs:
            found.lyrics = self._values.text(inputs["lyrics"], "value")
        for step in islice(self._encoding(origin), _MAX_ENCODERS):
            if "hooks" in step.node["inputs"]:
                found.loras += self._loras.of_hooks(step.node)

    def _encoding(self, origin: Origin) -> Iterator[Origin]:
        """A node that encodes words, then those that have changed what it encodes them with."""
        reached: set[str] = set()
        step: Origin | None = origin
        while step is not None and step.node_id not in reached:
            reached.add(step.node_id)
            yield step
            step = self._values.origin(step.node["inputs"].get("clip"), "clip")

    def _texts_at(self, origin: Origin, side: str, *, is_shared: bool) -> list[str] | None:
        """The texts that a node encodes for a side, or gives to a sampler that encodes them itself.

        None if one of them is not known.
        """
        if not origin.rule.gives_text:
            return self._encoded(origin, side, is_shared=is_shared)
        text = self._values.text([origin.node_id, origin.slot], f"{side}_text")
        return None if text is None else [text] if text.strip() else []

    def _encoded(self, origin: Origin, side: str, *, is_shared: bool) -> list[str] | None:
        rule, inputs = origin.rule, origin.node["inputs"]
        if not rule.fits(inputs):
            return None
        role = f"{side}_text"
        names = rule.inputs.get(role)
        if names is None and side == "negative":
            has_both = not _NEGATIVE_TEXT.isdisjoint(inputs)
            if is_shared and not has_both:
                return []
            names = names_of(role) if has_both else rule.inputs.get("positive_text")
        is_by_name = names is None or names is names_of(role)
        if names is None:
            names = (_FILLED_IN,) if _FILLED_IN in inputs else names_of("positive_text")
        found: list[str] = []
        for name in names if is_by_name else _all_fitting(names, inputs):
            held = inputs.get(name)
            if held is None:
                continue
            if is_by_name and name in _SIDES and is_link(held) and not _holds_texts(inputs):
                continue  # a conditioning
            text = self._text_for(held, rule, side)
            if text is None:
                return None
            if text and not text.isspace():
                found.append(text)
        is_template = rule.wildcards and any(map(has_wildcards, found))
        return None if is_template or (found and is_by_name and _is_drawn(inputs)) else found

    def _text_for(self, held: JsonValue, rule: NodeRule, side: str) -> str | None:
        """The text that an input brings for a side, maybe an empty one; None if it is not known."""
        text = self._values.text(held, f"{side}_text")
        if text is None:
            return None if is_link(held) else ""
        return text if rule.negative_after is None else _part_of(text, rule.negative_after, side)

    def _passed_on(
        self, origin: Origin, side: str, *, is_bundle: bool
    ) -> list[tuple[JsonValue, str]]:
        """The conditionings that a node makes its own from, each with its side.

        Of a node with both sides, the first output is the positive one, unless it is a bundle, or
        the node is given a model, too, which then comes first. One that is taken for the other side
        is not known: it may be a second positive one, as for Wan's low noise.
        """
        inputs = origin.node["inputs"]
        if (names := origin.rule.inputs.get(side)) is not None:
            given = self._values.links(origin.node, _all_fitting(names, inputs))
            return [(link, side) for link in given]
        are_texts = _holds_texts(inputs)
        if _has_sides(origin.node) and not are_texts:
            is_bundle = is_bundle or is_link(inputs.get("model"))
            is_in_order = not (origin.rule.outputs or is_bundle) and origin.slot in {0, 1}
            if is_in_order and side != _SIDES[origin.slot]:
                return []
            return [(link, side) for link in self._values.links(origin.node, _APART[side])]
        averaged = self._values.number(inputs.get("conditioning_to_strength"), float)
        unheard = {1.0: "conditioning_from", 0.0: "conditioning_to", None: None}.get(averaged)
        names = tuple(names_of(side))
        if side == "negative" and not any(name in inputs for name in _APART[side]):
            names = (*names, *_OF_EITHER)  # of a node that does not know for which side it is
        links = [
            value
            for name, value in inputs.items()
            if is_link(value)
            and name != unheard
            and not name.endswith("strength")
            and not (are_texts and name in _SIDES)
            and (name in names or name.startswith("conditioning") or name in {side, ""})
        ]
        return [(link, side) for link in links or self._pipes(origin.node, origin.rule)]

    def _models(self, parts: Sequence[tuple[Node, NodeRule]]) -> _Loaded:
        """What a sampler draws with."""
        for node, rule in parts:
            begin = self._model_links(node, rule)
            if begin or isinstance(node["inputs"].get("ckpt_name"), str):
                return self._loaded(begin)
        return _Loaded(None, (), ())

    def _model_links(self, node: Node, rule: NodeRule, role: str = "model") -> list[JsonValue]:
        return self._values.links(node, _model_names(rule, role)) or self._pipes(node, rule)

    def _loaded(self, begin: list[JsonValue], role: str = "model") -> _Loaded:
        models: list[str] = []
        loras: list[LoraUse] = []
        regions: list[JsonValue] = []
        waiting: list[tuple[JsonValue, str] | list[LoraUse]]
        waiting = [(link, role) for link in reversed(begin)]
        reached, patched, is_whole = set(), set(), True
        while waiting:  # as deep as it goes for the first, before the next
            if isinstance(each := waiting.pop(), list):
                loras += each
                continue
            origin = self._values.origin(*each)
            if origin is None or (origin.node_id, origin.role) in reached:
                is_whole = is_whole and origin is not None
                continue
            reached.add((origin.node_id, origin.role))
            if origin.node_id not in patched:
                patched.add(origin.node_id)  # they act on what the models before it give
                waiting.append(self._loras.of_node(origin.node, origin.rule))
            if origin.rule.regions:
                names = _all_fitting(origin.rule.regions, origin.node["inputs"])
                regions += self._values.links(origin.node, names)
            file = self._model_file(origin)
            links = [] if file else self._model_links(origin.node, origin.rule, origin.role)
            if file is not None:
                models.append(file)
            is_whole = is_whole and bool(file or links)
            waiting += [(link, "model") for link in reversed(links)]
        return _Loaded(
            models[0] if models and is_whole else None,
            tuple(dict.fromkeys(models)),
            tuple(loras),
            tuple(regions),
        )

    def _model_file(self, origin: Origin) -> str | None:
        inputs = origin.node["inputs"]
        if self._values.links(origin.node, _model_names(origin.rule, origin.role)):
            return None  # what it loads is a patch for the model that it is given
        if origin.rule.when and not origin.rule.fits(inputs):
            return None
        names = origin.rule.inputs.get(f"{origin.role}_file") or names_of("model_file")
        for name in names:
            value = inputs.get(name)
            if value is None or (name == "model" and not isinstance(value, str)):
                continue
            file = self._values.number(value, str, (name,))
            if file and file not in _NO_FILE:
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
        rule = rule_of(node["class_type"])
        if rule.size is not None:
            known = rule.known(node["inputs"])
            if known is None or known.size is None:
                return None
            return preset_size(known.size, node["inputs"], self._values.number)
        presets = [node["inputs"].get(name) for name in names_of("preset")]
        for preset in (each for each in presets if isinstance(each, str)):
            if (size := _SIZE.match(preset)) is not None:
                return int(size[1]), int(size[2])
            if not is_custom(preset):
                return None
        width, height = (
            self._values.number(self._values.own(node, rule, role), int, names_of(role))
            for role in SIDES
        )
        return None if width is None or height is None else (width, height)


def _part_of(text: str, mark: str, side: str) -> str | None:
    """What a text, or each entry of a schedule, says for a side; None if that is not clear.

    >>> _part_of('"0": "a kite --neg grain", "9": "dusk"', "--neg", "positive")
    '"0": "a kite", "9": "dusk"'
    """
    if mark not in text:
        return text if side == "positive" else ""

    def part(whole: str) -> str:
        before, _, behind = whole.partition(mark)
        return (before if side == "positive" else behind).strip()

    if _ENTRY.search(text):
        parted = _ENTRY.sub(lambda entry: f'{entry[1]}{part(entry[2])}"', text)
    else:
        parted = part(text)
    return None if mark in parted else parted


def _model_names(rule: NodeRule, role: str) -> Sequence[str]:
    """The inputs that a node has a model from, which it patches, for its first or another one."""
    if not rule.inputs:  # as of most
        return names_of("model")
    names = rule.inputs.get(role)
    return rule.inputs.get("model") or names_of("model") if names is None else names


def _has_sides(node: Node) -> bool:
    """Whether a node is given both sides apart."""
    inputs = node["inputs"]
    return all(any(is_link(inputs.get(name)) for name in names) for names in _APART.values())


def _holds_texts(inputs: dict[str, JsonValue]) -> bool:
    """Whether the sides that a node is given are texts, not conditionings."""
    return not _READS_TEXTS.isdisjoint(inputs) or any(
        isinstance(inputs.get(side), str) for side in _SIDES
    )


def _is_drawn(inputs: dict[str, JsonValue]) -> bool:
    """Whether a node that encodes its own text draws some of the words."""
    return not _SEED.isdisjoint(inputs) and _FILLED_IN not in inputs


def _all_fitting(names: Sequence[str], inputs: dict[str, JsonValue]) -> Sequence[str]:
    """The inputs that a rule means by names, which may be patterns."""
    if "*" not in "".join(names):
        return names
    return [each for name in names for each in fnmatch.filter(inputs, name) or (name,)]


def _seed(seed: int | None) -> int | None:
    return seed if seed is not None and 0 <= seed <= MAX_SEED else None
