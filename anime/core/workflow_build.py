"""From a template and a request to the graph that ComfyUI is sent."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from pydantic import JsonValue

from anime.core.bindings import (
    REQUEST_FIELDS,
    Binding,
    InputBinding,
    InputKind,
    WorkflowOutput,
    checked_value,
)
from anime.core.graph_facts import workflow_hash
from anime.core.graphs import Graph
from anime.core.lora_chains import insert_loras, node_of
from anime.core.targets import NodeReference, PicturePlace
from anime.core.unused_places import Needed, UnusedPlace, remove_place
from anime.errors import InvalidRequest
from anime.schemas import DEFAULT_WORKFLOWS, GenerationRequest, GenerationType

_CHECKPOINT_INPUT = "ckpt_name"


@dataclass(frozen=True)
class Template:
    """A graph with its binding, known to fit each other (see template_format)."""

    name: str
    graph: Graph
    binding: Binding

    @property
    def inputs(self) -> dict[str, InputBinding]:
        """The inputs a request may set, by our names for them."""
        return self.binding.inputs

    @property
    def output(self) -> WorkflowOutput:
        """What it makes."""
        return self.binding.output

    @property
    def vram_mb(self) -> int | None:
        """Free VRAM it needs, in MB; None leaves it to the setting."""
        return self.binding.vram_mb

    @property
    def output_node(self) -> str | None:
        """The id of the node whose files are the job's; None if all files are."""
        taken = self.binding.output_node
        return None if taken is None else self.node_id(taken)

    @property
    def picture_input(self) -> str | None:
        """The input for pictures that are given without its name: `image`, or the first one."""
        kinds = {name: bound.kind for name, bound in self.inputs.items()}
        names = [name for name, kind in kinds.items() if kind in _PICTURES]
        return "image" if "image" in names else next(iter(names), None)

    @cached_property
    def sha256(self) -> str:
        """The hash of all that decides what it makes: the graph, and where values go in it."""
        bound = self.binding.model_dump_json(include={"inputs", "loras", "output_node"})
        return sha256(f"{workflow_hash(self.graph)}{bound}".encode()).hexdigest()

    @property
    def was_edited(self) -> bool:
        """Whether the graph is another than the one that its bindings were confirmed for."""
        return self.binding.graph_sha256 not in (None, workflow_hash(self.graph))

    def node_id(self, reference: NodeReference) -> str:
        """The id of the node; what a binding names is there, and once."""
        return node_of(self.graph, reference)

    def places_of(self, name: str) -> list[str]:
        """Where an input's value goes, as `12.text`: the id of a node, and the node's input."""
        targets = self.inputs[name].targets
        return [f"{self.node_id(target)}.{target.input}" for target in targets]

    def value_of(self, name: str) -> JsonValue:
        """The value an input has where a request gives none."""
        binding = self.inputs[name]
        if binding.default is not None:
            return binding.default
        if binding.kind is InputKind.IMAGES:
            return []
        node_id, bound = self.node_id(binding), binding.input
        value: JsonValue = self.graph[node_id]["inputs"][bound]
        if binding.kind is InputKind.SECONDS and isinstance(value, int | float):
            return binding.seconds_of(value)
        return value


_KEPT = frozenset({InputKind.TEXT, InputKind.SEED})
_PICTURES = frozenset({InputKind.IMAGE, InputKind.IMAGES})


def build(
    template: Template,
    request: GenerationRequest,
    *,
    seed: int,
    filename_prefix: str,
    default_model: str | None = None,
) -> Graph:
    """A new graph with the request's values in place; the template stays as it is.

    `default_model` is taken where the request names none; None leaves the template's own.

    Raises:
        InvalidRequest: a value has no place in this workflow, does not suit its input, or
            a required one is missing.
    """
    values = _defaults(template, seed=seed, default_model=default_model)
    values |= given_values(template, request)
    _refuse_missing(template, values)
    graph = deepcopy(template.graph)
    for name, value in values.items():
        _set_input(template, graph, name, value)
    _insert_loras(template, graph, request)
    _remove_unused_places(template, graph, values)
    for node in graph.values():
        node.setdefault("_meta", {})  # ComfyUI fails on a node without, if it replaces its class
        if "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = filename_prefix
    return graph


