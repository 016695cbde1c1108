"""Which models a graph loads, and where LoRAs go."""

import re
from collections.abc import Sequence

from anime.core.bindings import InputKind
from anime.core.proposals.findings import InputProposal, LoraProposal, Place
from anime.core.proposals.graph_view import GraphView

_FILES = ("ckpt_name", "unet_name", "model_name")
_NOISE = re.compile(r"(high|low)[ _-]?noise", re.IGNORECASE)
_MOST_STEPS = 100


def propose_models(view: GraphView, nodes: Sequence[str]) -> list[InputProposal]:
    """The files of the models that sample; the same file in several loaders is one input."""
    loaders = _loaders(view, nodes)
    by_file: dict[str, list[Place]] = {}
    for node_id, name in loaders.items():
        by_file.setdefault(str(view.values(node_id)[name]), []).append(Place(node_id, name))
    for file, places in by_file.items():
        places += [
            place
            for node_id in nodes
            for name in _FILES
            if (place := Place(node_id, name)) not in places
            and view.values(node_id).get(name) == file
        ]
    names = _names_of(list(by_file))
    return [
        InputProposal(
            names[file],
            InputKind.CHOICE,
            tuple(places),
            file,
            f"{view.class_of(places[0].node_id)}.{places[0].input}",
        )
        for file, places in by_file.items()
    ]


def propose_loras(view: GraphView, nodes: Sequence[str]) -> tuple[LoraProposal, ...]:
    """The loaders behind which LoRAs go, one for each model that samples."""
    loaders = _loaders(view, nodes)
    files = {str(view.values(node_id)[name]) for node_id, name in loaders.items()}
    doubt = "the graph has several models: is a LoRA for all of them?" if len(files) > 1 else ""
    found = []
    for node_id in loaders:
        outputs = view.definition(node_id).output_types
        clip = outputs.index("CLIP") if "CLIP" in outputs else None
        is_used = clip is not None and any(slot == clip for _, _, slot in view.consumers(node_id))
        found.append(
            LoraProposal(
                node_id,
                outputs.index("MODEL"),
                clip if is_used else None,
                f"{view.class_of(node_id)} loads the model that samples",
                doubt,
            )
        )
    return tuple(found)


def _loaders(view: GraphView, nodes: Sequence[str]) -> dict[str, str]:
    """The nodes that load the models of samplers and guiders, with the input for the file."""
    found: dict[str, str] = {}
    for node_id in nodes:
        if "MODEL" in view.definition(node_id).output_types or not view.samples(node_id):
            continue
        for name, origin, _ in view.links(node_id):
            if view.kind_of(Place(node_id, name)) == "MODEL":
                loader = _loader_behind(view, origin)
                file = next((name for name in _FILES if name in view.values(loader)), None)
                if file and isinstance(view.values(loader)[file], str):
                    found.setdefault(loader, file)
    return found


def _loader_behind(view: GraphView, node_id: str) -> str:
    """The first node of a chain that a model goes through."""
    for _ in range(_MOST_STEPS):
        before = [
            origin
            for _, origin, slot in view.links(node_id)
            if view.output_type(origin, slot) == "MODEL"
        ]
        if not before:
            return node_id
        node_id = before[0]
    return node_id


def _names_of(files: Sequence[str]) -> dict[str, str]:
    """A name for each file: `model`, or by the noise that it is for, or numbered."""
    if len(files) == 1:
        return {files[0]: "model"}
    noises = {
        file: f"model_{found[1].lower()}_noise" for file in files if (found := _NOISE.search(file))
    }
    if len(set(noises.values())) == len(files):
        return noises
    return {file: f"model_{number}" for number, file in enumerate(files, start=1)}
