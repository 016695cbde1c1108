"""What an input of a graph amounts to: through switches, pipes, primitives and text nodes.

Nothing is guessed: what only running the graph would show is None.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from anime.assets.metadata.json_fields import fields_of, objects_in
from anime.assets.metadata.node_rules import NodeRule, names_of, rule_of
from anime.assets.metadata.preset_sizes import SIDES, preset_size
from anime.core.foreign_json import read_json
from anime.core.graphs import Graph, Node, is_link

_MAX_STEPS = 64  # nodes between an input and the one that its value comes from
_MAX_CHOICE_STEPS = 8  # nodes between a switch and what it goes by
_MAX_NESTED = 8  # switches that go by switches, merged bundles of merged bundles
_MAX_WAYS = 32  # that switches may take, of which a run decides
_MAX_LISTS = 2  # of texts, one in the other
_MAX_ITEMS = 1000
_MAX_DECIMALS = 10
_MAX_TEXT_CHARS = 100_000  # of a text that nodes put together
_DELIMITERS = ("delimiter", "separator", "delim")
_PART = re.compile(r"(?:text|string|str|prompt|part)_?(?:[0-9]{1,2}|[a-z])")
_DELIMITER_NAMES = frozenset({"none", "space", "comma", "newline"})  # each pack's own
_CLEANS = "clean_whitespace"
_NO_BLANKS = "remove_empty_lines"
_ESCAPED = re.compile(r"\\([^\w\s])")  # a sign of a regular expression that stands for itself
_SIGNS = frozenset(r".^$*+?{}[]|()" + "\\")
_SPELLED_NEWLINE = "\\n"  # as a person types it
# A wildcard, words to choose from, a number that is drawn, what a run fills in.
_DRAWN = re.compile(
    r"__[^\s_][^\n]*?__|\{[^{}]*\|[^{}]*\}|<random:[^<>]*>|%[A-Za-z][^%\s]*[:.][^%\n]*%"
)
_BRACES = re.compile(r"(\{\{|\}\}|\{[a-z]\})")  # a name of one letter, or a brace that stays
_NUMBER_AT_END = re.compile(r"\d+$")
_RANGE = frozenset({"min", "max", "minimum", "maximum"})  # of numbers that a run draws
_OWN_RESULT = frozenset(
    {"latent", "picture", "sound", "pipe", "unnamed"}
)  # of a node that makes something, whatever its pipe brings
_SLASH = "/"
_NOTHING = (None, "", "None")
_UNKNOWN = "unknown"
_WORDS = {"true": True, "false": False}
_SETTINGS = ("seed", "steps", "cfg", "sampler", "scheduler", "denoise")
_SETTING_NAMES = frozenset(name for role in _SETTINGS for name in names_of(role))
_CHANGES = re.compile("|".join(names_of("changes")), re.IGNORECASE)
_HARMLESS = frozenset({"control_after_generate", "title", "note"})  # of a node that holds a value

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

    def __init__(self, graph: Graph, editor_workflow: JsonValue = None) -> None:
        """In the editor's workflow are the texts that nodes showed in the very run."""
        self._graph = graph
        self._editor_workflow = editor_workflow
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

    def possible(self, value: JsonValue, role: str) -> list[Origin]:
        """The nodes that an input may get its `role` from, if a run decides what a switch takes."""
        found: list[Origin] = []
        waiting, reached = [value], set()
        for link in islice(waiting, _MAX_WAYS):  # grows while it is walked
            origin = self.origin(link, role)
            switch = self._undecided(link, role) if origin is None else None
            if origin is not None:
                found.append(origin)
            elif switch is not None and id(switch) not in reached:
                reached.add(id(switch))
                inputs, chosen_by = switch["inputs"], rule_of(switch["class_type"]).switches
                waiting += self.links(switch, [name for name in inputs if name not in chosen_by])
        return found

    def _undecided(self, value: JsonValue, role: str) -> Node | None:
        """The switch behind an input for which only a run shows what it passes on."""
        for _ in range(_MAX_STEPS):
            node = self._graph.get(value[0]) if is_link(value) else None
            if node is None:
                return None
            rule = rule_of(node["class_type"])
            value = self.passed_on(node, rule, role)
            if value is None:
                return node if rule.switch else None
        return None

    def own(self, node: Node, rule: NodeRule, role: str) -> JsonValue:
        """What a node has in its input for a role, a literal or a link; None for nothing."""
        inputs = node["inputs"]
        if rule.choice is not None:
            preset = rule.presets.get(str(inputs.get(rule.choice)), {})
            if role in preset:
                return preset[role]
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
                if role == _UNKNOWN:
                    return None
            is_own = rule.is_bundling_maker and role in _OWN_RESULT
            if rule.is_source or is_own or rule.adds(role):
                return Origin(node_id, node, rule, role, slot)
            role = rule.renames.get(role, role)
            value = self.passed_on(node, rule, role)
        return None

    def passed_on(self, node: Node, rule: NodeRule, role: str) -> JsonValue:
        """What a switch, a reroute or a pipe takes its output from."""
        if rule.switch:
            return self._chosen(node, rule)
        if rule.first_of is not None:
            links = self._connected(node, rule.first_of)
            return next((each for each in links if not self._is_void(each, _MAX_NESTED)), None)
        if rule.merges is not None:
            return self._merged(node, rule.merges, role)
        own = self.own(node, rule, role)
        return own if own is not None else next(iter(self.links(node, rule.pipe)), None)

    def _is_void(self, link: JsonValue, steps_left: int) -> bool:
        """Whether a bundle is given nothing at all, as that of a group that is muted."""
        node = self._graph.get(link[0]) if is_link(link) else None
        rule = None if node is None else rule_of(node["class_type"])
        if node is None or rule is None or not steps_left:
            return False
        if rule.outputs[:1] != ("pipe",) and rule.first_of is None:
            return False  # it is neither a bundle nor a reroute of one
        given = [value for value in node["inputs"].values() if value is not None]
        return not rule.makes and all(self._is_void(each, steps_left - 1) for each in given)

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
        inputs: dict[str, JsonValue] = node["inputs"]
        if not rule.branch and not rule.on_true:  # of a pack that no rule names
            links = self._connected(node, "")
            return links[0] if len(links) == 1 else None
        with self._nesting(node) as is_possible:
            if not is_possible:
                return None
            held = next((inputs[name] for name in rule.switches if name in inputs), None)
            choice = self._scalar(held, (), _MAX_CHOICE_STEPS)
        if isinstance(choice, str):
            choice = _WORDS.get(choice.lower(), choice)
            named = str(choice).replace(" ", "_")
            if named in inputs and named not in rule.switches:
                return inputs[named]
        if rule.cases:
            return self._case(inputs, rule, choice)
        if rule.branch:
            return self._branch(inputs, rule, _as_kind(choice, int))
        if not isinstance(choice, bool | int):
            one, other = (self._side(inputs, rule, each) for each in (rule.on_true, rule.on_false))
            return one if is_link(one) and one == other else None
        return self._side(inputs, rule, rule.on_true if choice else rule.on_false)

    def _side(self, inputs: dict[str, JsonValue], rule: NodeRule, patterns: str) -> JsonValue:
        """What a switch is given for one of its sides."""
        each = patterns.split("|")
        names = (name for pattern in each for name in inputs if fnmatchcase(name, pattern))
        return next((inputs[name] for name in names if name not in rule.switches), None)

    def _case(self, inputs: dict[str, JsonValue], rule: NodeRule, choice: JsonValue) -> JsonValue:
        """The input of a switch whose case the choice is; None where a case is not known."""
        for name in sorted(each for each in inputs if fnmatchcase(each, rule.cases.format("*"))):
            number = name.removeprefix(rule.cases.format(""))
            case = self._scalar(inputs[name], (), _MAX_CHOICE_STEPS)
            if case is None or choice is None:
                return None
            branch = inputs.get(rule.branch.format(number))
            if case == choice and branch is not None:
                return branch
        return inputs.get(rule.otherwise)

    def _branch(
        self, inputs: dict[str, JsonValue], rule: NodeRule, number: int | None
    ) -> JsonValue:
        """The input of a switch with that number at its end."""
        pattern = rule.branch.format("*")
        for name, value in inputs.items():
            ending = _NUMBER_AT_END.search(name)
            is_numbered = ending is not None and int(ending[0]) == number
            if is_numbered and fnmatchcase(name, pattern) and name not in rule.switches:
                return value
        return None

    def _scalar(self, value: JsonValue, asked: Sequence[str], steps_left: int) -> JsonValue:
        settled = self._settled(value, "value")
        if not isinstance(settled, Origin):
            return settled
        inputs, rule = settled.node["inputs"], settled.rule.known(settled.node["inputs"])
        if steps_left <= 0 or rule is None or rule.opaque:
            return None
        if not rule.text and not _RANGE.isdisjoint(inputs):
            return None
        if rule.constant is not None or rule.entry:
            return rule.constant or self._text(value, "value", steps_left)
        if rule.size is not None and settled.role in SIDES:
            size = preset_size(rule.size, inputs, self.number)
            return None if size is None else size[SIDES.index(settled.role)]
        if settled.role in rule.outputs:
            asked = names_of(settled.role)
        names = rule.text or tuple(each for each in asked if each in inputs)
        if not names and rule.classes:
            names = names_of(settled.role)
        names = names or _lone_value(settled)
        held = next((inputs[name] for name in names if inputs.get(name) not in _NOTHING), None)
        if not rule.classes and _is_number(held) and not _is_kept(inputs, names):
            return None
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
        rule = settled.rule
        if steps_left <= 0 or rule.opaque or rule.silent:
            return None
        text = self._worked_out(settled, steps_left)
        if text is None and rule.shown:
            return self._shown(settled, steps_left)
        if text is not None and rule.wildcards and has_wildcards(text):
            return None
        if text is not None and rule.filled and any(each in text for each in names_of("filled")):
            return None
        return text

    def _worked_out(self, settled: Origin, steps_left: int) -> str | None:
        """The text that a node makes of its inputs."""
        node, inputs = settled.node, settled.node["inputs"]
        rule = settled.rule.known(inputs)
        if rule is None:
            return None
        if rule.widget is not None:
            return self._widget_text(settled, rule.widget)
        if rule.entry:
            return self._entry(inputs, rule, steps_left - 1)
        if rule.braces:
            return self._filled_in(inputs, rule, steps_left - 1)
        if rule.join or rule.replace:
            made = self._joined if rule.join else self._replaced
            text = made(node, rule, steps_left - 1)
            return _tidied(text) if text is not None and _is_tidied(inputs, rule) else text
        names: Sequence[str] = rule.text or rule.inputs.get(settled.role, ())
        if not names and not rule.shown:
            is_told = settled.role in rule.outputs
            names = names_of(settled.role) if is_told else _lone_value(settled)
        held = next((inputs[name] for name in names if inputs.get(name) is not None), None)
        text = self._text(held, settled.role, steps_left - 1)
        if text is not None and rule.line is not None:
            return self._line(text, inputs, rule)
        if text is not None and rule.cut is not None:
            text = text.rstrip(rule.cut)
        if text is not None and rule.comments is not None:
            text = _without_comments(text, rule.comments)
        return text if text is None or rule.trim is None else _trimmed(text, inputs.get(rule.trim))

    def _entry(self, inputs: dict[str, JsonValue], rule: NodeRule, steps_left: int) -> str | None:
        """What a JSON object has under a name, as Python writes it; of nothing an empty text."""
        text, name = (self._text(inputs.get(each), "value", steps_left) for each in rule.entry)
        if text is None or name is None:
            return None
        value = fields_of(read_json(text)).get(name)
        return "" if value is None else str(value)

    def _filled_in(
        self, inputs: dict[str, JsonValue], rule: NodeRule, steps_left: int
    ) -> str | None:
        """A text with what the names in its braces stand for; None if they hold more than names."""
        held_in, called = rule.braces
        text = self._text(inputs.get(held_in), "value", steps_left)
        parts = [] if text is None else _BRACES.split(text)
        if not parts or any("{" in part or "}" in part for part in parts[::2]):
            return None
        for number, found in enumerate(parts[1::2]):
            held = inputs.get(called.format(found[1]))
            part = found[0] if len(found) == 2 else self._text(held, "value", steps_left)
            if part is None:
                return None
            parts[2 * number + 1] = part
        whole = "".join(parts)
        return whole if len(whole) <= _MAX_TEXT_CHARS else None

    def _widget_text(self, settled: Origin, widget: str) -> str | None:
        """What another node has in the input of a name, as KJNodes' WidgetToString writes it."""
        inputs = settled.node["inputs"]
        name, number, link = (inputs.get(each) for each in (widget, "id", "any_input"))
        if inputs.get("node_title") or inputs.get("return_all") or not isinstance(name, str):
            return None
        node_id = str(number) if number else str(link[0]) if is_link(link) else ""
        is_one_of_many = number and any(each.rpartition(":")[0] for each in self._graph)
        node = None if is_one_of_many else self._graph.get(node_id)
        held = node["inputs"].get(name.strip()) if node is not None else None
        if isinstance(held, float):
            decimals = self.number(inputs.get("allowed_float_decimals", 2), int)
            is_sensible = decimals is not None and 0 <= decimals <= _MAX_DECIMALS
            held = f"{held:.{decimals}f}" if is_sensible else None
        return str(held) if isinstance(held, str | int) else None

    def _line(self, text: str, inputs: dict[str, JsonValue], rule: NodeRule) -> str | None:
        """The line of a text that a node gives; None if there are several, or none."""
        lines = text.split("\n")
        if inputs.get(_NO_BLANKS):
            lines = [line for line in lines if line.strip()]
        first = self.number(inputs.get(rule.line or ""), int)
        rows = 1 if rule.rows is None else self.number(inputs.get(rule.rows), int)
        if first is None or first < 0 or rows is None or not lines:
            return None
        if rule.beyond == "again":
            first %= len(lines)
        if rule.beyond == "last":
            first = min(first, len(lines) - 1)
        given = lines[first : first + rows]
        return given[0] if len(given) == 1 else None

    def _shown(self, settled: Origin, steps_left: int) -> str | None:
        """What a node showed of an input that only a run gives."""
        inputs = settled.node["inputs"]
        links = [value for value in inputs.values() if is_link(value)]
        is_given = any(self._text(link, "value", steps_left - 1) is None for link in links)
        if not is_given and (links or settled.rule.join):
            return None
        shown = _texts_shown(self._editor_workflow, settled.node_id) or {
            str(inputs[name]) for name in settled.rule.shown if _is_text(inputs.get(name))
        }
        return shown.pop() if len(shown) == 1 else None

    def _joined(self, node: Node, rule: NodeRule, steps_left: int) -> str | None:
        inputs = node["inputs"]
        names = [name for name in rule.join if name in inputs]
        names = names or sorted((name for name in inputs if _PART.fullmatch(name)), key=_in_order)
        count = self.number(inputs.get("inputcount"), int)  # KJNodes leaves what is beyond it
        names = names if count is None else names[:count]
        given = [inputs[name] for name in names if inputs[name] is not None]
        items = (item for each in given for item in self._items(each, _MAX_LISTS))
        held = list(islice(items, _MAX_ITEMS + 1))
        parts = [self._text(each, "value", steps_left) for each in held]
        delimiter = next((inputs[name] for name in _DELIMITERS if name in inputs), rule.delimiter)
        delimiter = ", " if _is_tidied(inputs, rule) else delimiter
        between = self._scalar(delimiter, (), steps_left)
        is_much = len(held) > _MAX_ITEMS
        if not names or is_much or None in parts or inputs.get("return_list"):
            return None
        if not isinstance(between, str) or between in _DELIMITER_NAMES:
            return None
        if rule.newline is None and _SPELLED_NEWLINE in between:
            return None
        if rule.newline and between == _SPELLED_NEWLINE:
            between = "\n"
        known = [part for part in parts if part is not None]
        if _CLEANS in inputs:  # the node that has this also leaves out what is empty
            is_clean = inputs[_CLEANS] in {"true", True}
            known = [text for part in known if (text := part.strip() if is_clean else part)]
        if rule.skips_empty:
            kept = 0 if count is None else 1  # KJNodes keeps the first, whatever it is
            known = [*known[:kept], *filter(None, known[kept:])]
        whole = between.join(known)
        return whole if len(whole) <= _MAX_TEXT_CHARS else None

    def _items(self, value: JsonValue, lists_left: int) -> Iterator[JsonValue]:
        """The items of a list that nodes put together; of anything else, the value."""
        origin = self.origin(value, "value") if is_link(value) else None
        if origin is None or origin.rule.items is None or lists_left <= 0:
            yield value
            return
        inputs = origin.node["inputs"]
        for name in sorted(each for each in inputs if fnmatchcase(each, str(origin.rule.items))):
            yield from self._items(inputs[name], lists_left - 1)

    def _replaced(self, node: Node, rule: NodeRule, steps_left: int) -> str | None:
        first, *pairs = (node["inputs"].get(name, "") for name in rule.replace)
        text = self._text(first, "value", steps_left)
        for searched_in, instead_in in zip(pairs[::2], pairs[1::2], strict=True):
            searched = self._text(searched_in, "value", steps_left)
            instead = self._text(instead_in, "value", steps_left)
            if text is None or searched is None or instead is None:
                return None
            if rule.regex is not None:
                literal = _literal_searched(searched, instead, rule.regex)
                if literal is None:
                    return None
                searched = literal
            is_any_case = bool(rule.regex and node["inputs"].get(rule.regex))
            text = _with_instead(text, searched, instead, is_any_case=is_any_case)
            if rule.until_gone and searched in (text or ""):
                return None
        return text