def given_values(template: Template, request: GenerationRequest) -> dict[str, JsonValue]:
    """What the request says, by input name, each value known to suit its input.

    Raises:
        InvalidRequest: as `build`.
    """
    _refuse_other_output(template, request)
    _refuse_fields_as_inputs(request)
    fields = {name: getattr(request, name) for name in REQUEST_FIELDS}
    values = {name: value for name, value in fields.items() if value is not None} | request.inputs
    if not template.binding.needs_prompt and "prompt" not in template.inputs:
        del values["prompt"]
    for name in values:
        if name not in template.inputs:
            raise InvalidRequest(
                f'Workflow "{template.name}" has no input "{name}".',
                f"Leave it out; the inputs are: {', '.join(template.inputs)}.",
            )
    return {
        name: checked_value(name, template.inputs[name], value) for name, value in values.items()
    }


def with_pictures(
    request: GenerationRequest, pictures: Sequence[str], template: Template
) -> GenerationRequest:
    """The request with pictures for the input that takes them; a list, or the one there is.

    Raises:
        InvalidRequest: the workflow takes none, or one only.
    """
    if not pictures:
        return request
    name = template.picture_input
    if name is None:
        raise InvalidRequest(
            f'Workflow "{template.name}" takes no picture.', "Leave it out, or take another one."
        )
    is_list = template.inputs[name].kind is InputKind.IMAGES
    if len(pictures) > 1 and not is_list:
        raise InvalidRequest(
            f'Workflow "{template.name}" takes one picture, not {len(pictures)}.',
            "Give one, or take a workflow with a list of pictures, such as edit.",
        )
    value: JsonValue = list(pictures) if is_list else pictures[0]
    return request.model_copy(update={"inputs": {**request.inputs, name: value}})


def choose_model(
    template: Template,
    request: GenerationRequest,
    choices: Sequence[str],
    default_model: str | None,
) -> str | None:
    """The model to take instead of the template's, for `build(default_model=…)`.

    None where nothing needs replacing: the request names one, the workflow loads none by
    name, or the server has the template's own. Otherwise, of a checkpoint, the studio's default
    or the first that the server offers. A model that comes without text encoder and VAE fits
    those of its kind only: the studio's default takes its place if it is one of them.
    """
    if request.model or "model" not in template.inputs or template.value_of("model") in choices:
        return None
    if template.inputs["model"].input != _CHECKPOINT_INPUT:
        return default_model if default_model in choices else None
    return default_model or next(iter(choices), None)


def remove_unused_places(
    template: Template, graph: Graph, name: str, count: int, needed: Needed
) -> None:
    """Treat the places that a list of so many pictures leaves empty, the last one first.

    Raises:
        ValueError: the graph cannot do without one of them.
    """
    binding = template.inputs[name]
    if binding.unused is None or binding.unused is UnusedPlace.REPEAT:
        return
    for place in reversed(binding.places[count:]):
        remove_place(graph, template.node_id(place), binding.unused, needed)


def needed_nodes(template: Template) -> Needed:
    """The nodes that are not to go with the places of pictures."""
    bound: set[str] = set()
    kept: set[str] = set()
    for binding in template.inputs.values():
        if binding.kind is not InputKind.IMAGES:
            nodes = {template.node_id(target) for target in binding.targets}
            bound |= nodes
            kept |= nodes if binding.kind in _KEPT else set()
    saving = {id_ for id_, node in template.graph.items() if "filename_prefix" in node["inputs"]}
    return Needed(bound=bound, kept=kept, take=template.output_node, savers=saving)


