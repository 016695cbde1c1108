"""The judgement on a graph: which outputs may run, and what is wrong with the others.

The error types, messages and shapes are those of ComfyUI's POST /prompt. Values are turned into
what the input takes ("64" becomes 64) in place, as there.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from anime.core.graphs import Graph
from anime.rehearsal.node_types import JsonObject, NodeInput, NodeType

MAX_CHOICES_LISTED = 20
LINK_LENGTH = 2  # [node id, output slot]
CONVERSIONS: dict[str, Callable[[Any], object]] = {  # of whatever the client sent
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}


@dataclass
class Verdict:
    """What POST /prompt says: `error` only when nothing at all may run."""

    outputs: list[str] = field(default_factory=list)
    error: JsonObject | None = None
    node_errors: JsonObject = field(default_factory=dict)


def judge_graph(
    graph: Graph,
    types: Mapping[str, NodeType],
    file_exists: Callable[[str], bool],
    targets: Collection[str] | None = None,
) -> Verdict:
    """The verdict on a graph. `targets` leaves only those output nodes to run.

    Raises:
        TypeError: the graph is none at all; ComfyUI answers 500 then.
    """
    outputs = []
    for node_id, node in graph.items():
        fault = _class_fault(node_id, node, types)
        if fault:
            return Verdict(error=fault)
        if types[node["class_type"]].is_output and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Verdict(error=error("prompt_no_outputs", "Prompt has no outputs"))
    return _Judge(graph, types, file_exists).judge(outputs)


def error(kind: str, message: str, details: str = "", **extra_info: object) -> JsonObject:
    """An error as ComfyUI words it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def _class_fault(node_id: str, node: object, types: Mapping[str, NodeType]) -> JsonObject | None:
    if not isinstance(node, dict):
        raise TypeError(f"node {node_id} is no object")
    where = f"Node ID '#{node_id}'"
    if "class_type" not in node:
        message = "Cannot execute because a node is missing the class_type property."
        return error("invalid_prompt", message, where)
    if node["class_type"] not in types:
        message = f"Cannot execute because node {node['class_type']} does not exist."
        return error("invalid_prompt", message, where)
    return None


