"""The API-format graph: what ComfyUI is sent, and how we find our way in it."""

from typing import Any, TypeAlias, TypeGuard

# {"class_type": str, "inputs": {name: value or [node id, slot]}, "_meta": {"title": str}}
# Its inputs are whatever the node's class takes, hence Any.
Node: TypeAlias = dict[str, Any]
Graph: TypeAlias = dict[str, Node]
Link: TypeAlias = list[Any]  # [id of a node, its output slot]


def title_of(node: Node) -> str:
    """The name the artist gave the node; its class when it has none."""
    return str((node.get("_meta") or {}).get("title") or node.get("class_type", "?"))


def is_link(value: object) -> TypeGuard[Link]:
    """Whether an input's value is a link to another node's output slot.

    >>> is_link(["4", 0]), is_link("4")
    (True, False)
    """
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )
