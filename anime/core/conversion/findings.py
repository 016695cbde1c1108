"""What a conversion gives: the graph, and what is to be said of single nodes."""

from dataclasses import dataclass

from anime.core.graphs import Graph

_MOST_NAME_CHARS = 60


class NodeRefused(Exception):
    """The rules do not cover a node; the message says what of it, in a sentence."""


@dataclass(frozen=True, slots=True)
class NodeFinding:
    """One thing about one node: why it cannot be converted, or what to look at.

    `package` is the extension it comes from, where the file says so.
    """

    node_id: str
    class_type: str
    title: str
    reason: str
    package: str | None = None

    def __str__(self) -> str:
        title, class_type, node_id, package = (
            (text or "")[:_MOST_NAME_CHARS]
            for text in (self.title, self.class_type, self.node_id, self.package)
        )
        shown = f' "{title}"' if title and title != class_type else ""
        source = f" It comes from {package}." if package else ""
        return f"{class_type}{shown} ({node_id}): {self.reason}{source}"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that the workflow names: its folder in `models`, and where to get it.

    `url` and `directory` are None where the file does not say.
    """

    name: str
    url: str | None = None
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """A graph that ComfyUI's editor would submit for the workflow.

    `warnings` say where it may not be what is meant; `missing_models` are the files that it
    loads and the server does not have.
    """

    graph: Graph
    warnings: tuple[NodeFinding, ...] = ()
    missing_models: tuple[ModelFile, ...] = ()
