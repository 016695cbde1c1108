"""From a template and a request to the graph that ComfyUI is sent."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

from anime.core.bindings import REQUEST_FIELDS, Binding, InputBinding, checked_value
from anime.core.graphs import Graph, is_link, title_of
from anime.errors import InvalidRequest
from anime.schemas import DEFAULT_WORKFLOWS, GenerationRequest, GenerationType, LoraChoice

Link: TypeAlias = list[str | int]  # [node id, output slot]


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
    def output(self) -> GenerationType:
        """What it makes: images, or an animation."""
        return self.binding.output

    @property
    def vram_mb(self) -> int | None:
        """Free VRAM it needs, in MB; None leaves it to the setting."""
        return self.binding.vram_mb

    def node_id(self, title: str) -> str:
        """The id of the node with that title; titles that a binding uses are unique."""
        return next(node_id for node_id, node in self.graph.items() if title_of(node) == title)

    def value_of(self, name: str) -> JsonValue:
        """The value an input has where a request gives none."""
        binding = self.inputs[name]
        if binding.default is not None:
            return binding.default
        value: JsonValue = self.graph[self.node_id(binding.node)]["inputs"][binding.input]
        return value


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
    _insert_loras(template, graph, request.loras)
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


def choose_model(
    template: Template,
    request: GenerationRequest,
    choices: Sequence[str],
    default_model: str | None,
) -> str | None:
    """The checkpoint to take instead of the template's, for `build(default_model=…)`.

    None where nothing needs replacing: the request names one, the workflow loads none by
    name, or the server has the template's own. Otherwise the studio's default, or the first
    that the server offers.
    """
    if request.model or "model" not in template.inputs or template.value_of("model") in choices:
        return None
    return default_model or next(iter(choices), None)


def _defaults(template: Template, *, seed: int, default_model: str | None) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {
        name: binding.default
        for name, binding in template.inputs.items()
        if binding.default is not None
    }
    if "seed" in template.inputs:
        values["seed"] = checked_value("seed", template.inputs["seed"], seed)
    if default_model and "model" in template.inputs:
        values["model"] = default_model
    return values


def _refuse_other_output(template: Template, request: GenerationRequest) -> None:
    # The other way round is fine: "image" is what a request says that says nothing.
    if request.type is GenerationType.VIDEO and template.output is GenerationType.IMAGE:
        raise InvalidRequest(
            f'Workflow "{template.name}" makes images, not a video.',
            f'Leave `type` out, or take workflow "{DEFAULT_WORKFLOWS[request.type]}".',
        )


def _refuse_fields_as_inputs(request: GenerationRequest) -> None:
    for name in request.inputs:
        if name in REQUEST_FIELDS:
            raise InvalidRequest(
                f'"{name}" is a field of the request and stands among its inputs.',
                f"Move inputs.{name} to {name}.",
            )


def _refuse_missing(template: Template, values: dict[str, JsonValue]) -> None:
    for name, binding in template.inputs.items():
        if binding.required and name not in values:
            raise InvalidRequest(
                f'Workflow "{template.name}" needs a value for "{name}".',
                " ".join(filter(None, [f"Give inputs.{name}.", binding.description])),
            )


def _set_input(template: Template, graph: Graph, name: str, value: JsonValue) -> None:
    for target in template.inputs[name].targets:
        graph[template.node_id(target.node)]["inputs"][target.input] = value


def _insert_loras(template: Template, graph: Graph, loras: Sequence[LoraChoice]) -> None:
    """Chain one LoraLoader for each LoRA behind the model's loader, and move its consumers."""
    if not loras:
        return
    place = template.binding.loras
    if place is None:
        raise InvalidRequest(
            f'Workflow "{template.name}" takes no LoRAs.',
            f"Leave them out, or add a [loras] table to {template.name}.toml.",
        )
    source = template.node_id(place.node)
    consumers = list(graph.values())
    model: Link = [source, place.model_slot]
    clip: Link = [source, place.clip_slot]
    end = _chain_loras(graph, model, clip, loras)
    for node in consumers:
        for name, value in node["inputs"].items():
            if is_link(value) and value in (model, clip):
                node["inputs"][name] = [end, 0 if value == model else 1]


def _chain_loras(graph: Graph, model: Link, clip: Link, loras: Sequence[LoraChoice]) -> str:
    """Add the loaders, each fed by the one before; the id of the last."""
    node_id = ""
    for number, lora in enumerate(loras, start=1):
        node_id = _free_id(graph)
        graph[node_id] = {
            "class_type": "LoraLoader",
            "inputs": {
                "lora_name": lora.name,
                "strength_model": lora.strength,
                "strength_clip": lora.strength,
                "model": list(model),
                "clip": list(clip),
            },
            "_meta": {"title": f"LoRA {number}"},
        }
        model, clip = [node_id, 0], [node_id, 1]
    return node_id


def _free_id(graph: Graph) -> str:
    return str(1 + max((int(node_id) for node_id in graph if node_id.isdecimal()), default=0))
