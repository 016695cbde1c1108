"""What an input of a graph amounts to: through switches, pipes, primitives and text nodes.

Nothing is guessed: what only running the graph would show is None.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from anime.assets.metadata.node_rules import NodeRule, names_of, rule_of
from anime.core.graphs import Graph, Node, is_link

_MAX_STEPS = 64  # nodes between an input and the one that its value comes from
_MAX_CHOICE_STEPS = 8  # nodes between a switch and what it goes by
_MAX_NESTED = 8  # switches that go by switches, merged bundles of merged bundles
_MAX_TEXT_CHARS = 100_000  # of a text that nodes put together
_DELIMITERS = ("delimiter", "separator", "delim")
_PART = re.compile(r"(?:text|string|str|prompt|part)_?(?:[0-9]{1,2}|[a-z])")
_DELIMITER_NAMES = frozenset({"none", "space", "comma", "newline"})  # each pack's own
_CLEANS = "clean_whitespace"
_NUMBER_AT_END = re.compile(r"\d+$")
_RANGE = frozenset({"min", "max", "minimum", "maximum"})  # of numbers that a run draws
_OWN_RESULT = frozenset({"latent", "picture", "pipe"})  # of a sampler, whatever its pipe brings
_WORDS = {"true": True, "false": False}

T = TypeVar("T", str, int, float)


class Origin(NamedTuple):
    """The node that makes what an input gets, and what its output carries."""

    node_id: str
    node: Node
    rule: NodeRule
    role: str
    slot: int


class GraphValues:
    """The values of a graph's inputs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._texts: dict[tuple[str, str], str | None] = {}  # by node and role; also in circles
        self._merges: dict[tuple[int, str], JsonValue] = {}  # by node and role
        self._nested: set[int] = set()  # switches and merges that are being looked through

    def node(self, node_id: str) -> Origin:
        """A node of the graph, whatever it gives."""
        node = self._graph[node_id]
        return Origin(node_id, node, rule_of(node["class_type"]), "", 0)

    def origin(self, value: JsonValue, role: str) -> Origin | None:
        """The node that an input gets its `role` from, past all that only pass it on."""
        settled = self._settled(value, role)
        return settled if isinstance(settled, Origin) else None

    def own(self, node: Node, rule: NodeRule, role: str) -> JsonValue:
        """What a node has in its input for a role, a literal or a link; None for nothing."""
        inputs = node["inputs"]
        for name in rule.inputs.get(role, names_of(role)):
            value: JsonValue = inputs.get(name)
            if value is not None and (value != "" or role.endswith("_text")):
                return value
        return None

    def links(self, node: Node, names: Sequence[str]) -> list[JsonValue]:
        """The links of a node's inputs of these names, in the order of the names."""
        inputs = node["inputs"]
        return [inputs[name] for name in names if name in inputs and is_link(inputs[name])]

    def number(self, value: JsonValue, kind: type[T], asked: Sequence[str] = ()) -> T | None:
        """The value of an input as a number or a choice: a literal, or held by another node.

        `asked` are the names by which a node may hold it that holds several.
        """
        held = self._scalar(value, asked, _MAX_STEPS) if isinstance(value, list) else value
        return _as_kind(held, kind)

    def text(self, value: JsonValue, role: str = "positive_text") -> str | None:
        """The text that an input gets; None where a part of it is not known."""
        return self._text(value, role, _MAX_STEPS)

    def _settled(self, value: JsonValue, role: str) -> "Origin | JsonValue":
        """A literal as it is; of a link, the node that really gives it."""
        graph = self._graph
        for _ in range(_MAX_STEPS):
            if not is_link(value):
                return value
            node_id, slot = value
            node = graph.get(node_id)
            if node is None:
                return None
            rule = rule_of(node["class_type"])
            if rule.outputs and (carried := rule.output(slot)) not in {None, "pipe"}:
                role = str(carried)
            if rule.is_source or (rule.is_bundling_sampler and role in _OWN_RESULT):
                return Origin(node_id, node, rule, role, slot)
            value = self._passed_on(node, rule, role)
        return None

    def _passed_on(self, node: Node, rule: NodeRule, role: str) -> JsonValue:
        """What a switch, a reroute or a pipe takes its output from."""
        if rule.switch:
            return self._chosen(node, rule)
        if rule.first_of is not None:
            return next(iter(self._connected(node, rule.first_of)), None)
        if rule.merges is not None:
            return self._merged(node, rule.merges, role)
        own = self.own(node, rule, role)
        return own if own is not None else next(iter(self.links(node, rule.pipe)), None)

    def _connected(self, node: Node, prefix: str) -> list[JsonValue]:
        names = (name for name in node["inputs"] if name.startswith(prefix))
        return self.links(node, sorted(names) if prefix else list(names))

    def _merged(self, node: Node, prefix: str, role: str) -> JsonValue:
        """The last of several bundles that has something for a role."""
        key = id(node), role
        if key not in self._merges:
            self._merges[key] = None
            with self._nesting(node) as is_possible:
                links = self._connected(node, prefix) if is_possible else []
                found = (each for each in reversed(links) if self._settled(each, role) is not None)
                self._merges[key] = next(found, None)
        return self._merges[key]

    @contextmanager
    def _nesting(self, node: Node) -> Iterator[bool]:
        """Whether a node may be looked through: it is not in a circle, nor nested too deeply."""
        is_possible = id(node) not in self._nested and len(self._nested) < _MAX_NESTED
        if not is_possible:
            yield False
            return
        self._nested.add(id(node))
        try:
            yield True
        finally:
            self._nested.discard(id(node))

    def _chosen(self, node: Node, rule: NodeRule) -> JsonValue:
        """The input that a switch passes on; None where only a run would show which."""
        inputs = node["inputs"]
        if not rule.branch and not rule.on_true:  # of a pack that no rule names
            links = self._connected(node, "")
            return links[0] if len(links) == 1 else None
        with self._nesting(node) as is_possible:
            if not is_possible:
                return None
            choice = self._scalar(inputs.get(str(rule.switch)), (), _MAX_CHOICE_STEPS)
        if isinstance(choice, str):
            choice = _WORDS.get(choice.lower(), choice)
        if rule.branch:
            return self._branch(inputs, rule, _as_kind(choice, int))
        if not isinstance(choice, bool | int):
            return None
        patterns = (rule.on_true if choice else rule.on_false).split("|")
        names = (name for each in patterns for name in inputs if fnmatchcase(name, each))
        return next((inputs[name] for name in names if name != rule.switch), None)

    def _branch(
        self, inputs: dict[str, JsonValue], rule: NodeRule, number: int | None
    ) -> JsonValue:
        """The input of a switch with that number at its end."""
        pattern = rule.branch.format("*")
        for name, value in inputs.items():
            ending = _NUMBER_AT_END.search(name)
            is_numbered = ending is not None and int(ending[0]) == number
            if is_numbered and fnmatchcase(name, pattern) and name != rule.switch:
                return value
        return None

    def _scalar(self, value: JsonValue, asked: Sequence[str], steps_left: int) -> JsonValue:
        settled = self._settled(value, "value")
        if not isinstance(settled, Origin):
            return settled
        node, rule = settled.node, settled.rule
        if steps_left <= 0 or rule.opaque or _RANGE & node["inputs"].keys():
            return None
        inputs = node["inputs"]
        if settled.role in rule.outputs:
            asked = names_of(settled.role)
        names = rule.text or tuple(each for each in asked if each in inputs)
        if not names and rule.classes:
            names = names_of(settled.role)
        names = names or _lone_value(inputs)
        held = next((inputs[name] for name in names if inputs.get(name) is not None), None)
        return self._scalar(held, asked, steps_left - 1)

    def _text(self, value: JsonValue, role: str, steps_left: int) -> str | None:
        settled = self._settled(value, role)
        if not isinstance(settled, Origin):
            return settled if isinstance(settled, str) else None
        key = settled.node_id, settled.role
        if key not in self._texts:
            self._texts[key] = None
            self._texts[key] = self._made_text(settled, steps_left)
        return self._texts[key]

    def _made_text(self, settled: Origin, steps_left: int) -> str | None:
        """The text that a node gives."""
        node, rule = settled.node, settled.rule
        if steps_left <= 0 or rule.opaque or rule.silent:
            return None
        inputs = node["inputs"]
        shown = next((inputs[name] for name in rule.shown if _is_text(inputs.get(name))), None)
        if shown is not None:
            return str(shown)
        if rule.join:
            return self._joined(node, rule, steps_left - 1)
        if rule.replace:
            return self._replaced(node, rule, steps_left - 1)
        names: Sequence[str] = rule.text or rule.inputs.get(settled.role, ()) or rule.shown
        if not names:
            names = names_of(settled.role) if settled.role in rule.outputs else _lone_value(inputs)
        held = next((inputs[name] for name in names if inputs.get(name) is not None), None)
        text = self._text(held, settled.role, steps_left - 1)
        return text if text is None or rule.trim is None else _trimmed(text, inputs.get(rule.trim))

    def _joined(self, node: Node, rule: NodeRule, steps_left: int) -> str | None:
        inputs = node["inputs"]
        names = [name for name in rule.join if name in inputs]
        names = names or sorted((name for name in inputs if _PART.fullmatch(name)), key=_in_order)
        held = [inputs[name] for name in names if inputs[name] is not None]
        parts = [self._text(each, "value", steps_left) for each in held]
        delimiter = next((inputs[name] for name in _DELIMITERS if name in inputs), None)
        between = self._scalar(delimiter, (), steps_left)
        if None in parts or not isinstance(between, str) or inputs.get("return_list"):
            return None
        if between in _DELIMITER_NAMES:
            return None
        known = [part for part in parts if part is not None]
        if _CLEANS in inputs:  # the node that has this also leaves out what is empty
            is_clean = inputs[_CLEANS] in {"true", True}
            known = [text for part in known if (text := part.strip() if is_clean else part)]
        whole = between.replace("\\n", "\n").join(known)
        return whole if len(whole) <= _MAX_TEXT_CHARS else None

    def _replaced(self, node: Node, rule: NodeRule, steps_left: int) -> str | None:
        held = (node["inputs"].get(name) for name in rule.replace)
        text, searched, instead = (self._text(each, "value", steps_left) for each in held)
        if text is None or searched is None or instead is None:
            return None
        if not searched:
            return text
        grown = text.count(searched) * len(instead) + len(text)
        return text.replace(searched, instead) if grown <= _MAX_TEXT_CHARS else None


