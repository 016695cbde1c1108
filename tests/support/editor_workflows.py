"""Small workflows in the format of ComfyUI's editor, and the node classes that they use."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from anime.core.conversion.convert import convert
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.conversion.findings import Conversion

Json: TypeAlias = dict[str, Any]
SUBGRAPH = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
OTHER_SUBGRAPH = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"

SEED = ["INT", {"default": 0, "control_after_generate": True}]
PROMPT = ["STRING", {"multiline": True, "dynamicPrompts": True}]
MATCH = ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}]
IMAGES = [
    "COMFY_AUTOGROW_V3",
    {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1}},
]
RESIZE = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {
                "key": "size",
                "inputs": {"required": {"width": ["INT", {"default": 512}], "height": ["INT", {}]}},
            },
            {"key": "factor", "inputs": {"required": {"factor": ["FLOAT", {"default": 1.5}]}}},
            {
                "key": "noisy",
                "inputs": {
                    "required": {
                        "seed": SEED,
                        "mode": [
                            "COMFY_DYNAMICCOMBO_V3",
                            {
                                "options": [
                                    {"key": "a", "inputs": {"required": {"deep": ["INT", {}]}}}
                                ]
                            },
                        ],
                    }
                },
            },
        ]
    },
]


def node_class(
    inputs: Json, *outputs: str, optional: Json | None = None, **more: Any
) -> dict[str, Any]:
    """The entry of a class in /object_info."""
    return {"input": {"required": inputs, "optional": optional or {}}, "output": outputs, **more}


OBJECT_INFO: Json = {
    "Loader": node_class(
        {"ckpt_name": [["one.safetensors", "two.safetensors"], {}]},
        *("MODEL", "CLIP", "VAE"),
        display_name="Load a checkpoint",
    ),
    "Lora": node_class(
        {
            "model": ["MODEL", {}],
            "clip": ["CLIP", {}],
            "lora_name": [["a.safetensors"], {}],
            "strength": ["FLOAT", {"default": 1.0}],
        },
        *("MODEL", "CLIP"),
    ),
    "Encode": node_class({"text": PROMPT, "clip": ["CLIP", {}]}, "CONDITIONING"),
    "Strength": node_class(
        {"conditioning": ["CONDITIONING", {}], "strength": ["FLOAT", {"default": 1.0}]},
        "CONDITIONING",
    ),
    "Combine": node_class(
        {"one": ["CONDITIONING", {}], "two": ["CONDITIONING", {}]}, "CONDITIONING"
    ),
    "KSampler": node_class(
        {
            "model": ["MODEL", {}],
            "seed": SEED,
            "steps": ["INT", {"default": 20}],
            "cfg": ["FLOAT", {"default": 8.0}],
            "sampler_name": [["euler", "heun"], {}],
            "positive": ["CONDITIONING", {}],
            "denoise": ["FLOAT", {"default": 1.0}],
        },
        "LATENT",
    ),
    "Latent": node_class(
        {
            "width": ["INT", {"default": 512}],
            "height": ["INT", {"default": 512}],
            "batch_size": ["INT", {"default": 1}],
        },
        "LATENT",
    ),
    "Decode": node_class({"samples": ["LATENT", {}], "vae": ["VAE", {}]}, "IMAGE"),
    "Save": node_class(
        {"images": ["IMAGE", {}], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
        output_node=True,
    ),
    "Picture": node_class({"image": [["a.png"], {"image_upload": True}]}, "IMAGE", "MASK"),
    "Invert": node_class({"image": ["IMAGE", {}]}, "IMAGE"),
    "Resize": node_class(
        {"input": MATCH, "resize": RESIZE, "method": ["COMBO", {"options": ["area", "cubic"]}]},
        "COMFY_MATCHTYPE_V3",
    ),
    "Batch": node_class({"images": IMAGES}, "IMAGE"),
    "Number": node_class({"value": ["INT", {"default": 3}]}, "INT"),
    "Text": node_class({"value": ["STRING", {}]}, "STRING"),
    "CustomCombo": node_class({"choice": ["COMBO", {"options": []}]}, "STRING", "INT"),
}


def slot(name: str, link: int | None = None, type: str = "*", **more: Any) -> Json:  # noqa: A002
    """An input slot of a node."""
    return {"name": name, "type": type, "link": link, **more}


def node(
    node_id: int,
    node_type: str,
    *slots: Json,
    values: Any = None,
    outputs: Sequence[str] = (),
    **more: Any,
) -> Json:
    """A node; `outputs` are types."""
    return {
        "id": node_id,
        "type": node_type,
        "mode": 0,
        "inputs": list(slots),
        "outputs": [{"name": each, "type": each} for each in outputs],
        "properties": {},
        "widgets_values": values,
        **more,
    }


def link(link_id: int, origin: int, origin_slot: int, target: int, target_slot: int) -> list[Any]:
    """A link at the top level."""
    return [link_id, origin, origin_slot, target, target_slot, "*"]


def workflow(nodes: Sequence[Json], links: Sequence[Any] = (), **more: Any) -> Json:
    """A whole file; `subgraphs` go into its definitions."""
    subgraphs = more.pop("subgraphs", ())
    return {
        "last_node_id": max((int(each["id"]) for each in nodes), default=0),
        "nodes": list(nodes),
        "links": list(links),
        "definitions": {"subgraphs": list(subgraphs)},
        "version": 0.4,
        **more,
    }


def subgraph(
    nodes: Sequence[Json],
    links: Sequence[Sequence[Any]],
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    of: str = SUBGRAPH,
) -> Json:
    """The definition of a subgraph; -10 and -20 are its inputs and outputs, as in files."""
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": of,
        "name": "part",
        "nodes": list(nodes),
        "links": [dict(zip(keys, each, strict=True)) for each in links],
        "inputs": [{"name": name, "type": kind} for name, kind in (inputs or {}).items()],
        "outputs": [{"name": kind, "type": kind} for kind in outputs],
    }


def converted(of: Json, **classes: Json) -> Conversion:
    """The conversion, on a server that has the classes given as well."""
    return convert(of, NodeDefinitions(OBJECT_INFO | classes))


def inputs_of(of: Json, **classes: Json) -> dict[str, Json]:
    """The inputs of each node of the graph, by id."""
    graph = converted(of, **classes).graph
    return {node_id: each["inputs"] for node_id, each in graph.items()}