def has_wildcards(text: str) -> bool:
    """Whether a text leaves some words to a run of a node that knows wildcards.

    >>> has_wildcards("a {red|blue} kite"), has_wildcards("a kite of __colour__")
    (True, True)
    """
    return _DRAWN.search(text) is not None


def without_wildcards(text: str) -> str:
    """The text without what only a run shows."""
    return _DRAWN.sub("", text)


def _in_order(name: str) -> tuple[int, str]:
    """The key by which `text_2` comes before `text_10`."""
    return len(name), name


def _without_comments(text: str, mark: str) -> str:
    lines = text.removesuffix("\n").split("\n")
    return "\n".join(line for line in lines if not line.strip().startswith(mark))


def _trimmed(text: str, mode: JsonValue) -> str | None:
    """The text as ComfyUI's StringTrim gives it, or KJNodes' constant; None for an unknown mode."""
    if isinstance(mode, bool):
        return text.replace("\n", "").strip() if mode else text
    cut = {"Both": text.strip, "Left": text.lstrip, "Right": text.rstrip}.get(str(mode))
    return cut() if cut else None


def _texts_shown(editor_workflow: JsonValue, node_id: str) -> set[str]:
    """The texts of a node's widgets, into which those that show texts write them when they run.

    What the graph holds of them is of the run before.
    """
    for node in objects_in(fields_of(editor_workflow).get("nodes")):
        if str(node.get("id")) == node_id:
            held = node.get("widgets_values")
            flat = [
                text
                for each in (held if isinstance(held, list) else ())
                for text in (each if isinstance(each, list) else [each])
            ]
            return {str(text) for text in flat if _is_text(text)}
    return set()


