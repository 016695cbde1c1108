"""Which node of a graph has saved a file: by its name, then by its kind.

Sources: ComfyUI 0.33 (`SaveImage`, `get_save_image_path`), VideoHelperSuite 1.7, easy-use 1.3.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from anime.assets.metadata.graph_values import GraphValues
from anime.assets.metadata.node_rules import rule_of
from anime.core.graphs import Graph, Node, is_link
from anime.core.paths import FileKind

_PREFIXES = ("filename_prefix", "save_prefix", "filename", "prefix")
_PREFIX_NAMES = frozenset({"filename_prefix", "save_prefix"})
_TOKEN = re.compile(r"%[^%]*%")  # such as %date:yyyy-MM-dd%, which the server fills in
_TEMPORARY = re.compile(r"ComfyUI_temp_", re.IGNORECASE)
_OFF = (False, "false", "Hide", "Preview", "Preview&Choose", "None")
_KINDS_IN_CLASS = {
    "audio": re.compile(r"audio|sound|music|mp3|flac|opus", re.IGNORECASE),
    "video": re.compile(r"video|webm|gif|film|animated|mp4", re.IGNORECASE),
    "image": re.compile(r"image|png|jpe?g|webp|picture", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class SavedFile:
    """What is known of a file beside what it says; `node_id` is that of the node that saved it."""

    name: str = ""
    kind: FileKind | None = None
    node_id: str | None = None
    size: tuple[int, int] | None = None  # width and height in pixels


def saving_nodes(graph: Graph, values: GraphValues, saved: SavedFile) -> Iterator[Sequence[str]]:
    """The nodes that may have saved the file, as sets of which the likeliest comes first.

    A file of ours that was renamed fits no prefix; then its kind decides, and in a graph without a
    saving node, the nodes that nothing else uses.
    """
    if saved.node_id is not None and saved.node_id in graph:
        yield [saved.node_id]
    savers: dict[str, Node] = {}
    previews: list[str] = []
    for node_id, node in graph.items():
        saves = rule_of(node["class_type"]).saves
        if saves == ():
            previews.append(node_id)
        elif (saves or not _PREFIX_NAMES.isdisjoint(node["inputs"])) and not _is_off(node):
            savers[node_id] = node
    if previews and _TEMPORARY.match(saved.name):
        yield previews
    if savers:
        yield _of_kind(_of_name(savers, values, saved.name), saved.kind)
    used = {
        value[0]
        for node in graph.values()
        for value in node["inputs"].values()
        if isinstance(value, list) and is_link(value)
    }
    last = [node_id for node_id in graph if node_id not in used and node_id not in previews]
    yield [node_id for node_id in last if node_id not in savers]
    yield previews


def _is_off(node: Node) -> bool:
    """Whether a node that could save only shows."""
    inputs = node["inputs"]
    return inputs.get("save_output") in _OFF or inputs.get("image_output") in _OFF


def _of_name(savers: dict[str, Node], values: GraphValues, name: str) -> dict[str, Node]:
    """The nodes whose prefix is the longest that the file's name begins with; else all."""
    found: dict[int, dict[str, Node]] = {}
    for node_id, node in savers.items() if len(savers) > 1 else ():
        for prefix in _prefixes(node, values):
            pattern = ".+?".join(re.escape(part) for part in _TOKEN.split(prefix))
            if prefix and re.match(rf"{pattern}(?=[_.\-\s]|$)", name):
                found.setdefault(len(prefix), {})[node_id] = node
    return found[max(found)] if found else savers


def _prefixes(node: Node, values: GraphValues) -> Iterator[str]:
    for name in _PREFIXES:
        if text := values.text(node["inputs"].get(name), "value"):
            yield PurePosixPath(text.replace("\\", "/")).name


def _of_kind(savers: dict[str, Node], kind: FileKind | None) -> list[str]:
    """The nodes that save files of that kind; all where none is known to."""
    if kind is None or len(savers) < 2:
        return list(savers)
    fitting = [
        node_id for node_id, node in savers.items() if kind.file_type in _kinds(node["class_type"])
    ]
    return fitting or list(savers)


def _kinds(class_type: str) -> Sequence[str]:
    saves = rule_of(class_type).saves
    if saves:
        return saves
    found = [kind for kind, words in _KINDS_IN_CLASS.items() if words.search(class_type)]
    return found[:1] or list(_KINDS_IN_CLASS)
