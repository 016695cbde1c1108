"""ComfyUI's executed graph: what made the file, read back from the node that saved it.

A graph holds more than what made the file: previews, keyframes, branches that a switch leaves
out, a second prompt that is not connected. So everything here is reached from the saving node.
Source: ComfyUI 0.33.0, its nodes and those of the packs that `node_rules.toml` names.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache, reduce
from itertools import islice

from pydantic import JsonValue

from anime.assets.metadata.graph_steps import StepReader, is_told, samples
from anime.assets.metadata.graph_values import GraphValues, Origin
from anime.assets.metadata.node_rules import names_of
from anime.assets.metadata.recipe import Sampling
from anime.assets.metadata.saving_nodes import SavedFile, saving_nodes
from anime.core.graphs import Graph, is_link
from anime.core.paths import FileKind

_MAX_PATHS = 16  # ways back from the saved file to what it began with
_MAX_CHAIN = 64  # samplers, each refining what the one before has made
_CANVAS_LENGTHS = frozenset(
    {"length", "num_frames", "video_frames", "frame_count", "frames_number"}
)
_OF_ONE = frozenset({"image", "images", "pixels"})  # what a picture that is scaled comes by
_BESIDE = re.compile(
    r"model|clip|vae|positive|negative|cond|control|mask|ref|style|start|end|first|last|prompt|"
    r"guid|seed|lora|noise|sigma|sampler|sched|embed|token|depth|pose|width|height|fps|rate|steps|"
    r"length|number|count|duration|second|index"
)
_UNNAMED = "unnamed"  # what a node of an unknown class may be given a picture by
_STEPS = frozenset(names_of("steps"))
_MAKES = frozenset({"steps", "sigmas", "prompt"})  # what only those that make something have
_MEDIA = ("latent", "picture", "sound", "pipe", _UNNAMED, "words")
_NUMBERED = re.compile(r"_?\d+$")
_NOBODY = "disable"
_SIZED = frozenset({FileKind.IMAGES.file_type, FileKind.VIDEOS.file_type, None})  # in pixels


def sampling_of(
    graph: Graph, saved: SavedFile | None = None, editor_workflow: JsonValue = None
) -> Sampling | None:
    """What made a file that the graph has saved; None when nothing in it makes one.

    Where several nodes may have saved it, only what is the same for all of them is said. Its size
    is said only if the file's own is not known.
    """
    known = saved or SavedFile()
    is_measured = known.size is not None or known.file_type not in _SIZED
    reader = GraphReader(graph, editor_workflow, is_measured=is_measured)
    return reader.sampling_of(known)


class GraphReader:
    """Reads one graph."""

    def __init__(
        self, graph: Graph, editor_workflow: JsonValue = None, *, is_measured: bool = False
    ) -> None:
        self._graph = graph
        self._values = GraphValues(graph, editor_workflow)
        self._steps = StepReader(graph, self._values, is_measured=is_measured)
        self._forks: dict[str, Origin] = {}  # what switches of which a run decides may have taken
        self._is_forked = False  # any of them, on the way from the node that saved the file

    def sampling_of(self, saved: SavedFile) -> Sampling | None:
        """What made the file; None when nothing in the graph did."""
        for candidates in saving_nodes(self._graph, self._values, saved):
            node_ids = self._of_size(candidates, saved)
            made = [self._made(node_id, saved.kind) for node_id in node_ids[:_MAX_PATHS]]
            if said := [each for each in made if each is not None]:
                return reduce(Sampling.agreed_with, said)
        return None

    def _of_size(self, node_ids: Sequence[str], saved: SavedFile) -> Sequence[str]:
        """Without those that save another size, if one of them is known to save that of the file.

        A file that was scaled later fits none of them.
        """
        if len(node_ids) < 2 or saved.size is None:
            return node_ids
        sizes = {node_id: self._size(node_id, saved.kind) for node_id in node_ids}
        if saved.size not in sizes.values():
            return node_ids
        return [node_id for node_id, size in sizes.items() if size in {None, saved.size}]

    def _size(self, node_id: str, kind: FileKind | None) -> tuple[int, int] | None:
        """Width and height of what a node saves; None unless it is as some sampler made it."""
        self._forks = {}
        decoders = self._before(self._values.node(node_id), kind)
        is_as_decoded = all("Decode" in each.node["class_type"] for each in decoders)
        makers = [each for step in decoders for each in self._before(step, kind)]
        if not is_as_decoded or self._forks or len(makers) != 1 or not samples(makers[0]):
            return None
        return self._steps.size_of(makers[0])

    def _made(self, node_id: str, kind: FileKind | None) -> Sampling | None:
        """What made all that a node has saved; None when nothing did."""
        self._forks, self._is_forked = {}, False
        begin = [self._values.node(node_id)]
        ends = self._makers(begin, kind)
        is_made = self._is_made(begin, kind)
        chains = islice((chain for end in ends for chain in self._chains(end, kind)), _MAX_PATHS)
        said = [self._of_chain(chain) for chain in chains]
        if not said:
            return None
        whole = reduce(Sampling.agreed_with if self._is_forked else Sampling.beside, said)
        return whole if is_made else whole.agreed_with(Sampling())

    def _is_made(self, begin: Sequence[Origin], kind: FileKind | None) -> bool:
        """Whether something was made, whichever way the forks passed on the way back have taken."""
        ways, self._forks = self._forks, {}
        self._is_forked = self._is_forked or bool(ways)
        sure = [step for step in begin if step.node_id not in ways]
        is_made = not ways or bool(self._makers(sure, kind, at_forks=False))
        if not is_made and len(ways) <= _MAX_PATHS:
            is_made = all(self._makers([way], kind) for way in ways.values())
        self._forks = {}
        return is_made

    def _makers(
        self, begin: Sequence[Origin], kind: FileKind | None, *, at_forks: bool = True
    ) -> list[Origin]:
        """The nearest nodes back from these that make something, themselves included."""
        reached = {step.node_id: step for step in begin}
        found, waiting = [], list(reached.values())
        for step in waiting:  # grows while it is walked; a sweep asks this of every node
            may_make = step.rule.makes or not _MAKES.isdisjoint(step.node["inputs"])
            if may_make and (samples(step) or _generates(step)) and not self._is_left_out(step):
                found.append(step)
                continue
            for before in self._before(step, kind, at_forks=at_forks):
                if before.node_id not in reached:
                    reached[before.node_id] = before
                    waiting.append(before)
        return found

    def _is_left_out(self, step: Origin) -> bool:
        """Whether neither a sampler nor a script of it makes anything."""
        return self._is_idle(step) and not self._steps.scripts(step)

    def _is_idle(self, step: Origin) -> bool:
        """Whether a sampler by its denoise or sigmas does nothing, or makes noise of a picture."""
        held = self._set_to(step, "denoise")
        if held is not None and self._values.number(held, float) == 0:
            return True
        link = step.node["inputs"].get("sigmas")
        sigmas = None if link is None else self._values.origin(link, "sigmas")
        if sigmas is None:
            return False
        return sigmas.rule.sampler is False or sigmas.node["inputs"].get("denoise") == 0

    def _chains(self, end: Origin, kind: FileKind | None) -> Iterator[list[Origin]]:
        """The samplers whose work ends in that one, the first of each chain first."""
        waiting = [[end]]
        while waiting:
            chain = waiting.pop()
            earlier: list[Origin] = []
            known, is_made = {step.node_id for step in chain}, True
            if len(chain) < _MAX_CHAIN and len(waiting) < _MAX_PATHS and samples(chain[0]):
                begin = self._continued(chain[0], kind)
                makers = self._makers(begin, kind)
                earlier = [each for each in makers if each.node_id not in known]
                is_made = self._is_made(begin, kind)
            if not earlier or not is_made:
                yield chain
            waiting += [[each, *chain] for each in earlier]

    def _continued(self, step: Origin, kind: FileKind | None) -> list[Origin]:
        """The nodes from which a sampler has what it goes on with."""
        former = self._former(step)
        before: list[Origin] = []
        if self._refines(step):
            before = self._before(step, kind)
        elif self._has_masks and self._is_masked(masked := self._before(step, kind), kind):
            before = masked
        return before if former is None else [former, *before]

    def _former(self, step: Origin) -> Origin | None:
        """What a sampler goes on with as its conditioning says, one of its options, or itself."""
        positive = self._steps.positive_of(step)
        if positive is not None and positive.rule.continues:
            return self._values.origin(
                positive.node["inputs"].get(positive.rule.continues), "latent"
            )
        if positive is not None and positive.rule.sampler and positive.rule.adds("positive"):
            return positive  # which has put a conditioning of its own into its pipe
        for each in self._with_options(step):
            rule = each.rule.known(each.node["inputs"]) or each.rule
            if rule.continues:
                return self._values.origin(step.node["inputs"].get(rule.continues), "latent")
        return None

    def _with_options(self, step: Origin) -> list[Origin]:
        """A sampler and the nodes with its options, those that they are given included."""
        found = [step]
        for node in found:  # grows while it is walked
            for name, value in node.node["inputs"].items():
                origin = self._values.origin(value, "options") if "options" in name else None
                if origin and origin.node_id not in {each.node_id for each in found}:
                    found.append(origin)
        return found

    @cached_property
    def _has_masks(self) -> bool:
        return any("mask" in node["inputs"] for node in self._graph.values())

    def _is_masked(self, begin: Sequence[Origin], kind: FileKind | None) -> bool:
        """Whether only a part of a picture is made anew: a mask is set on the way from here back to
        what made it.
        """
        waiting, reached = list(begin), {step.node_id for step in begin}
        for step in waiting:  # grows while it is walked
            if samples(step) or _generates(step):
                continue
            if is_link(step.node["inputs"].get("mask")):
                return True
            for before in self._before(step, kind):
                if before.node_id not in reached:
                    reached.add(before.node_id)
                    waiting.append(before)
        return False

    def _refines(self, step: Origin) -> bool:
        """Whether a sampler goes on with a picture, rather than making it anew of noise."""
        inputs = step.node["inputs"]
        if self._set_to(step, "add_noise") in (_NOBODY, False):
            return True
        start = self._values.number(self._set_to(step, "start_at_step"), int)
        if start is not None:
            return start > 0
        denoise = self._values.number(self._set_to(step, "denoise"), float)
        if denoise is None and is_link(inputs.get("sigmas")):
            noise = self._values.origin(inputs.get("noise"), "noise")
            if noise is not None and noise.node["class_type"] == "DisableNoise":
                return True
            sigmas = self._values.origin(inputs["sigmas"], "sigmas")
            held = sigmas.node["inputs"].get("denoise") if sigmas else None
            denoise = self._values.number(held, float)
        return denoise is None or denoise < 1

    def _set_to(self, step: Origin, name: str) -> JsonValue:
        """What a sampler has in an input, itself or by its pipe."""
        inputs = step.node["inputs"]
        held = inputs.get(name)
        if name in step.rule.inputs:
            names = step.rule.inputs[name]
            held = next((inputs[each] for each in names if inputs.get(each) is not None), None)
        return self._steps.in_pipe_of(step, name) if held is None and step.rule.pipe else held

    def _before(
        self, step: Origin, kind: FileKind | None, *, at_forks: bool = True
    ) -> list[Origin]:
        """The nodes that a node has its latent, picture or sound from, or may have `at_forks`."""
        found = []
        links = _media_links(step.node["inputs"], kind)
        if "latent" in step.rule.inputs:
            own = self._values.links(step.node, step.rule.inputs["latent"])
            links = [(link, "picture") for link in own[:1]] or links
        for link, role in links:
            asked = "latent" if role == "pipe" else role
            origin = self._values.origin(link, asked)
            if origin is None and not at_forks:
                continue
            ways = self._values.possible(link, asked) if origin is None else [origin]
            carrying = [each for each in ways if _carries_medium(each)]
            if origin is None:
                self._forks.update((each.node_id, each) for each in carrying)
            found += carrying
        return found

    def _of_chain(self, chain: Sequence[Origin]) -> Sampling:
        """What a chain of samplers says: its first one, and beside it all of them."""
        whole: list[Sampling] = []
        for step in chain:
            said = self._steps.sampling_of(step)
            is_without_noise = self._set_to(step, "add_noise") in (_NOBODY, False)
            if step is chain[0] and is_without_noise:  # the noise is not of its seed
                said = said.model_copy(update={"seed": None})
            is_by_script = "script" in step.node["inputs"] and self._is_idle(step)
            whole += [*([] if is_by_script else [said]), *self._steps.further(step, said)]
        first = whole[0]
        if len(whole) == 1:
            return first
        loras = {lora.name: lora for each in reversed(whole) for lora in reversed(each.loras)}
        return first.model_copy(
            update={
                "samplers": tuple(use for each in whole for use in each.samplers),
                "models": tuple(dict.fromkeys(name for each in whole for name in each.models)),
                "loras": tuple(reversed(loras.values())),
            }
        )


def _generates(step: Origin) -> bool:
    """Whether a node makes a file of a prompt by itself, as partners' nodes do."""
    inputs = step.node["inputs"]
    if step.rule.generator is not None:
        return step.rule.generator
    is_asked = "prompt" in inputs and "seed" in inputs and not step.rule.opaque
    return (
        is_asked
        and not is_told(step)
        and (not _STEPS.isdisjoint(inputs) or isinstance(inputs.get("model"), str))
    )


