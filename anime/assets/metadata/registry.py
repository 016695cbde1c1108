"""Which reader understands what a file says: each text is tried by its content, not its label."""

import json
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import PureWindowsPath
from typing import TypeGuard, get_args

from pydantic import JsonValue

from anime.assets.metadata.animagine import sampling_of_animagine
from anime.assets.metadata.automatic1111 import parameters_of
from anime.assets.metadata.civitai import BESIDE_GRAPH, sampling_of_civitai
from anime.assets.metadata.comfyui import sampling_of
from anime.assets.metadata.draw_things import sampling_of_draw_things
from anime.assets.metadata.easy_diffusion import sampling_of_easy_diffusion
from anime.assets.metadata.embedded_texts import texts_in_json
from anime.assets.metadata.fooocus import sampling_of_fooocus, sampling_of_ruinedfooocus
from anime.assets.metadata.grids import is_sheet
from anime.assets.metadata.invokeai import sampling_of_dream, sampling_of_invokeai
from anime.assets.metadata.json_fields import Fields
from anime.assets.metadata.mflux import sampling_of_mflux
from anime.assets.metadata.midjourney import sampling_of_midjourney
from anime.assets.metadata.mochi_diffusion import sampling_of_mochi_diffusion
from anime.assets.metadata.novelai import sampling_of_novelai
from anime.assets.metadata.recipe import MAX_PROMPT_CHARS, Recipe, Sampling, Source
from anime.assets.metadata.saving_nodes import SavedFile
from anime.assets.metadata.sd_scripts import sampling_of_sd_scripts
from anime.assets.metadata.swarmui import sampling_of_swarmui
from anime.assets.metadata.tensor_art import sampling_of_tensor_art
from anime.assets.metadata.wangp import sampling_of_wangp
from anime.core.conversion.model_files import MODEL_SUFFIX
from anime.core.foreign_json import MAX_JSON_CHARS, read_json_text, storable_text
from anime.core.graphs import Graph, Node
from anime.core.png_metadata import KEY, FileStamp, read_stamp

_MAX_NODES = 5_000
_ADDED = " \n Recipe metadata: "  # by ComfyUI-Lora-Manager, with JSON of its own
_MAX_KEPT = 16  # texts that nobody understood
# Of a container, not of who made what is in it.
_NOISE = frozenset(
    {
        *(
            "major_brand",
            "minor_version",
            "compatible_brands",
            "encoder",
            "handler_name",
            "language",
        ),
        *("creation_time", "duration", "vendor_id", "make", "Make", "Model", "timecode", "bps"),
        *("number_of_frames", "number_of_bytes", "bps-eng", "duration-eng", "x:xmptk"),
    }
)

# Readers of JSON settings, in the order in which they are asked.
_OF_SETTINGS: dict[Source, Callable[[Fields, dict[str, str]], Sampling | None]] = {
    "swarmui": lambda settings, _: sampling_of_swarmui(settings),
    "mflux": lambda settings, _: sampling_of_mflux(settings),  # before Fooocus: keys of both
    "wangp": lambda settings, _: sampling_of_wangp(settings),
    "invokeai": lambda settings, _: sampling_of_invokeai(settings),
    "drawthings": lambda settings, _: sampling_of_draw_things(settings),
    "novelai": sampling_of_novelai,  # after Draw Things, which has the same keys and more
    "ruinedfooocus": lambda settings, _: sampling_of_ruinedfooocus(settings),
    "easydiffusion": lambda settings, _: sampling_of_easy_diffusion(settings),
    "fooocus": lambda settings, _: sampling_of_fooocus(settings),  # after it: keys of both
    "tensorart": lambda settings, _: sampling_of_tensor_art(settings),
    "civitai": lambda settings, _: sampling_of_civitai(settings),
    "animagine": lambda settings, _: sampling_of_animagine(settings),
}
# Readers of all texts together, of which each is a setting.
_OF_TEXTS: dict[Source, Callable[[Fields], Sampling | None]] = {
    "easydiffusion": sampling_of_easy_diffusion,
    "sdscripts": sampling_of_sd_scripts,
}
# Readers of plain texts.
_OF_TEXT: dict[Source, Callable[[str], Sampling | None]] = {
    "automatic1111": parameters_of,
    "invokeai": sampling_of_dream,
    "mochidiffusion": sampling_of_mochi_diffusion,
    "midjourney": sampling_of_midjourney,
}


