"""The LoRAs that a node of a graph loads, as far as they are on."""

import re
from collections.abc import Iterator
from functools import lru_cache

from pydantic import JsonValue

from anime.assets.metadata.graph_values import GraphValues, without_wildcards
from anime.assets.metadata.lora_tags import loras_in_tags, number_in
from anime.assets.metadata.node_rules import NodeRule, NumberedLoras, names_of
from anime.assets.metadata.recipe import LoraUse
from anime.core.graphs import Node, is_link

_MAX_STACKS = 32  # stacks that are chained
_PATH = "opt_lora_path"  # KJNodes: whatever name is chosen beside it
_WEIGHTED = "lbw_model"  # Inspire: what its blocks are weighted by, beside its name
_NAMES = ("lora_name", "lora", _WEIGHTED)
_STRENGTHS = (
    "strength_model",
    "strength",
    "lora_model_strength",
    "model_strength",
    "model_weight",
    "lora_strength",
    "lora_weight",
    "weight",
    "llm_strength",
)
_CLIP_STRENGTHS = ("strength_clip", "lora_clip_strength", "clip_strength", "clip_weight")
_ON_CLIP = (
    "clip_weight_{}",
    "clip_str_{}",
    "strength_clip_{}",
    "clip_strength_{}",
    "lora_{}_clip_strength",
    "lora{}_clip_strength",
    "lora_{}_clip_weight",
)
_LISTED_ON_CLIP = ("strengthTwo", "clipStrength", "strength_clip")
_NUMBERED = re.compile(r"lora(?:_name)?_?(\d{1,3})(?:_name)?")
_COMMON = NumberedLoras(
    name="lora_name_{}",
    strength=(
        "strength_{}",
        "model_weight_{}",
        "lora_wt_{}",
        "model_str_{}",
        "strength_model_{}",
        "weight_{}",
        "lora_weight_{}",
        "lora_strength_{}",
        "lora_{}_strength",
        "lora{}_model_strength",
        "lora_{}_model_strength",
        "lora_{}_model_weight",
    ),
)
_HOOKS = ("hooks", "prev_hooks", "hooks_A", "hooks_B", "hooks_C", "hooks_D")
_NONE = frozenset({"", "none", "undefined"})
_SWITCHES = ("toggle", "switch", "enabled", "enable", "is_enabled", "active", "on", "insert_lora")
_NUMBERED_SWITCHES = (
    *("switch_{}", "enable_{}", "enabled_{}", "active_{}", "toggle_{}", "on_{}", "use_lora_{}"),
    *("lora_{}_on", "lora_{}_enabled", "lora_{}_enable", "lora_on_{}", "lora_enabled_{}"),
)
_OFF = frozenset({"off", "false", "disable", "disabled", "disable loras", "no"})


