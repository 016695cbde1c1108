"""The node classes of a graph, and which of them a studio lets graphs use."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from anime.core.graph_validation import shown
from anime.core.graphs import Graph, title_of
from anime.errors import InvalidWorkflow


def node_classes(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The ids of the nodes of each class, in the order of the classes' names.

    >>> node_classes({"2": {"class_type": "B"}, "1": {"class_type": "A"}, "3": {"class_type": "B"}})
    {'A': ('1',), 'B': ('2', '3')}
    """
    found: dict[str, tuple[str, ...]] = {}
    for node_id, node in graph.items():
        class_type = str(node["class_type"])
        found[class_type] = (*found.get(class_type, ()), node_id)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class NodeClassPolicy:
    """Patterns of class names, as in `Load*`; upper and lower case differ.

    Without allowed ones, every class is allowed. What is denied is denied even if it is allowed.
    """

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()

    def check(self, graph: Graph, *, successors: Mapping[str, str] | None = None) -> None:
        """Make sure that the graph uses no class that it may not.

        `successors` are the classes by which the server replaces some of the graph's.

        Raises:
            InvalidWorkflow: it does; the message names the setting, the class and a node.
        """
        for class_type, node_ids in node_classes(graph).items():
            for name in (class_type, *filter(None, [(successors or {}).get(class_type)])):
                if reason := self._refusal_of(name):
                    others = f" and {len(node_ids) - 1} more" if len(node_ids) > 1 else ""
                    title = shown(title_of(graph[node_ids[0]]))
                    raise InvalidWorkflow(
                        f'Node "{title}" ({shown(node_ids[0])}){others}: {reason}.',
                        "Take it out of the workflow, or change the setting.",
                    )

    def _refusal_of(self, class_type: str) -> str:
        """Why the class may not be used; empty if it may."""
        for pattern in self.denied:
            if fnmatchcase(class_type, pattern):
                return f"ANIME_DENIED_NODE_CLASSES denies the class {shown(class_type)} ({pattern})"
        if self.allowed and not any(fnmatchcase(class_type, each) for each in self.allowed):
            return f"ANIME_ALLOWED_NODE_CLASSES does not allow the class {shown(class_type)}"
        return ""
