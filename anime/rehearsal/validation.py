"""The validation of a graph: which outputs may run, and the errors of the others.

The types, messages and fields of errors are those of ComfyUI's POST /prompt, in the wording of the
server's profile. Values are converted to the type of their input ("64" to 64) in place, as there.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from anime.core.graphs import Graph, Node
from anime.rehearsal.config import Profile
from anime.rehearsal.node_types import (
    ANY_TYPE,
    MATCH_TYPE,
    JsonObject,
    NodeInput,
    NodeType,
)

MAX_CHOICES_LISTED = 20
LINK_LENGTH = 2  # [node id, output slot]
LIST_VALUE = "__value__"  # the key of a list that is a value and no link
UNCHECKED_CHOICES = frozenset({"CustomCombo"})  # classes whose choices the editor makes up
CONVERSIONS: dict[str, Callable[[Any], object]] = {  # of whatever the client sent
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}


@dataclass
class GraphValidation:
    """The result for POST /prompt: it has an `error` only when no output may run."""

    outputs: list[str] = field(default_factory=list)
    error: JsonObject | None = None
    node_errors: JsonObject = field(default_factory=dict)


def validate_graph(
    graph: Graph,
    types: Mapping[str, NodeType],
    file_exists: Callable[[str], bool],
    targets: Collection[str] | None = None,
    profile: Profile = Profile.V0_3_64,
) -> GraphValidation:
    """The validation of a graph. With `targets`, only those output nodes are to run.

    Raises:
        TypeError: it is not a graph; ComfyUI then answers 500.
    """
    outputs = []
    for node_id, node in graph.items():
        fault = _class_fault(node_id, node, types, profile)
        if fault:
            return GraphValidation(error=fault)
        if types[node["class_type"]].is_output and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return GraphValidation(error=error("prompt_no_outputs", "Prompt has no outputs"))
    return _GraphValidator(graph, types, file_exists, profile).validate(outputs)


def error(kind: str, message: str, details: str = "", **extra_info: object) -> JsonObject:
    """An error as ComfyUI words it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def _class_fault(
    node_id: str, node: object, types: Mapping[str, NodeType], profile: Profile
) -> JsonObject | None:
    if not isinstance(node, dict):
        raise TypeError(f"node {node_id} is no object")
    class_type = node.get("class_type")
    if "class_type" in node and class_type in types:
        return None
    where = f"Node ID '#{node_id}'"
    if profile is Profile.V0_3_64:
        message = "Cannot execute because a node is missing the class_type property."
        if "class_type" in node:
            message = f"Cannot execute because node {class_type} does not exist."
        return error("invalid_prompt", message, where)
    title = node.get("_meta", {}).get("title", class_type)
    message = f"Node '{title}' not found. The custom node may not be installed."
    if "class_type" not in node:
        message = (
            f"Node '{title or f'ID #{node_id}'}' has no class_type. "
            "The workflow may be corrupted or a custom node is missing."
        )
    about = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return error("missing_node_type", message, where, **about)


