"""A recorded graph as a workflow of its own: what it renders is asked for as it is recorded."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from anime.core.binding_file import binding_text
from anime.core.bindings import Binding, InputBinding, InputKind, WorkflowOutput
from anime.core.graphs import Graph, Node
from anime.core.ids import MAX_SEED
from anime.core.paths import INPUTS_FOLDER, RECORDED_PREFIX
from anime.core.targets import Target
from anime.errors import InvalidRequest
from anime.schemas import MAX_PROMPT_CHARS, GenerationRequest, GenerationType

_KEPT_KEYS = ("class_type", "inputs", "_meta")  # a server's history has others besides
_OUTPUTS = {
    "image": WorkflowOutput.IMAGE,
    "video": WorkflowOutput.VIDEO,
    "audio": WorkflowOutput.AUDIO,
}


class RecordedWorkflow(NamedTuple):
    """The two texts of a workflow that is a recorded graph, and the request that renders it."""

    graph: str
    binding: str
    request: GenerationRequest


def recorded_workflow(
    graph: Graph, made: Mapping[str, JsonValue], *, kind: str, pictures: Mapping[str, str]
) -> RecordedWorkflow:
    """A workflow whose graph is this one, and the request that changes nothing of it.

    Seed, prompt and pictures are bound where the graph has them, to the values that it has: so the
    job's row and stamp say them, and the pictures are uploaded again.

    Args:
        graph: The graph as it ran.
        made: What is known besides, by the keys of a recipe.
        kind: image, video or audio.
        pictures: Those in the library's folder of inputs by their names at a server.

    Raises:
        InvalidRequest: the graph saves nothing that could be compared.
    """
    nodes = {node_id: _as_asked(node) for node_id, node in graph.items()}
    if not any("filename_prefix" in node["inputs"] for node in nodes.values()):
        raise InvalidRequest(
            "The recorded graph saves no file.", "Give a file that was made by a node that saves."
        )
    inputs: dict[str, InputBinding] = {}
    prompt, seed = made.get("prompt"), _seed_of(made.get("seed"))
    if isinstance(prompt, str) and prompt.strip() and len(prompt) <= MAX_PROMPT_CHARS:
        _bind(inputs, "prompt", InputKind.TEXT, _places(nodes, prompt))
    else:
        prompt = None
    if seed is not None:
        _bind(inputs, "seed", InputKind.SEED, _places(nodes, seed))
    given = _bind_pictures(inputs, nodes, pictures)
    output = _OUTPUTS.get(kind, WorkflowOutput.IMAGE)
    binding = Binding(
        title="Recorded graph", output=output, needs_prompt="prompt" in inputs, inputs=inputs
    )
    texts = json.dumps(nodes, sort_keys=True, ensure_ascii=False), binding_text(binding, {})
    is_video = output is WorkflowOutput.VIDEO
    request = GenerationRequest(
        prompt=prompt or "A recorded graph, rendered again.",
        type=GenerationType.VIDEO if is_video else GenerationType.IMAGE,
        workflow=RECORDED_PREFIX + hashlib.sha256("\0".join(texts).encode()).hexdigest()[:40],
        seed=seed if "seed" in inputs else None,
        inputs=given,
    )
    return RecordedWorkflow(*texts, request)


def pictures_in(graph: Graph) -> list[str]:
    """The names of the pictures that the graph loads, as its server has them."""
    return sorted(
        {
            value
            for node in graph.values()
            if str(node.get("class_type", "")).startswith("LoadImage")
            for name, value in node["inputs"].items()
            if name in {"image", "mask"} and isinstance(value, str)
        }
    )


def _as_asked(node: Node) -> Node:
    """The node without what a server's history adds, and what is set anew for each job."""
    asked = {key: node[key] for key in _KEPT_KEYS if key in node}
    if "filename_prefix" in node["inputs"]:
        asked["inputs"] = {**node["inputs"], "filename_prefix": ""}
    return {"_meta": {}, **asked}


def _places(graph: Graph, value: str | int) -> list[Target]:
    """The inputs that have exactly that value: to set it there again changes nothing."""
    return [
        Target(id=node_id, input=name)
        for node_id, node in graph.items()
        for name, each in node["inputs"].items()
        if type(each) is type(value) and each == value and name != "filename_prefix"
    ]


def _bind(
    inputs: dict[str, InputBinding], name: str, kind: InputKind, places: list[Target]
) -> None:
    if places:
        first, *also = places
        inputs[name] = InputBinding(id=first.id, input=first.input, kind=kind, also=tuple(also))


def _bind_pictures(
    inputs: dict[str, InputBinding], graph: Graph, pictures: Mapping[str, str]
) -> dict[str, JsonValue]:
    """Bind the pictures that the library has; the request's values for them."""
    given: dict[str, JsonValue] = {}
    texts = (
        value
        for node in graph.values()
        for value in node["inputs"].values()
        if isinstance(value, str)
    )
    for value in dict.fromkeys(texts):
        name = f"picture_{len(given) + 1}"
        if value in pictures:
            _bind(inputs, name, InputKind.IMAGE, _places(graph, value))
            given[name] = f"{INPUTS_FOLDER}/{pictures[value]}"
    return given


def _seed_of(said: JsonValue) -> int | None:
    try:
        seed = int(str(said))
    except ValueError:
        return None
    return seed if 0 <= seed <= MAX_SEED else None
