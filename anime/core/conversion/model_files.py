"""The model files that a workflow needs, with the addresses that it has for them."""

import re
from collections.abc import Iterable, Iterator

from anime.core.conversion.definitions import COMBO, NodeDefinitions
from anime.core.conversion.editor_format import NEVER, EditorNode, EditorWorkflow
from anime.core.conversion.findings import ModelFile
from anime.core.graphs import Graph

_NOTES = frozenset({"Note", "MarkdownNote"})
_SUFFIXES = ("safetensors", "ckpt", "pt", "pth", "gguf", "sft", "bin", "onnx")
MODEL_SUFFIX = re.compile(rf"\.(?:{'|'.join(_SUFFIXES)})$", re.IGNORECASE)
_MODEL_LINK = re.compile(
    rf"\[([^\[\]\n]+\.(?:{'|'.join(_SUFFIXES)}))\]\((https?://[^)\s]+)\)", re.IGNORECASE
)


def missing_models(
    graph: Graph, definitions: NodeDefinitions, named: Iterable[ModelFile]
) -> tuple[ModelFile, ...]:
    """The model files that the graph loads and the server does not offer, each once.

    `named` are the files for which the workflow has an address.
    """
    known = {each.name: each for each in named}
    found: dict[str, ModelFile] = {}
    for node in graph.values():
        inputs = definitions[node["class_type"]].inputs_by_name
        for name, value in node["inputs"].items():
            each = inputs.get(name)
            if not isinstance(value, str) or not each or each.widget_kind != COMBO:
                continue
            if value not in each.choices and MODEL_SUFFIX.search(value):
                file = value.replace("\\", "/").rpartition("/")[2]
                found.setdefault(value, known.get(file, ModelFile(value)))
    return tuple(found.values())


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
