"""What is to be said of the nodes of a workflow while it is converted."""

from anime.core.conversion.editor_format import EditorNode
from anime.core.conversion.findings import NodeFinding
from anime.core.conversion.scopes import Scope

_MOST_CHARS = 400  # of a reason: it may quote names of any length


class Notes:
    """Collects warnings and refusals, each with the node's id in the graph, class and title."""

    def __init__(self) -> None:
        self.warnings: list[NodeFinding] = []
        self.refusals: list[NodeFinding] = []

    def warn(self, scope: Scope, node: EditorNode, words: str) -> None:
        """Note something that a person should look at."""
        self.warnings.append(_finding(scope, node, words))

    def refuse(self, scope: Scope, node: EditorNode, words: str) -> None:
        """Note why a node cannot be converted."""
        self.refusals.append(_finding(scope, node, words))


def _finding(scope: Scope, node: EditorNode, words: str) -> NodeFinding:
    title = scope.definitions.title_of(node)
    reason = words if len(words) <= _MOST_CHARS else f"{words[:_MOST_CHARS]}…"
    return NodeFinding(scope.path_of(node), node.type, title, reason, package=node.package)
