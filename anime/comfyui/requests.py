"""The requests that ComfyUI takes, built without any I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from pydantic import JsonValue

from anime.comfyui.models import OutputFile
from anime.core.graphs import Graph
from anime.errors import InvalidWorkflow


@dataclass(frozen=True)
class Request:
    """A request to be sent. `body` is JSON; None sends none."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def submit_request(
    graph: Graph,
    *,
    prompt_id: str,
    client_id: str,
    extra_pnginfo: Mapping[str, JsonValue] | None = None,
    wants_previews: bool = False,
) -> Request:
    """POST /prompt, with an id of ours and never with a `number`.

    Two pending prompts with one id and one explicit number kill the server's worker thread.
    Previews: servers before 0.33 pass over the wish and do as they were started. Nothing is
    asked for where none are wanted, so that a server which was started with them makes them still.

    Raises:
        InvalidWorkflow: the graph has values that JSON cannot express.
    """
    content: dict[str, object] = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
    extra_data: dict[str, object] = {"extra_pnginfo": dict(extra_pnginfo)} if extra_pnginfo else {}
    if wants_previews:
        extra_data["preview_method"] = "auto"
    if extra_data:
        content["extra_data"] = extra_data
    try:
        return _post("/prompt", content)
    except (TypeError, ValueError) as fault:
        raise InvalidWorkflow(
            f"The graph cannot be written as JSON: {fault}.",
            "Give its inputs texts, numbers, true or false, and links.",
        ) from fault


def queue_request() -> Request:
    """GET /queue."""
    return Request("GET", "/queue")


def queue_length_request() -> Request:
    """GET /prompt: how many prompts run and wait, without their graphs."""
    return Request("GET", "/prompt")


def forget_request(prompt_id: str) -> Request:
    """POST /history, taking one ended prompt out."""
    return _post("/history", {"delete": [prompt_id]})


def history_request(prompt_id: str) -> Request:
    """GET /history/{prompt_id}."""
    return Request("GET", f"/history/{quote(prompt_id, safe='')}")


def interrupt_request(prompt_id: str) -> Request:
    """POST /interrupt for one prompt; without an id it would stop any prompt that runs."""
    return _post("/interrupt", {"prompt_id": prompt_id})


def delete_request(prompt_id: str) -> Request:
    """POST /queue, taking one pending prompt out."""
    return _post("/queue", {"delete": [prompt_id]})


def job_request(prompt_id: str) -> Request:
    """GET /api/jobs/{prompt_id}; older servers answer 404."""
    return Request("GET", f"/api/jobs/{quote(prompt_id, safe='')}")


def cancel_job_request(prompt_id: str) -> Request:
    """POST /api/jobs/{prompt_id}/cancel, in whatever state it is; older servers answer 405."""
    return Request("POST", f"/api/jobs/{quote(prompt_id, safe='')}/cancel")


def free_request() -> Request:
    """POST /free; it acts when the running prompt ends. Without a body the answer is 500."""
    return _post("/free", {"unload_models": True, "free_memory": True})


def all_object_info_request() -> Request:
    """GET /object_info: every class."""
    return Request("GET", "/object_info")


def object_info_request(class_name: str) -> Request:
    """GET /object_info/{class}."""
    return Request("GET", f"/object_info/{quote(class_name, safe='')}")


def node_replacements_request() -> Request:
    """GET /node_replacements; older servers answer 404."""
    return Request("GET", "/node_replacements")


def features_request() -> Request:
    """GET /features; old servers answer 404."""
    return Request("GET", "/features")


def view_request(output: OutputFile) -> Request:
    """GET /view of one file."""
    params = {"filename": output.filename, "subfolder": output.subfolder, "type": output.type}
    return Request("GET", "/view", params)


def models_request(folder: str) -> Request:
    """GET /models/{folder}; older servers answer 404."""
    return Request("GET", f"/models/{quote(folder, safe='')}")


def system_stats_request() -> Request:
    """GET /system_stats; answers even while nothing can run there."""
    return Request("GET", "/system_stats")


def _post(path: str, content: Mapping[str, object]) -> Request:
    return Request("POST", path, body=json.dumps(content, allow_nan=False).encode())