class LoraReader:
    """Reads the LoRAs of the nodes of one graph."""

    def __init__(self, values: GraphValues) -> None:
        self._values = values

    def of_node(self, node: Node, rule: NodeRule) -> list[LoraUse]:
        """The LoRAs of a node and of the stacks it is given, in the order in which they act."""
        if rule.lora_tags or "lora" in " ".join(node["inputs"]) or _WEIGHTED in node["inputs"]:
            return self._stacked(node, rule, set())
        return []  # as of most: a sweep asks this of every file

    def _stacked(self, node: Node, rule: NodeRule, reached: set[str]) -> list[LoraUse]:
        found: list[LoraUse] = []
        for link in self._values.links(node, names_of("lora_stack")):
            origin = self._values.origin(link, "lora_stack")
            is_new = origin is not None and origin.node_id not in reached
            if origin is not None and is_new and len(reached) < _MAX_STACKS:
                reached.add(origin.node_id)
                found += self._stacked(origin.node, origin.rule, reached)
        return [*found, *self._own(node, rule)]

    def of_hooks(self, node: Node) -> list[LoraUse]:
        """The LoRAs of the hooks that a node is given."""
        found: list[LoraUse] = []
        waiting, reached = self._values.links(node, _HOOKS), set()
        for link in waiting:  # grows while it is walked
            origin = self._values.origin(link, "hooks")
            if origin is not None and origin.node_id not in reached:
                reached.add(origin.node_id)
                found = [*self._own(origin.node, origin.rule), *found]
                waiting += self._values.links(origin.node, _HOOKS)
        return found

    def _own(self, node: Node, rule: NodeRule) -> Iterator[LoraUse]:
        inputs = node["inputs"]
        if rule.opaque:
            return
        switches = [inputs[name] for name in _SWITCHES if name in inputs]
        if any(map(_is_off, switches)) or inputs.get("bypass") is True:
            return
        if rule.lora_tags:
            text = self._values.text(inputs.get(rule.lora_tags), "value") or ""
            yield from loras_in_tags(without_wildcards(text) if rule.wildcards else text)
        if (single := self._single(inputs)) is not None:
            yield single
        for value in inputs.values():
            if isinstance(value, dict | list):
                yield from _listed(value)
        yield from self._numbered(inputs, rule.loras or _COMMON)

    def _single(self, inputs: dict[str, JsonValue]) -> LoraUse | None:
        for key in (_PATH,) if inputs.get(_PATH) else _NAMES:
            held = inputs.get(key)
            if key == "lora" and is_link(held):
                continue  # to a stack
            name = self._values.number(held, str, _NAMES)
            if name is not None and name.lower() not in _NONE:
                strength = self._strength(inputs, _STRENGTHS)
                return _acting(name, strength, self._strength(inputs, _CLIP_STRENGTHS))
        return None

    def _strength(self, inputs: dict[str, JsonValue], names: tuple[str, ...]) -> float | None:
        held = next((inputs[name] for name in names if inputs.get(name) is not None), None)
        return self._values.number(held, float, names)

    def _numbered(self, inputs: dict[str, JsonValue], loras: NumberedLoras) -> Iterator[LoraUse]:
        """The LoRAs of a node with `lora_01`, `strength_01` and so on."""
        pattern = _pattern(loras.name)
        count = self._values.number(inputs.get("lora_count", inputs.get("num_loras")), int)
        chosen = self._values.number(inputs.get(loras.chosen or ""), int)
        for key, value in inputs.items():
            found = pattern.fullmatch(key) or _NUMBERED.fullmatch(key)
            name = None if found is None else self._values.number(value, str)
            if found is None or name is None or name.lower() in _NONE:
                continue
            number = found[1]
            is_beyond = count is not None and int(number) > count
            if is_beyond or (loras.chosen is not None and int(number) != chosen):
                continue
            switches = (each.format(number) for each in (loras.on or "", *_NUMBERED_SWITCHES))
            if any(_is_off(inputs.get(each, True)) for each in switches):
                continue
            names = tuple(each.format(number) for each in (*loras.strength, *_COMMON.strength))
            if "advanced" in (inputs.get("input_mode"), inputs.get("mode")):
                names = tuple(sorted(names, key=lambda name: "model" not in name))
            on_clip = self._strength(inputs, tuple(each.format(number) for each in _ON_CLIP))
            use = _acting(name, self._strength(inputs, names), on_clip)
            if use is not None:
                yield use


@lru_cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\{\}", r"(\d{1,3})"))


def _listed(value: JsonValue) -> Iterator[LoraUse]:
    """The LoRAs of a widget that keeps one, or a list of them, as objects."""
    if isinstance(value, dict) and isinstance(value.get("__value__"), list):
        value = value["__value__"]
    for each in value if isinstance(value, list) and not is_link(value) else [value]:
        if not isinstance(each, dict):
            continue
        name = each.get("lora") if "lora" in each else each.get("name")
        is_on = each.get("on") if "on" in each else each.get("active")
        if isinstance(name, str) and name.lower() not in _NONE and is_on and not _is_off(is_on):
            on_clip = next((each[key] for key in _LISTED_ON_CLIP if key in each), None)
            use = _acting(name, number_in(each.get("strength")), number_in(on_clip))
            if use is not None:
                yield use


def _acting(name: str, strength: float | None, on_clip: float | None) -> LoraUse | None:
    """The LoRA, unless it is loaded with no strength.

    ComfyUI's loaders hand on what they were given if both strengths are zero.
    """
    return None if strength == 0 and not on_clip else LoraUse(name=name, strength=strength)


def _is_off(value: JsonValue) -> bool:
    return value is False or value is None or (isinstance(value, str) and value.lower() in _OFF)
