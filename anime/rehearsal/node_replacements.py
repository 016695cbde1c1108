"""The classes that ComfyUI 0.33 has renamed, and the nodes that it puts in place of theirs."""

from collections.abc import Container, Mapping
from typing import Any

from anime.core.graphs import Graph, Node, is_link
from anime.rehearsal.node_types import JsonObject

FIXED = "="  # begins a value of its own, where others are the names of old inputs


def _rule(
    old: str,
    new: str,
    inputs: Mapping[str, str] | None = None,
    widgets: list[str] | None = None,
    outputs: list[dict[str, int]] | None = None,
) -> JsonObject:
    """A rule as ComfyUI lists it; `inputs` has the old inputs by new name."""
    mapping = [
        {"new_id": name, "set_value": source.removeprefix(FIXED)}
        if source.startswith(FIXED)
        else {"new_id": name, "old_id": source}
        for name, source in (inputs or {}).items()
    ]
    return {
        "new_node_id": new,
        "old_node_id": old,
        "old_widget_ids": widgets,
        "input_mapping": mapping or None,
        "output_mapping": outputs,
    }


RULES = (
    _rule(
        "ResizeImagesByLongerEdge",
        "ImageScaleToMaxDimension",
        {"image": "images", "largest_size": "longer_edge", "upscale_method": "=lanczos"},
        ["longer_edge"],
        [{"new_idx": 0, "old_idx": 0}],
    ),
    _rule("ImageBatch", "BatchImagesNode", {"images.image0": "image1", "images.image1": "image2"}),
    _rule(
        "ImageScaleBy",
        "ResizeImageMaskNode",
        {
            "input": "image",
            "resize_type": "=scale by multiplier",
            "resize_type.multiplier": "scale_by",
            "scale_method": "upscale_method",
        },
        ["upscale_method", "scale_by"],
    ),
    _rule("T2IAdapterLoader", "ControlNetLoader", {"control_net_name": "t2i_adapter_name"}),
    _rule("Load3DAnimation", "Load3D"),
    _rule("Preview3DAnimation", "Preview3D"),
    _rule("SDV_img2vid_Conditioning", "SVD_img2vid_Conditioning"),
    _rule("ConditioningAverage ", "ConditioningAverage"),
)
BY_CLASS: dict[str, JsonObject] = {rule["old_node_id"]: rule for rule in RULES}


def replace_nodes(graph: Graph, known: Container[str]) -> None:
    """Replace the nodes whose class is gone and has a successor, in place.

    Raises:
        KeyError: such a node has no `_meta`, or lacks an input; ComfyUI then answers 500.
        AttributeError, TypeError: it is not a graph; ComfyUI then answers 500.
    """
    for node_id, node in graph.items():
        if "class_type" not in node or "inputs" not in node:
            continue
        if not isinstance(node["inputs"], dict):
            raise TypeError(f"the inputs of node {node_id} are no object")
        rule = BY_CLASS.get(node["class_type"])
        if rule and node["class_type"] not in known:
            graph[node_id] = _successor(node, rule)
            if rule["output_mapping"]:
                _move_links(graph, node_id, rule["output_mapping"])


def _successor(node: Node, rule: JsonObject) -> Node:
    """The new node. Without a mapping, no input is kept, not even one of the same name."""
    inputs: dict[str, Any] = {  # whatever the node takes
        each["new_id"]: each["set_value"] if "set_value" in each else node["inputs"][each["old_id"]]
        for each in rule["input_mapping"] or ()
    }
    return {"class_type": rule["new_node_id"], "inputs": inputs, "_meta": node["_meta"]}


def _move_links(graph: Graph, node_id: str, mapping: list[dict[str, int]]) -> None:
    slots = {each["old_idx"]: each["new_idx"] for each in mapping}
    for node in graph.values():
        for value in node.get("inputs", {}).values():
            if is_link(value) and value[0] == node_id:
                value[1] = slots.get(value[1], value[1])
