"""The files among the outputs of nodes."""

from typing import Any

from anime.comfyui.models import MEDIA_KEYS, MOVING_KEYS, OutputFile

# JSON as it comes: custom nodes put anything into it, so every step is checked.
Json = Any


def files_of(outputs: Json) -> tuple[OutputFile, ...]:
    """The files among a prompt's outputs, node by node.

    Nodes also list texts, numbers and keys of their own; those are skipped.
    """
    nodes = outputs.items() if isinstance(outputs, dict) else ()
    return tuple(file for node_id, output in nodes for file in node_files(node_id, output))


def node_files(node_id: str, output: Json) -> tuple[OutputFile, ...]:
    """The files of one node's output, in its order."""
    if not isinstance(output, dict):
        return ()
    marks = output.get("animated")
    moves = isinstance(marks, list) and any(marks)
    return tuple(
        OutputFile(
            filename=item["filename"],
            subfolder=item.get("subfolder") or "",
            type=item.get("type") or "output",
            node_id=node_id,
            key=key,
            animated=moves or key in MOVING_KEYS,
        )
        for key in MEDIA_KEYS
        for item in as_list(output.get(key))
        if isinstance(item, dict) and isinstance(item.get("filename"), str)
    )


def as_list(value: Json) -> list[Json]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
