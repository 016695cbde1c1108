"""ComfyUI's executed graph: what made the file, read back from the node that saved it.

A graph holds more than what made the file: previews, keyframes, branches that a switch leaves
out, a second prompt that is not connected. So everything here is reached from the saving node.
Source: ComfyUI 0.33.0, its nodes and those of the packs that `node_rules.toml` names.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, reduce
from itertools import islice

from pydantic import JsonValue

from anime.assets.metadata.graph_steps import Step, StepReader, samples
from anime.assets.metadata.graph_values import GraphValues
from anime.assets.metadata.node_rules import names_of, rule_of
from anime.assets.metadata.recipe import Sampling
from anime.assets.metadata.saving_nodes import SavedFile, saving_nodes
from anime.core.graphs import Graph, Node, is_link
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
        self._steps = StepReader(graph, self._values)

    def sampling_of(self, saved: SavedFile) -> Sampling | None:
        """What made the file; None when nothing in the graph did."""
        for node_ids in saving_nodes(self._graph, self._values, saved):
            made = [self._made(node_id, saved.kind) for node_id in node_ids[:_MAX_PATHS]]
            if said := [each for each in made if each is not None]:
                return reduce(Sampling.agreed_with, said)
        return None

    def _made(self, node_id: str, kind: FileKind | None) -> Sampling | None:
        """What made all that a node has saved; None when nothing did."""
        ends = self._makers([node_id], kind)
        chains = islice((chain for end in ends for chain in self._chains(end, kind)), _MAX_PATHS)
        said = [self._of_chain(chain) for chain in chains]
        return reduce(Sampling.beside, said) if said else None

    def _makers(self, begin: Sequence[str], kind: FileKind | None) -> list[Step]:
        """The nearest nodes back from these that make something, themselves included."""
        found, waiting, reached = [], list(begin), set(begin)
        for node_id in waiting:  # grows while it is walked
            node = self._graph.get(node_id)
            if node is None:
                continue
            step = Step(node_id, node, rule_of(node["class_type"]))
            if self._makes(step):
                found.append(step)
                continue
            for before in self._before(step, kind):
                if before not in reached:
                    reached.add(before)
                    waiting.append(before)
        return found

    def _chains(self, end: Step, kind: FileKind | None) -> Iterator[list[Step]]:
        """The samplers whose work ends in that one, the first of each chain first."""
        waiting = [[end]]
        while waiting:
            chain = waiting.pop()
            earlier: list[Step] = []
            if len(chain) < _MAX_CHAIN and len(waiting) < _MAX_PATHS and self._refines(chain[0]):
                before = list(self._before(chain[0], kind))
                known = {step.node_id for step in chain}
                earlier = [each for each in self._makers(before, kind) if each.node_id not in known]
            if not earlier:
                yield chain
            waiting += [[each, *chain] for each in earlier]

    def _makes(self, step: Step) -> bool:
        return samples(step) or self._generates(step)

    def _generates(self, step: Step) -> bool:
        inputs = step.node["inputs"]
        is_like_partners = "prompt" in inputs and "seed" in inputs
        is_like_partners = is_like_partners and isinstance(inputs.get("model"), str)
        return step.rule.generator or (is_like_partners and not step.rule.opaque)

    def _refines(self, step: Step) -> bool:
        """Whether a sampler goes on with a picture, rather than making it anew of noise."""
        if not samples(step):
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

    def _before(self, step: Step, kind: FileKind | None) -> Iterator[str]:
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

    def _of_chain(self, chain: Sequence[Step]) -> Sampling:
        """What a chain of samplers says: its first one, and beside it all of them."""
        first = self._steps.sampling_of(chain[0])
        if len(chain) == 1:
            return first
        rest = [self._steps.sampling_of(step) for step in chain[1:]]
        whole = [first, *rest]
        loras = {lora.name: lora for each in reversed(whole) for lora in reversed(each.loras)}
        return first.model_copy(
            update={
                "samplers": tuple(use for each in whole for use in each.samplers),
                "models": tuple(dict.fromkeys(name for each in whole for name in each.models)),
                "loras": tuple(reversed(loras.values())),
            }
        )


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