def _carries_medium(origin: Origin) -> bool:
    """Whether an output may carry a medium: not the size of a picture, nor words about it."""
    rule = origin.rule
    carried = rule.output(origin.slot) if rule.outputs else None
    return not rule.opaque and (carried is None or carried in _MEDIA)


def _media_links(
    inputs: dict[str, JsonValue], kind: FileKind | None
) -> Sequence[tuple[JsonValue, str]]:
    """The links by which a picture comes; none into a node that begins a latent."""
    is_canvas, media = _media_inputs(tuple(inputs))
    links = [(value, role) for name, role in media if is_link(value := inputs[name])]
    if len(links) < 2 and not is_canvas:
        return links
    if is_canvas and not any(is_link(inputs.get(name)) for name in names_of("latent")):
        return []
    roles = {role for _, role in links}
    ranks = ("sound", *_MEDIA) if kind is FileKind.AUDIO else _MEDIA
    chosen = next((each for each in ranks if each in roles), None)
    return [(link, role) for link, role in links if role == chosen]


@lru_cache(maxsize=4096)  # a sweep asks this of every node of every file
def _media_inputs(names: tuple[str, ...]) -> tuple[bool, Sequence[tuple[str, str]]]:
    """Whether inputs of these names are those of an empty latent, and which may bring a medium."""
    is_new = not _CANVAS_LENGTHS.isdisjoint(names) or (
        "batch_size" in names and _OF_ONE.isdisjoint(names)
    )
    is_canvas = "width" in names and is_new
    return is_canvas, [(name, role) for name in names if (role := _medium_of(name))]


def _medium_of(name: str) -> str | None:
    """What an input brings by its name: a latent, a picture, a sound, something beside them.

    Numbered inputs and those of a list bring what their name without it does.
    """
    last = name.rpartition(".")[2]
    names = (name, last, _NUMBERED.sub("", last))
    for role in _MEDIA:
        if any(each in names_of(role) for each in names):
            return role
    return None if _BESIDE.search(name) else _UNNAMED