@dataclass
class _Judge:
    """One pass over a graph; remembers what it found, so that shared nodes are judged once."""

    graph: Graph
    types: Mapping[str, NodeType]
    file_exists: Callable[[str], bool]
    faults: dict[str, list[JsonObject]] = field(default_factory=dict)
    sound: dict[str, bool] = field(default_factory=dict)

    def judge(self, outputs: list[str]) -> Verdict:
        verdict = Verdict()
        details: list[str] = []
        for output in outputs:
            if self._output_is_sound(output):
                verdict.outputs.append(output)
            else:
                reasons = self.faults.get(output, [])
                details += [f"{reason['message']}: {reason['details']}" for reason in reasons]
                self._blame(verdict.node_errors, output)
        if not verdict.outputs:
            message = "Prompt outputs failed validation"
            verdict.error = error("prompt_outputs_failed_validation", message, "\n".join(details))
        return verdict

    def _output_is_sound(self, output: str) -> bool:
        try:
            return self._is_sound(output)
        except (KeyError, IndexError, TypeError) as fault:
            self.sound[output] = False
            reason = error("exception_during_validation", "Exception when validating node")
            self.faults[output] = [_with_exception(reason, fault)]
            return False

    def _blame(self, node_errors: JsonObject, output: str) -> None:
        for node_id, reasons in self.faults.items():
            if reasons:
                entry = node_errors.setdefault(
                    node_id,
                    {
                        "errors": reasons,
                        "dependent_outputs": [],
                        "class_type": self.graph[node_id]["class_type"],
                    },
                )
                entry["dependent_outputs"].append(output)

    def _is_sound(self, node_id: str) -> bool:
        """Whether the node and all before it can run. A node met again inside a cycle cannot."""
        if node_id in self.sound:
            return self.sound[node_id]
        self.sound[node_id] = False
        node = self.graph[node_id]
        given: JsonObject = node["inputs"]
        node_type = self.types[node["class_type"]]
        faults: list[JsonObject] = []
        all_before_are_sound = True
        for wanted in node_type.inputs:
            if isinstance(given.get(wanted.name), list):
                fault, before_is_sound = self._link_fault(wanted, given[wanted.name])
                all_before_are_sound &= before_is_sound
            else:
                fault = self._value_fault(node_type, wanted, given)
            faults += [fault] if fault else []
        self.faults[node_id] = faults
        self.sound[node_id] = all_before_are_sound and not faults
        return self.sound[node_id]

    def _link_fault(self, wanted: NodeInput, link: list[Any]) -> tuple[JsonObject | None, bool]:
        """What is wrong with the link itself, and whether all before it can run."""
        shown = {"input_name": wanted.name, "input_config": wanted.describe()}
        if len(link) != LINK_LENGTH:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return error(
                "bad_linked_input", message, wanted.name, **shown, received_value=link
            ), True
        source, slot = link
        received = self.types[self.graph[source]["class_type"]].outputs[slot]
        if received != wanted.type_name:
            details = (
                f"{wanted.name}, received_type({received}) mismatch input_type({wanted.type_name})"
            )
            message = "Return type mismatch between linked nodes"
            return error(
                "return_type_mismatch",
                message,
                details,
                **shown,
                received_type=received,
                linked_node=link,
            ), True
        return None, self._source_is_sound(source, shown, link)

    def _source_is_sound(self, source: str, shown: JsonObject, link: list[Any]) -> bool:
        try:
            return self._is_sound(source)
        except (KeyError, IndexError, TypeError) as fault:
            message = "Exception when validating inner node"
            reason = error("exception_during_inner_validation", message, **shown)
            reason["extra_info"] |= {"exception_message": str(fault), "linked_node": link}
            reason = _with_exception(reason, fault)
            self.faults[source] = [reason]
            self.sound[source] = False
            return False

    def _value_fault(
        self, node_type: NodeType, wanted: NodeInput, given: JsonObject
    ) -> JsonObject | None:
        """What is wrong with a value. Sets the value to what the input takes."""
        name = wanted.name
        if name not in given:
            if not wanted.required:
                return None
            return error(
                "required_input_missing", "Required input is missing", name, input_name=name
            )
        convert = CONVERSIONS.get(wanted.type_name)
        if convert:
            try:
                given[name] = convert(given[name])
            except (ValueError, TypeError, OverflowError) as fault:
                return _unconvertible(wanted, given[name], fault)
        if node_type.checks_files:
            return self._file_fault(name, given[name])
        return _range_fault(wanted, given[name]) or _choice_fault(wanted, given[name])

    def _file_fault(self, name: str, value: object) -> JsonObject | None:
        if self.file_exists(str(value)):
            return None
        details = f"{name} - Invalid image file: {value}"
        message = "Custom validation failed for node"
        return error("custom_validation_failed", message, details, input_name=name)


def _with_exception(reason: JsonObject, fault: Exception) -> JsonObject:
    reason["details"] = str(fault)
    reason["extra_info"] |= {
        "exception_type": type(fault).__name__,
        "traceback": [f"rehearsal: {type(fault).__name__}: {fault}"],
    }
    return reason


def _unconvertible(wanted: NodeInput, value: object, fault: Exception) -> JsonObject:
    return error(
        "invalid_input_type",
        f"Failed to convert an input value to a {wanted.type_name} value",
        f"{wanted.name}, {value}, {fault}",
        input_name=wanted.name,
        input_config=wanted.describe(),
        received_value=value,
        exception_message=str(fault),
    )


def _range_fault(wanted: NodeInput, value: Any) -> JsonObject | None:  # a number, if limited
    shown = {"input_name": wanted.name, "input_config": wanted.describe(), "received_value": value}
    least, most = wanted.options.get("min"), wanted.options.get("max")
    if least is not None and value < least:
        message = f"Value {value} smaller than min of {least}"
        return error("value_smaller_than_min", message, wanted.name, **shown)
    if most is not None and value > most:
        message = f"Value {value} bigger than max of {most}"
        return error("value_bigger_than_max", message, wanted.name, **shown)
    return None


def _choice_fault(wanted: NodeInput, value: object) -> JsonObject | None:
    if isinstance(wanted.kind, str) or value in wanted.kind:
        return None
    choices = list(wanted.kind)
    is_long = len(choices) > MAX_CHOICES_LISTED
    listed = f"(list of length {len(choices)})" if is_long else str(choices)
    return error(
        "value_not_in_list",
        "Value not in list",
        f"{wanted.name}: '{value}' not in {listed}",
        input_name=wanted.name,
        input_config=None if is_long else wanted.describe(),
        received_value=value,
    )