def _in_order(name: str) -> tuple[int, str]:
    """The key by which `text_2` comes before `text_10`."""
    return len(name), name


def _trimmed(text: str, mode: JsonValue) -> str | None:
    """The text as ComfyUI's StringTrim gives it; None for a mode that is not known."""
    cut = {"Both": text.strip, "Left": text.lstrip, "Right": text.rstrip}.get(str(mode))
    return cut() if cut else None


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value)


def _lone_value(inputs: dict[str, JsonValue]) -> tuple[str, ...]:
    """The one input that holds the value of a node of no known class; nothing where in doubt.

    A node that has another number or link to go by may change the value; a text may be changed by
    what another text says, too, such as the language that it is to be in.
    """
    held = [name for name in names_of("value") if name in inputs]
    is_text = any(isinstance(inputs[name], str) for name in held)
    others = [
        value
        for name, value in inputs.items()
        if name not in held
        and (is_link(value) or _is_number(value) or (is_text and _is_text(value)))
    ]
    is_plain = len(held) == 1 and not others and not is_link(inputs[held[0]])
    return tuple(held) if is_plain else ()


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_DIGITS = re.compile(r"-?[0-9]{1,20}(\.0*)?")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")


def _as_kind(value: JsonValue, kind: type[T]) -> T | None:
    """The literal as text, whole number or number; some nodes give numbers as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, dict):  # a widget that shows a picture beside the name
        value = value.get("content")
    if kind is str:
        return kind(value) if isinstance(value, str) and value else None
    if isinstance(value, str):
        text = value.strip()
        if not (_DIGITS if kind is int else _DECIMAL).fullmatch(text):
            return None
        return kind(text.partition(".")[0] if kind is int else text)
    if not isinstance(value, int | float):
        return None
    if kind is int and isinstance(value, float):
        return kind(value) if value.is_integer() and abs(value) < 2**53 else None
    try:
        return kind(value)
    except OverflowError:  # a whole number beyond all floats
        return None
