"""Places in a graph, as a binding file names them."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from anime.core.graphs import Graph, title_of


class NodeReference(BaseModel):
    """One node of a graph: by its title, its id, or its class where there is one of it only."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    node: str | None = Field(default=None, min_length=1, description="Title of the node.")
    id: str | None = Field(
        default=None, min_length=1, description="Id in the graph, as `12:3` of a subgraph's node."
    )
    class_type: str | None = Field(
        default=None, min_length=1, alias="class", description="Class of the node."
    )

    @property
    def is_given(self) -> bool:
        """Whether it names a node at all."""
        return (self.node, self.id, self.class_type) != (None, None, None)

    @model_validator(mode="after")
    def _names_one_node(self) -> Self:
        given = [name for name in (self.node, self.id, self.class_type) if name is not None]
        if len(given) > 1:
            raise ValueError("says more than one of node, id and class; keep one")
        if not given and self._needs_node():
            raise ValueError("names no node: give its title (node), its id or its class")
        return self

    def _needs_node(self) -> bool:
        return True

    def __str__(self) -> str:
        if self.id is not None:
            return f"node {self.id}"
        return f'node "{self.node}"' if self.node is not None else f"the {self.class_type}"


class Target(NodeReference):
    """One input of one node."""

    input: str = Field(min_length=1, description="Name of the input, as in the graph.")


class PicturePlace(Target):
    """Where one picture of an ordered list goes."""

    role: str = Field(default="", description="What the picture is for, such as face or pose.")
    prompt_name: str = Field(
        default="", description="How the prompt names it, such as `Picture 1`."
    )


def matching_nodes(graph: Graph, reference: NodeReference) -> list[str]:
    """The ids of the nodes that a reference names; a good one names exactly one.

    >>> matching_nodes({"3": {"class_type": "KSampler"}}, NodeReference(class_type="KSampler"))
    ['3']
    """
    if reference.id is not None:
        return [reference.id] if reference.id in graph else []
    if reference.node is not None:
        return [node_id for node_id, node in graph.items() if title_of(node) == reference.node]
    wanted = reference.class_type
    return [node_id for node_id, node in graph.items() if node["class_type"] == wanted]