def _with_instead(text: str, searched: str, instead: str, *, is_any_case: bool) -> str | None:
    """The text with other words instead; None for one that grows too large.

    Words for nothing would come before every letter, which no person means: None, too.
    """
    if not searched:
        return None if instead else text
    pattern = re.compile(re.escape(searched), re.IGNORECASE if is_any_case else 0)
    grown = len(pattern.findall(text)) * len(instead) + len(text)
    return pattern.sub(lambda _: instead, text) if grown <= _MAX_TEXT_CHARS else None


def _is_tidied(inputs: dict[str, JsonValue], rule: NodeRule) -> bool:
    """Whether a node tidies the commas of its text."""
    return rule.tidy is not None and inputs.get(rule.tidy) == "yes"


def _tidied(text: str) -> str | None:
    """The text without needless commas; None where former and later nodes differ.

    >>> _tidied("a ,, kite"), _tidied("a,,,,, kite")
    ('a, kite', None)
    """
    former = text.replace("  ", " ").replace(" ,", ",").replace(",,", ",").replace(",,", ",")
    later = re.sub(r",{2,}", ",", re.sub(r"\s{2,}", " ", text).replace(" ,", ",")).strip()
    return former if former == later else None


def _literal_searched(searched: str, instead: str, regex: str) -> str | None:
    """The text that a node searches by a regular expression; None if a run only shows it."""
    if regex == _SLASH and not (searched.startswith(_SLASH) and searched.endswith(_SLASH)):
        return searched
    pattern = searched[1:-1] if regex == _SLASH else searched
    return None if "\\" in instead else _literal_of(pattern)