def _defaults(template: Template, *, seed: int, default_model: str | None) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {
        name: binding.default
        for name, binding in template.inputs.items()
        if binding.default is not None
    }
    if "seed" in template.inputs:
        most = template.inputs["seed"].maximum
        # A seed that a request gives was checked before; one that follows from the job is fitted.
        fitted = seed if most is None else seed % (int(most) + 1)
        values["seed"] = checked_value("seed", template.inputs["seed"], fitted)
    if default_model and "model" in template.inputs:
        values["model"] = default_model
    return values


def _refuse_other_output(template: Template, request: GenerationRequest) -> None:
    # The other way round is fine: "image" is what a request says that says nothing.
    if request.type is GenerationType.VIDEO and template.output is not WorkflowOutput.VIDEO:
        raise InvalidRequest(
            f'Workflow "{template.name}" makes {_MADE[template.output]}, not a video.',
            f'Leave `type` out, or take workflow "{DEFAULT_WORKFLOWS[request.type]}".',
        )


_MADE: Mapping[WorkflowOutput, str] = {
    WorkflowOutput.IMAGE: "images",
    WorkflowOutput.VIDEO: "videos",
    WorkflowOutput.AUDIO: "sounds",
    WorkflowOutput.MODEL_3D: "3D models",
}


def _refuse_fields_as_inputs(request: GenerationRequest) -> None:
    for name in request.inputs:
        if name in REQUEST_FIELDS:
            raise InvalidRequest(
                f'"{name}" is a field of the request and stands among its inputs.',
                f"Move inputs.{name} to {name}.",
            )


def _refuse_missing(template: Template, values: dict[str, JsonValue]) -> None:
    for name, binding in template.inputs.items():
        if binding.is_required and name not in values:
            raise InvalidRequest(
                f'Workflow "{template.name}" needs a value for "{name}".',
                " ".join(filter(None, [f"Give inputs.{name}.", binding.description])),
            )


def _set_input(template: Template, graph: Graph, name: str, value: JsonValue) -> None:
    binding = template.inputs[name]
    if isinstance(value, list) and binding.kind is InputKind.IMAGES:
        for place, picture in _placed(binding, value):
            graph[template.node_id(place)]["inputs"][place.input] = picture
        return
    if binding.kind is InputKind.SECONDS and isinstance(value, int | float):
        value = binding.frames_of(value)
    for target in binding.targets:
        graph[template.node_id(target)]["inputs"][target.input] = value


def _placed(
    binding: InputBinding, pictures: list[JsonValue]
) -> list[tuple[PicturePlace, JsonValue]]:
    """The pictures at their places; at the others the last one, if it is to be repeated."""
    if binding.unused is UnusedPlace.REPEAT:
        pictures = pictures + pictures[-1:] * (len(binding.places) - len(pictures))
    return list(zip(binding.places, pictures, strict=False))


def _insert_loras(template: Template, graph: Graph, request: GenerationRequest) -> None:
    if request.loras and not template.binding.loras:
        raise InvalidRequest(
            f'Workflow "{template.name}" takes no LoRAs.',
            f"Leave them out, or add a [loras] table to {template.name}.toml.",
        )
    insert_loras(graph, template.binding.loras, request.loras)


def _remove_unused_places(
    template: Template, graph: Graph, values: Mapping[str, JsonValue]
) -> None:
    """Treat the places of all lists of pictures that the request leaves empty.

    Raises:
        InvalidRequest: the graph cannot do without them, if several lists are short at once.
    """
    needed = None
    for name, binding in template.inputs.items():
        pictures = values.get(name, [])
        if binding.kind is InputKind.IMAGES and isinstance(pictures, list):
            needed = needed or needed_nodes(template)
            try:
                remove_unused_places(template, graph, name, len(pictures), needed)
            except ValueError as fault:
                raise InvalidRequest(
                    f'Input "{name}" has too few pictures beside the others: {fault}.',
                    f"Give {len(binding.places)} pictures.",
                ) from fault
