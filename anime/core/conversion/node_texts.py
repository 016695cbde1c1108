"""The texts of a node that the editor changes on their way to the server."""

from collections.abc import Collection, Iterator
from functools import partial

from pydantic import JsonValue

from anime.core.conversion.editor_format import EditorNode
from anime.core.conversion.findings import NodeRefused
from anime.core.conversion.notes import Notes
from anime.core.conversion.scopes import InstanceScope, Scope
from anime.core.conversion.text_replacement import (
    replace_placeholders,
    without_braces,
    without_comments,
)
from anime.core.conversion.widgets import WidgetValues

_DATE = "%date:"
_OLD_SAMPLER_PREFIX = "sample_"
_SAMPLERS = frozenset({"KSampler", "KSamplerAdvanced"})


class NodeTexts:
    """Changes texts as the editor does, and notes what it does otherwise."""

    def __init__(self, top: Scope, notes: Notes) -> None:
        self._top = top
        self._notes = notes

    def change(
        self,
        scope: Scope,
        node: EditorNode,
        values: WidgetValues,
        sent: dict[str, JsonValue],
        *,
        kept: Collection[str],
    ) -> None:
        """Change the texts among the values that are `sent`, but for the inputs in `kept`.

        Raises:
            NodeRefused: a file name may mean the widget of one node or of another.
        """
        for name, each in values.inputs.items():
            text = sent.get(name)
            if not isinstance(text, str) or name in kept:
                continue
            if each.settings.get("dynamicPrompts"):
                sent[name] = self._prompt(scope, node, name, text)
            elif name == "filename_prefix" and "%" in text:
                sent[name] = self._file_name(scope, node, text)
            elif name == "sampler_name" and node.type in _SAMPLERS:
                sent[name] = text.removeprefix(_OLD_SAMPLER_PREFIX)

    def _prompt(self, scope: Scope, node: EditorNode, name: str, text: str) -> str:
        uncommented = without_comments(text)
        plain = without_braces(uncommented)
        if plain is None:
            words = "has braces that the editor replaces by chance; it is sent as written."
            self._notes.warn(scope, node, f"{name} {words}")
            return uncommented
        if plain != text:
            words = "is sent without its comments and braces, as the editor does."
            self._notes.warn(scope, node, f"{name} {words}")
        return plain

    def _file_name(self, scope: Scope, node: EditorNode, text: str) -> str:
        if _DATE in text:
            words = "keeps its %date:…%, for which the editor writes the time of its export."
            self._notes.warn(scope, node, f"filename_prefix {words}")
        return replace_placeholders(text, partial(self._named_value, scope, node))

    def _named_value(self, scope: Scope, node: EditorNode, named: str, widget: str) -> JsonValue:
        """The value that `%NODE.widget%` stands for; None if there is no such node or widget."""
        found = list(self._nodes_named(named))
        if not found:
            return None
        if isinstance(scope, InstanceScope):
            raise NodeRefused(
                f"filename_prefix names the node {named}, and it is not certain which one that is."
            )
        value, *others = (self._shown_value(each, widget) for each in found)
        if any(other != value for other in others):
            words = f"filename_prefix names {named}, of which there are several: the first counts."
            self._notes.warn(scope, node, words)
        return value

    def _nodes_named(self, name: str) -> Iterator[EditorNode]:
        """The nodes at the top level of that name for files; else those of that title."""
        nodes = [node for node in self._top.graph.nodes if not self._top.is_instance(node)]
        named = [node for node in nodes if _name_for_files(node) == name]
        title_of = self._top.definitions.title_of
        yield from named or (node for node in nodes if title_of(node) == name)

    def _shown_value(self, node: EditorNode, widget: str) -> JsonValue:
        values = self._top.definitions.values_of(node)
        return values.values.get(widget) if values else None


def _name_for_files(node: EditorNode) -> str:
    return str(node.properties.get("Node name for S&R") or node.type)