class _Testimony:
    """What the texts of one file amount to, text by text."""

    def __init__(self, texts: Mapping[str, str], saved: SavedFile) -> None:
        self.said: dict[Source, Sampling] = {}
        self.graph: Graph | None = None
        self.editor_workflow: JsonValue = None
        self.parameters: str | None = None
        self.unread: dict[str, str] = {}
        self.verbatim: dict[str, str | None] = {}
        self._texts = dict(texts)
        self._saved = saved
        for name in sorted(texts, key=lambda name: _rank(name, texts[name])):
            self._hear(name, texts[name])
        for source, read in _OF_TEXTS.items():
            if (asked := read(self._texts)) is not None:
                self._add(source, asked)
        if self.graph is not None:
            made = sampling_of(self.graph, saved, self.editor_workflow)
            self.said["comfyui"] = made or Sampling()

    def _hear(self, name: str, text: str, *, is_part: bool = False) -> None:
        if name == KEY:
            return
        value, verbatim = read_json_text(_unpacked(text))
        if value is None:
            self._hear_plain(name, text)
            return
        if not isinstance(value, dict):
            self.unread[name] = text
        elif (graph := graph_of(value)) is not None:
            if self.graph is None:
                self._hear_graph(graph, value)
                self.verbatim["graph"] = verbatim if len(graph) == len(value) else None
        elif isinstance(value.get("nodes"), list) and "edges" not in value:  # InvokeAI's has some
            if self.editor_workflow is None:
                self.editor_workflow = value
                self.verbatim["editor_workflow"] = verbatim
        else:
            self._hear_settings(name, text, value, is_part=is_part)

    def _hear_graph(self, graph: Graph, value: Fields) -> None:
        self.graph = graph
        if (asked := sampling_of_civitai(value)) is not None:
            self.said["civitai"] = asked

    def _hear_settings(self, name: str, text: str, settings: Fields, *, is_part: bool) -> None:
        for source, read in _OF_SETTINGS.items():
            said = read(settings, self._texts)
            if said is not None:
                self._add(source, said)
                break
        else:
            together = {} if is_part else texts_in_json(text)  # not of parts of parts of parts
            for part, inner in together.items():
                self._hear(part, inner, is_part=True)
            if together:
                return
        self.unread[name] = text  # the recipe has but a part of it

    def _add(self, source: Source, said: Sampling) -> None:
        former = self.said.get(source)
        self.said[source] = said if former is None else former.filled_by(said)

    def _hear_plain(self, name: str, text: str) -> None:
        for source, read in _OF_TEXT.items():
            said = read(text)
            if said is not None and source == "automatic1111":
                if self.parameters is None:
                    self.parameters = storable_text(text)
                    if is_sheet(said, self._saved.name, self._saved.size):
                        said = said.of_grid({"seed"})
                    self.said.setdefault(source, said)
                return
            if said is not None:
                self._add(source, said)
        if name not in _NOISE and text.strip():
            self.unread[name] = text


def _rank(name: str, text: str) -> tuple[bool, bool]:
    """What is labelled as the graph comes first, then other JSON, then plain texts."""
    is_json = text.startswith(("{", '"{', "\ufeff"))
    return name.lower() not in {"prompt", "workflow"}, not is_json


def _unpacked(text: str) -> str:
    """The JSON that some write as a text of JSON once more, or with something behind it."""
    text = text.partition(_ADDED)[0]
    if not text.startswith('"{') or len(text) > MAX_JSON_CHARS:
        return text
    try:
        inner: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return inner if isinstance(inner, str) else text


def recipe_of(texts: Mapping[str, str], saved: SavedFile | None = None) -> Recipe:
    """The recipe in the texts of a file. It never raises: foreign texts can hold anything.

    Our own stamp is believed first, then ComfyUI's graph, then what other tools write; what one of
    them leaves open the next may fill.
    """
    stamp = read_stamp(texts)
    if not texts:
        return Recipe()
    testimony = _Testimony(texts, saved or SavedFile())
    heard = testimony.said
    if stamp is not None:
        heard = {"anime": _stamped(stamp), **heard}
    ordered = {source: heard[source] for source in get_args(Source) if source in heard}
    if {"comfyui", "automatic1111"} <= ordered.keys():
        told = ordered["automatic1111"]
        if not _is_same_file(ordered["comfyui"].model, told.model):
            ordered["automatic1111"] = told.model_copy(update={"model_hash": None})
    said = reduce(Sampling.filled_by, ordered.values()) if ordered else Sampling()
    unread = dict(list(testimony.unread.items())[:_MAX_KEPT])
    return Recipe.of(
        said,
        source=next(iter(ordered), None),
        graph=testimony.graph,
        editor_workflow=testimony.editor_workflow,
        parameters=testimony.parameters,
        verbatim={name: text for name, text in testimony.verbatim.items() if text is not None},
        texts={
            storable_text(name): storable_text(text)[:MAX_PROMPT_CHARS]
            for name, text in unread.items()
        },
    )


def _is_same_file(one: str | None, other: str | None) -> bool:
    """Whether two names mean one model: a saving node writes that which it was told."""
    names = (PureWindowsPath(name).name for name in (one, other) if name)
    return len({MODEL_SUFFIX.sub("", name) for name in names}) < 2


def recipe_of_graph(graph: Graph, saved: SavedFile | None = None) -> Recipe:
    """The recipe of a graph that was run here."""
    return Recipe.of(sampling_of(graph, saved) or Sampling(), source="comfyui", graph=graph)


def graph_of(value: Fields) -> Graph | None:
    """The graph in API format that an object is, without what others add to it."""
    if len(value) > _MAX_NODES:
        return None
    graph = {node_id: node for node_id, node in value.items() if _is_node(node)}
    is_mostly = 2 * len(graph) > len(value.keys() - BESIDE_GRAPH)
    return graph if graph and is_mostly else None


def _is_node(value: JsonValue) -> TypeGuard[Node]:
    return (
        isinstance(value, dict)
        and isinstance(value.get("class_type"), str)
        and isinstance(value.get("inputs"), dict)
        and isinstance(value.get("_meta") or {}, dict)
    )


def _stamped(stamp: FileStamp) -> Sampling:
    return Sampling(
        prompt=stamp.prompt, negative_prompt=stamp.negative_prompt, seed=int(stamp.seed)
    )
