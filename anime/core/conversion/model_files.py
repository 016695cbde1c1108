"""The model files that a workflow names, with the addresses it has for them."""

import re
from collections.abc import Iterator

from anime.core.conversion.editor_format import NEVER, EditorNode, EditorWorkflow
from anime.core.conversion.findings import ModelFile

_NOTES = frozenset({"Note", "MarkdownNote"})
_MODEL_LINK = re.compile(
    r"\[([^\]\n]+\.(?:safetensors|ckpt|pt|pth|gguf|sft|bin|onnx))\]\((https?://[^)\s]+)\)"
)


def model_files_of(workflow: EditorWorkflow) -> tuple[ModelFile, ...]:
    """The model files by name: what nodes say of theirs, then what notes link to."""
    nodes = [node for graph in workflow.graphs() for node in graph.nodes if node.mode != NEVER]
    found: dict[str, ModelFile] = {}
    for read in (_named_by_node, _linked_by_note):
        for node in nodes:
            for each in read(node):
                found.setdefault(each.name, each)
    return tuple(found.values())


def _named_by_node(node: EditorNode) -> Iterator[ModelFile]:
    models = node.properties.get("models")
    for model in models if isinstance(models, list) else ():
        if isinstance(model, dict) and isinstance(model.get("name"), str):
            url, directory = (
                text if isinstance(text := model.get(key), str) else None
                for key in ("url", "directory")
            )
            yield ModelFile(model["name"], url, directory)


def _linked_by_note(node: EditorNode) -> Iterator[ModelFile]:
    for text in node.values if node.type in _NOTES else ():
        for name, url in _MODEL_LINK.findall(text) if isinstance(text, str) else ():
            yield ModelFile(name, url)