def _literal_of(pattern: str) -> str | None:
    r"""The text that a regular expression fits; None for one that fits several texts.

    >>> _literal_of(r"\(kite\)"), _literal_of("k.te")
    ('(kite)', None)
    """
    has_signs = not _SIGNS.isdisjoint(_ESCAPED.sub("", pattern))
    return None if has_signs else _ESCAPED.sub(r"\1", pattern)


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value)


def _lone_value(settled: Origin) -> tuple[str, ...]:
    """The one input that holds the value of a node of no known class; nothing where in doubt.

    A node that has another number, text or link to go by may change the value, as may one whose
    class says so.
    """
    inputs = settled.node["inputs"]
    held = [name for name in names_of("value") if name in inputs]
    is_plain = (
        len(held) == 1
        and (settled.slot == 0 or not isinstance(inputs[held[0]], str))
        and not is_link(inputs[held[0]])
        and not _CHANGES.search(settled.node["class_type"])
        and not any(
            is_link(value) or _is_number(value) or _is_text(value)
            for name, value in inputs.items()
            if name not in held and name not in _HARMLESS
        )
    )
    return tuple(held) if is_plain else ()


def _is_kept(inputs: dict[str, JsonValue], names: Sequence[str]) -> bool:
    """Whether a node of no known class gives the number that it holds under one of the names.

    One with another number or link to go by may change it, unless it holds several settings.
    """
    others = [
        name
        for name, value in inputs.items()
        if name not in names and (is_link(value) or _is_number(value))
    ]
    return not others or len(_SETTING_NAMES & inputs.keys()) > 1


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
