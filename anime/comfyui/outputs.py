"""The files among the outputs of nodes."""

from collections.abc import Iterable
from typing import Any

from anime.comfyui.models import MOVING_KEYS, OutputFile

# JSON as it comes: custom nodes put anything into it, so every step is checked.
Json = Any


def files_of(outputs: Json) -> tuple[OutputFile, ...]:
    """The files among a prompt's outputs, node by node.

    Nodes also list texts and numbers; those are skipped.
    """
    return tuple(
        file for node_id, output in _nodes(outputs) for file in node_files(node_id, output)
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
        for item in filter(_is_file, _items(value)):
            file = OutputFile(
                filename=item["filename"],
                subfolder=item.get("subfolder") or "",
                type=item.get("type") or "output",
                node_id=node_id,
                key=key,
                animated=moves or key in MOVING_KEYS,
            )
            files.setdefault((file.type, file.subfolder, file.filename), file)
    return tuple(files.values())


def unkept_of(outputs: Json) -> tuple[str, ...]:
    """What nodes list and nobody keeps, a few words each: temporary files, texts, numbers."""
    found = []
    for node_id, output in _nodes(outputs):
        for key, value in output.items() if isinstance(output, dict) else ():
            items = _items(value)
            if all(map(_is_file, items)):
                if any(item.get("type") == "temp" for item in items):
                    found.append(f"{key} of node {node_id} (temporary)")
            elif key != "animated":  # which says how to show what is kept
                found.append(f"{key} of node {node_id}")
    return tuple(found)


def _nodes(outputs: Json) -> Iterable[tuple[str, Json]]:
    return outputs.items() if isinstance(outputs, dict) else ()


def _items(value: Json) -> list[Json]:
    """What a node lists under one key; a single value counts as a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_file(item: Json) -> bool:
    return isinstance(item, dict) and isinstance(item.get("filename"), str)


def as_list(value: Json) -> list[Json]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
