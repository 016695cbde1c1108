"""Which node of a graph has saved a file: by its name, then by its kind.

Sources: ComfyUI 0.33 (`SaveImage`, `get_save_image_path`), VideoHelperSuite 1.7, easy-use 1.3.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anime.assets.metadata.graph_values import GraphValues
from anime.assets.metadata.node_rules import rule_of
from anime.core.graphs import Graph, Node, is_link
from anime.core.paths import FileKind

_PREFIXES = ("filename_prefix", "save_prefix", "filename", "prefix")
_PREFIX_NAMES = frozenset({"filename_prefix", "save_prefix"})
# What is filled in when a file is saved, such as %date:yyyy-MM-dd%.
_TOKEN = re.compile(r"%[^%]*%|\[time[^\]]*\]")
_DATE = re.compile(r"%(?:date|year|month|day|hour|minute|second|width|height|batch_num)\b|\[time")
_COUNTER = re.compile(r"_\d{3,}_?(?:-audio)?(?:\.|$)")
_NO_FIT = (False, False, -1)
_SEPARATOR = re.compile(r"[_.\-\s]|$")
_TEMPORARY = re.compile(r"ComfyUI_temp_", re.IGNORECASE)
_OFF = (False, "false", "Hide", "Preview", "Preview&Choose", "Sender", "Disabled", "None")
_SHOWS = re.compile(r"preview|show|view|display|compar|decode|debug|print|sampler", re.IGNORECASE)
_SCRIPT = " Script"  # of Efficiency Nodes, which does nothing unless a sampler is given it
_MESH = "mesh"
_KINDS_IN_CLASS = {
    "audio": re.compile(r"audio|sound|music|mp3|flac|opus", re.IGNORECASE),
    "video": re.compile(r"video|webm|gif|film|animated|mp4", re.IGNORECASE),
    "image": re.compile(r"image|png|jpe?g|webp|picture", re.IGNORECASE),
    _MESH: re.compile(r"mesh|glb|gltf|3d", re.IGNORECASE),
}
_MESH_NAME = re.compile(r"\.(?:glb|gltf|obj|stl|ply|fbx|usdz|k?splat|spz)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SavedFile:
    """What is known of a file beside what it says; `node_id` is that of the node that saved it."""

    name: str = ""
    kind: FileKind | None = None
    node_id: str | None = None
    size: tuple[int, int] | None = None  # width and height in pixels
    media_type: str = ""

    @property
    def file_type(self) -> str | None:
        """The word for its kind in the rules of nodes; 3D models lie with the pictures."""
        if self.media_type.startswith("model/") or _MESH_NAME.search(self.name):
            return _MESH
        return self.kind.file_type if self.kind else None


def saving_nodes(graph: Graph, values: GraphValues, saved: SavedFile) -> Iterator[Sequence[str]]:
    """The nodes that may have saved the file, as sets of which the likeliest comes first.

    A file that was renamed fits no prefix; then its kind decides, and in a graph without a saving
    node, the nodes that nothing else uses. One of these may save, too, if no rule knows it.
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
    named = _of_name(savers, values, saved.name)
    if named:
        yield _of_kind(named, saved)
        return
    used = {
        value[0]
        for node in graph.values()
        for value in node["inputs"].values()
        if isinstance(value, list) and is_link(value)
    }
    others = used.union(previews)
    others.update(key for key, node in graph.items() if node["class_type"].endswith(_SCRIPT))
    last = [node_id for node_id in graph if node_id not in others]
    if savers:
        unknown = {node_id: graph[node_id] for node_id in last if _may_save(graph[node_id])}
        yield _of_kind({**savers, **unknown}, saved)
        return
    yield last
    yield previews


def _may_save(node: Node) -> bool:
    """Whether a node that nothing else uses may save, though no rule knows it."""
    class_type = node["class_type"]
    return not rule_of(class_type).classes and not _SHOWS.search(class_type)


def _is_off(node: Node) -> bool:
    """Whether a node that could save only shows."""
    inputs = node["inputs"]
    return inputs.get("save_output") in _OFF or inputs.get("image_output") in _OFF


def _of_name(savers: dict[str, Node], values: GraphValues, name: str) -> dict[str, Node]:
    """The nodes whose prefix the name of the file fits best; none where another may fit better."""
    best, is_known = _NO_FIT, True
    found: dict[str, Node] = {}
    for node_id, node in savers.items():
        prefixes = _prefixes(node, values)
        is_known = is_known and bool(prefixes)
        for prefix in prefixes:
            fit = _fit(prefix, name)
            if fit > best:
                best, found = fit, {}
            if fit == best is not _NO_FIT:
                found[node_id] = node
    return found if best[1] or is_known else {}


def _fit(prefix: str, name: str) -> tuple[bool, bool, int]:
    """How well the name of a file fits a prefix; the largest fits best.

    By letters beside what is filled in, by nothing but a counter after it, by the letters' number.
    """
    end: int | None = None
    if "%" not in prefix and "[" not in prefix:  # as of most; a pattern for each would take long
        end, letters = len(prefix) if prefix and name.startswith(prefix) else None, len(prefix)
    else:
        parts, tokens = _TOKEN.split(prefix), _TOKEN.findall(prefix)
        letters = sum(map(len, parts))
        filled = ["[0-9\\W_]+?" if _DATE.match(each) else ".+?" for each in tokens]
        # Atomic, as many of them would be tried in more ways than there is time for.
        pairs = zip(filled, map(re.escape, parts[1:]), strict=True)
        rest = (f"(?>{token}{part})" if part else token for token, part in pairs)
        pattern = re.escape(parts[0]) + "".join(rest)
        for tail in (_COUNTER, _SEPARATOR):
            found = re.match(f"({pattern})(?:{tail.pattern})", name)
            end = found.end(1) if found and end is None else end
    if end is None:
        return _NO_FIT
    is_counted = _COUNTER.match(name, end) is not None
    is_fit = is_counted or _SEPARATOR.match(name, end) is not None
    return (letters > 0, is_counted, letters) if is_fit else _NO_FIT


def _prefixes(node: Node, values: GraphValues) -> list[str]:
    inputs = node["inputs"]
    texts = [values.text(inputs[name], "value") for name in _PREFIXES if inputs.get(name)]
    return [text.replace("\\", "/").rpartition("/")[2] for text in texts if text]


def _of_kind(savers: dict[str, Node], saved: SavedFile) -> list[str]:
    """The nodes that save files of that kind; all where none is known to."""
    file_type = saved.file_type if len(savers) > 1 else None
    if file_type is None:
        return list(savers)
    fitting = [
        node_id for node_id, node in savers.items() if file_type in _kinds(node["class_type"])
    ]
    return fitting or list(savers)


def _kinds(class_type: str) -> Sequence[str]:
    saves = rule_of(class_type).saves
    if saves:
        return saves
    found = [kind for kind, words in _KINDS_IN_CLASS.items() if words.search(class_type)]
    return found[:1] or list(_KINDS_IN_CLASS)
