"""The files among the outputs of nodes."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from anime.comfyui.models import MOVING_KEYS, OutputFile

# JSON as it comes: custom nodes put anything into it, so every step is checked.
Json = Any
_MAX_DEPTH = 4
_KINDS = {"temp": "temporary"}
_MESH = re.compile(
    r"(?![/\\])(?!.*\.\.[/\\])[^:]+\.(glb|gltf|fbx|obj|stl|usdz|ply|spz|k?splat)", re.IGNORECASE
)
_WHOLE_PATH = re.compile(r"[/\\]|[A-Za-z]:")
_SHOWN_MESH = re.compile(r"preview(3d|3d_advanced|_splat|_pointcloud)_[0-9a-f]{32}\.")


def files_of(outputs: Json, graph: Json, meta: Json = None) -> tuple[OutputFile, ...]:
    """The files among a prompt's outputs, node by node.

    Nodes also list texts and numbers; those are skipped. `meta` says as which node of the graph one
    is shown that another has made while it ran, such as a saver within a loop.
    """
    return tuple(
        file
        for node_id, output in _nodes(outputs, graph, meta)
        for file in node_files(node_id, output)
    )


def node_files(node_id: str, output: Json) -> tuple[OutputFile, ...]:
    """The files of one node's output, in its order and each once, under whatever key it has them.

    Keys are the nodes' own: core nodes say `images` of films as well, and `3d` of meshes.
    """
    if not isinstance(output, dict):
        return ()
    marks = output.get("animated")
    moves = isinstance(marks, list) and any(marks)
    files: dict[tuple[str, str, str], OutputFile] = {}
    for key, value in output.items():
        for item in _listed(value):
            subfolder, name = _place(str(item.get("subfolder") or ""), item["filename"])
            file = OutputFile(
                filename=name,
                subfolder=subfolder,
                type=str(item.get("type") or "output"),
                node_id=node_id,
                key=key,
                animated=moves or key in MOVING_KEYS,
            )
            files.setdefault((file.type, file.subfolder, file.filename), file)
    return tuple(files.values())


def unkept_of(outputs: Json, graph: Json, meta: Json = None) -> tuple[str, ...]:
    """What nodes list and nobody keeps, a few words each: temporary files, texts, numbers."""
    found: dict[str, None] = {}
    for node_id, output in _nodes(outputs, graph, meta):
        for key, value in output.items():
            what = f"{key} of node {node_id}"
            files = list(_listed(value))
            kinds = {str(item.get("type") or "output") for item in files} - {"output"}
            found |= {f"{what} ({_KINDS.get(kind, kind)})": None for kind in sorted(kinds)}
            is_shown_by = key == "animated"  # how to show what is kept
            if not files and value not in (None, [], {}) and not is_shown_by:
                found[what] = None
    return tuple(found)


def _nodes(outputs: Json, graph: Json, meta: Json) -> Iterator[tuple[str, Json]]:
    """Nodes, as ComfyUI shows them, with what they list, and meshes as files."""
    nodes, about = (each if isinstance(each, dict) else {} for each in (graph, meta))
    for node_id, output in outputs.items() if isinstance(outputs, dict) else ():
        if isinstance(output, dict):
            listed = {key: _as_listed(value) for key, value in output.items()}
            match listed:
                case {"result": [str(path), *others]}:
                    listed["result"] = [_mesh(path, nodes.get(node_id)), *others]
            known = about.get(node_id)
            shown = known.get("display_node") if isinstance(known, dict) else None
            yield shown if isinstance(shown, str) else node_id, listed


def _as_listed(value: Json) -> Json:
    """What a node has listed, where /api/jobs makes a file of any text that ends as a mesh does."""
    if not isinstance(value, list):
        return value
    return [
        item.get("filename") if isinstance(item, dict) and item.get("mediaType") == "3d" else item
        for item in value
    ]


def _mesh(path: str, node: Json) -> Json:
    """The mesh at a path below the output folder, as a file; the path, if it is none of this node.

    3D nodes list `[path, camera, …]`. One that only shows a mesh lists a file that it has named at
    random, or a path that stands in the graph. Source: ComfyUI 0.33.0.
    """
    match node:
        case {"inputs": {"model_3d": [_, _]} | {"model_file": [_, _]}} if _MESH.fullmatch(path):
            subfolder, _, name = path.rpartition("/")  # also on Windows
            kind = "temp" if _SHOWN_MESH.match(name) else "output"
            return {"filename": name, "subfolder": subfolder, "type": kind}
    return path


def _listed(value: Json, depth: int = _MAX_DEPTH) -> Iterator[dict[str, Json]]:
    """Whatever has a file's name, alone or within lists and objects."""
    if isinstance(value, dict) and isinstance(value.get("filename"), str):
        yield value
    elif isinstance(value, list | dict) and depth:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _listed(part, depth - 1)


def _place(subfolder: str, name: str) -> tuple[str, str]:
    """Folder and name as /view wants them: below the output folder, and no folder in the name.

    Some extensions list whole paths, of which what follows a folder called `output` is taken, as
    ComfyUI's is by default, or else the name alone.
    """
    path = name if _WHOLE_PATH.match(name) or not subfolder else f"{subfolder}/{name}"
    if _WHOLE_PATH.match(path):
        _, known, path = path.replace("\\", "/").rpartition("/output/")
        path = path if known else PurePosixPath(path).name
    folder, _, name = path.rpartition("/")
    return folder, name


def as_list(value: Json) -> list[Json]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