@dataclass
class _GraphValidator:
    """One pass over a graph; keeps its results, so that shared nodes are validated once."""

    graph: Graph
    types: Mapping[str, NodeType]
    file_exists: Callable[[str], bool]
    profile: Profile
    path: list[str] = field(default_factory=list)
    """The nodes on the way from the output to the one that is being validated."""
    faults: dict[str, list[JsonObject]] = field(default_factory=dict)
    valid: dict[str, bool] = field(default_factory=dict)

    def validate(self, outputs: list[str]) -> GraphValidation:
        result = GraphValidation()
        details: list[str] = []
        for output in outputs:
            if self._is_valid_output(output):
                result.outputs.append(output)
            else:
                reasons = self.faults.get(output, [])
                details += [f"{reason['message']}: {reason['details']}" for reason in reasons]
                self._add_node_errors(result.node_errors, output)
        if not result.outputs:
            message = "Prompt outputs failed validation"
            result.error = error("prompt_outputs_failed_validation", message, "\n".join(details))
        return result

    def _is_valid_output(self, output: str) -> bool:
        try:
            return self._is_valid(output)
        except (KeyError, IndexError, TypeError) as fault:
            self.valid[output] = False
            reason = error("exception_during_validation", "Exception when validating node")
            self.faults[output] = [_with_exception(reason, fault)]
            return False

    def _add_node_errors(self, node_errors: JsonObject, output: str) -> None:
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

    def _is_valid(self, node_id: str) -> bool:
        """Whether the node and all before it can run. A node that is part of a cycle cannot."""
        if node_id in self.path:
            self._report_cycle(self.path[self.path.index(node_id) :])
        if node_id in self.valid:
            return self.valid[node_id]
        self.valid[node_id] = False
        self.path.append(node_id)
        try:
            faults, are_sources_valid = self._faults_of(self.graph[node_id])
        finally:
            self.path.pop()
        self.faults[node_id] = [*self.faults.get(node_id, ()), *faults]
        self.valid[node_id] = are_sources_valid and not self.faults[node_id]
        return self.valid[node_id]

    def _faults_of(self, node: Node) -> tuple[list[JsonObject], bool]:
        """The errors of a node, and whether all before it can run."""
        given: JsonObject = node["inputs"]
        node_type = self.types[node["class_type"]]
        faults: list[JsonObject] = []
        are_sources_valid = True
        for wanted in node_type.inputs_for(given):
            if isinstance(given.get(wanted.name), list):
                fault, is_source_valid = self._link_fault(wanted, given[wanted.name])
                are_sources_valid &= is_source_valid
            else:
                fault = self._value_fault(node_type, wanted, given)
            faults += [fault] if fault else []
        for wanted in node_type.inputs:
            if wanted.media and (fault := self._file_fault(wanted, given.get(wanted.name))):
                faults.append(fault)
        return faults, are_sources_valid

    def _report_cycle(self, cycle: list[str]) -> None:
        """Note the cycle as an error of each of its nodes; ComfyUI 0.3.64 says nothing of it."""
        if self.profile is Profile.V0_3_64:
            return
        way = (f"{each} ({self.graph[each]['class_type']})" for each in (*cycle, cycle[0]))
        details = " -> ".join(way)
        for each in cycle:
            about = {"node_id": each, "cycle_nodes": cycle}
            self.faults.setdefault(each, []).append(
                error("dependency_cycle", "Dependency cycle detected", details, **about)
            )

    def _link_fault(self, wanted: NodeInput, link: list[Any]) -> tuple[JsonObject | None, bool]:
        """The error of the link itself, and whether all before it can run."""
        shown = {"input_name": wanted.name, "input_config": wanted.describe()}
        if len(link) != LINK_LENGTH:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return error(
                "bad_linked_input", message, wanted.name, **shown, received_value=link
            ), True
        source, slot = link
        received = self.types[self.graph[source]["class_type"]].outputs[slot]
        if not _types_match(received, wanted.type_name):
            [shown_kind, _options] = wanted.describe()
            details = f"{wanted.name}, received_type({received}) mismatch input_type({shown_kind})"
            message = "Return type mismatch between linked nodes"
            return error(
                "return_type_mismatch",
                message,
                details,
                **shown,
                received_type=received,
                linked_node=link,
            ), True
        return None, self._is_valid_source(source, shown, link)

    def _is_valid_source(self, source: str, shown: JsonObject, link: list[Any]) -> bool:
        try:
            return self._is_valid(source)
        except (KeyError, IndexError, TypeError) as fault:
            message = "Exception when validating inner node"
            reason = error("exception_during_inner_validation", message, **shown)
            reason["extra_info"] |= {"exception_message": str(fault), "linked_node": link}
            reason = _with_exception(reason, fault)
            self.faults[source] = [reason]
            self.valid[source] = False
            return False

    def _value_fault(
        self, node_type: NodeType, wanted: NodeInput, given: JsonObject
    ) -> JsonObject | None:
        """The error of a value. Converts the value to the type of its input."""
        name = wanted.name
        if name not in given:
            if not wanted.required:
                return None
            shown = name if wanted in node_type.inputs else name.rpartition(".")[2]
            message = "Required input is missing"
            return error("required_input_missing", message, shown, input_name=name)
        if isinstance(given[name], dict) and LIST_VALUE in given[name]:
            given[name] = given[name][LIST_VALUE]
        convert = CONVERSIONS.get(wanted.type_name)
        if convert:
            try:
                given[name] = convert(given[name])
            except (ValueError, TypeError, OverflowError) as fault:
                return _unconvertible(wanted, given[name], fault)
        if wanted.media or node_type.name in UNCHECKED_CHOICES:
            return None
        return _range_fault(wanted, given[name]) or _choice_fault(wanted, given[name])

    def _file_fault(self, wanted: NodeInput, value: object) -> JsonObject | None:
        """The error of the file that is named.

        Raises:
            TypeError: there is no text, but nothing, a number, or a link, which has no value yet.
        """
        if not isinstance(value, str):
            raise TypeError(f"{wanted.name} is no text: {value}")
        if self.file_exists(value):
            return None
        details = f"{wanted.name} - Invalid {wanted.media} file: {value}"
        message = "Custom validation failed for node"
        return error("custom_validation_failed", message, details, input_name=wanted.name)


def _types_match(received: str, wanted: str) -> bool:
    """Whether such an output may feed such an input; both may name several types."""
    if MATCH_TYPE in (received, wanted):
        return True
    gives, takes = set(received.split(",")), set(wanted.split(","))
    return ANY_TYPE in gives | takes or not gives.isdisjoint(takes)


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
    minimum, maximum = wanted.options.get("min"), wanted.options.get("max")
    if minimum is not None and value < minimum:
        message = f"Value {value} smaller than min of {minimum}"
        return error("value_smaller_than_min", message, wanted.name, **shown)
    if maximum is not None and value > maximum:
        message = f"Value {value} bigger than max of {maximum}"
        return error("value_bigger_than_max", message, wanted.name, **shown)
    return None


def _choice_fault(wanted: NodeInput, value: object) -> JsonObject | None:
    choices = wanted.choices
    if choices is None:
        return None
    may_be_many = wanted.options.get("multiselect", False)
    chosen = value if isinstance(value, list) and may_be_many else [value]
    invalid = [each for each in chosen if each not in choices]
    if not invalid:
        return None
    is_long = len(choices) > MAX_CHOICES_LISTED
    listed = f"(list of length {len(choices)})" if is_long else str(list(choices))
    return error(
        "value_not_in_list",
        "Value not in list",
        f"{wanted.name}: {', '.join(map(repr, invalid))} not in {listed}",
        input_name=wanted.name,
        input_config=None if is_long else wanted.describe(),
        received_value=value,
    )
