"""ComfyUI's HTTP answers, decoded without any I/O.

Routes as in ComfyUI's server.py; the answers are those of v0.3.64.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from anime.comfyui.models import (
    ExecutionFailure,
    HistoryEntry,
    InputInfo,
    NodeInfo,
    QueuedPrompt,
    QueueSnapshot,
    Submission,
    SystemStats,
)
from anime.comfyui.outputs import as_list, files_of
from anime.comfyui.rejections import partial_rejection, problems_of, rejection
from anime.core.graphs import Graph
from anime.errors import (
    ComfyUIError,
    ComfyUIUnreachable,
    InvalidRequest,
    NotFound,
    PromptRejected,
)

CHECK_SERVER = "Check that ComfyUI runs there and that ANIME_COMFYUI_URL is its address."
UNAVAILABLE = frozenset({500, 502, 503, 504})
FORBIDDEN = frozenset({401, 403})
ENDINGS = ("execution_success", "execution_error", "execution_interrupted")

# JSON as it comes: custom nodes put anything into it, so every step is checked.
Json = Any


@dataclass(frozen=True)
class Reply:
    """An answer as it came. `url` (the server) and `route` are for messages."""

    status: int
    content_type: str
    body: bytes
    url: str = ""
    route: str = "a request"

    @property
    def server(self) -> str:
        """The server as messages name it."""
        return f"ComfyUI at {self.url}" if self.url else "ComfyUI"


def decode_submit(
    reply: Reply, *, graph: Graph | None = None, allow_partial: bool = False
) -> Submission:
    """The answer to a POST /prompt. With the graph, problems name its nodes by title.

    A 200 with node errors means: some outputs are left out, the others run.

    Raises:
        PromptRejected: the graph was refused, or (unless allowed) a part of it.
        ComfyUIUnreachable: a proxy answered for a server that is away.
        ComfyUIError: it refuses this client, or is not ComfyUI.
    """
    if reply.status == 400:
        raise rejection(reply.server, _json(reply), graph or {})
    if reply.status == 500:
        raise PromptRejected(
            f"{reply.server} could not read the graph and answered 500.",
            "Send a graph in API format (ComfyUI: Workflow > Export (API)), not the editor's own; "
            "ComfyUI's log says where it failed.",
        )
    if reply.status == 413:
        raise PromptRejected(
            f"The graph is larger than {reply.server} accepts: {_text(reply)}",
            "Upload pictures instead of embedding them, or start ComfyUI with a larger "
            "--max-upload-size.",
        )
    answer = _object(reply)
    problems = problems_of(answer.get("node_errors"), graph or {})
    if problems and not allow_partial:
        raise partial_rejection(reply.server, problems)
    with _readable(reply):
        return Submission(
            prompt_id=answer["prompt_id"], number=answer.get("number") or 0, problems=problems
        )


def decode_queue(reply: Reply) -> QueueSnapshot:
    """The queue in the order in which it will run; the server lists it in heap order."""
    answer = _object(reply)
    with _readable(reply):
        running, pending = (
            [QueuedPrompt(number=item[0], prompt_id=item[1]) for item in answer.get(key) or ()]
            for key in ("queue_running", "queue_pending")
        )
    return QueueSnapshot(
        running=tuple(running), pending=tuple(sorted(pending, key=lambda prompt: prompt.rank))
    )


def decode_history(reply: Reply, prompt_id: str) -> HistoryEntry | None:
    """How the prompt ended; None for one that is unknown, pending, running or forgotten.

    An interrupted prompt has the status of a failed one: only its messages tell them apart.
    """
    item = _object(reply).get(prompt_id)
    if not isinstance(item, dict):
        return None
    with _readable(reply):
        number, _, graph = (*(item.get("prompt") or ()), 0, "", {})[:3]
        status = item.get("status") or {}
        messages = {name: content or {} for name, content in status.get("messages") or ()}
        return HistoryEntry(
            prompt_id=prompt_id,
            number=number,
            graph=graph,
            outputs=files_of(item.get("outputs")),
            succeeded=status.get("status_str", "success") == "success",
            is_interrupted="execution_interrupted" in messages,
            failure=_failure(messages.get("execution_error")),
            cached_nodes=messages.get("execution_cached", {}).get("nodes") or (),
            started_ms=messages.get("execution_start", {}).get("timestamp"),
            ended_ms=next(
                (messages[name].get("timestamp") for name in ENDINGS if name in messages), None
            ),
        )


def decode_all_object_info(reply: Reply) -> dict[str, Json]:
    """Every node class as the server describes it."""
    return _object(reply)


def decode_object_info(reply: Reply, class_name: str) -> NodeInfo | None:
    """A node class with its inputs; None for a class that the server does not have."""
    if reply.status == 404:
        return None
    info = _object(reply).get(class_name)
    if not isinstance(info, dict):
        return None
    with _readable(reply):
        groups = info.get("input") or {}
        required, optional = (
            {name: _input_info(config) for name, config in (groups.get(group) or {}).items()}
            for group in ("required", "optional")
        )
        return NodeInfo(
            name=class_name,
            display_name=info.get("display_name") or class_name,
            is_output=bool(info.get("output_node")),
            required=required,
            optional=optional,
        )


def decode_system_stats(reply: Reply) -> SystemStats:
    """The server and its devices."""
    answer = _object(reply)
    with _readable(reply):
        return SystemStats.model_validate(answer)


def decode_names(reply: Reply) -> list[str] | None:
    """The files of a model folder; None if the server has no such route or folder."""
    if reply.status == 404:
        return None
    require_success(reply)
    return [str(name) for name in as_list(_json(reply))]


def decode_upload(reply: Reply) -> str:
    """The name to give LoadImage. It is not always the one that was asked for.

    Raises:
        InvalidRequest: ComfyUI does not accept that name, or a file so large.
    """
    if reply.status in {400, 413}:
        raise InvalidRequest(
            f"{reply.server} did not accept the file: {_text(reply) or 'it gave no reason'}",
            "Give it a plain file name and a picture below ComfyUI's --max-upload-size.",
        )
    answer = _object(reply)
    with _readable(reply):
        name, subfolder = str(answer["name"]), str(answer.get("subfolder") or "")
        return f"{subfolder}/{name}" if subfolder else name


def require_file(reply: Reply, name: str) -> None:
    """Make sure that /view has the file.

    Raises:
        NotFound: it is gone. The history also lists the file of an earlier, identical prompt,
            even if that was moved or deleted.
    """
    if reply.status == 404:
        raise NotFound(
            f"{reply.server} has no file {name}, although it listed it.",
            "It was moved or deleted there; render it again.",
        )
    require_success(reply)


def require_success(reply: Reply) -> None:
    """Make sure that the server did what the request asked for.

    Raises:
        ComfyUIUnreachable: it, or a proxy before it, answered with a server error.
        ComfyUIError: it refuses this client, or is not ComfyUI.
    """
    if reply.status < 300:
        return
    answered = f"{reply.server} answered {reply.route} with {reply.status}."
    if reply.status in UNAVAILABLE:
        raise ComfyUIUnreachable(answered, CHECK_SERVER)
    if reply.status in FORBIDDEN:
        raise ComfyUIError(
            answered,
            "It refuses this client: give ANIME_COMFYUI_URL the host name that ComfyUI listens "
            "on, with user and password if a proxy asks for them.",
        )
    raise ComfyUIError(answered, CHECK_SERVER)


def _failure(messages: Json) -> ExecutionFailure | None:
    return ExecutionFailure.model_validate(messages) if isinstance(messages, dict) else None


def _input_info(config: Json) -> InputInfo:
    """An input's declaration. A choice is spelled in either of two ways: a list, or COMBO."""
    kind, options, *_ = (*as_list(config), None, None)
    more: dict[str, Json] = options if isinstance(options, dict) else {}
    is_choice = isinstance(kind, list)
    return InputInfo(
        kind="COMBO" if is_choice else str(kind or "*"),
        choices=kind if is_choice else tuple(as_list(more.get("options"))),
        default=more.get("default"),
        min=more.get("min"),
        max=more.get("max"),
    )


def _json(reply: Reply) -> Json:
    """The answer's JSON. ComfyUI may write a bare NaN, which Python's parser accepts."""
    with _readable(reply):
        return json.loads(reply.body)


def _object(reply: Reply) -> dict[str, Json]:
    require_success(reply)
    answer = _json(reply)
    if not isinstance(answer, dict):
        raise _unreadable(reply)
    return answer


def _text(reply: Reply) -> str:
    """The first line of a plain answer."""
    lines = reply.body[:500].decode(errors="replace").strip().splitlines()
    return lines[0] if lines else ""


@contextmanager
def _readable(reply: Reply) -> Iterator[None]:
    """Raise whatever does not have the expected shape as an error about the server."""
    try:
        yield
    except (ValidationError, ValueError, LookupError, TypeError, AttributeError) as fault:
        raise _unreadable(reply) from fault


def _unreadable(reply: Reply) -> ComfyUIError:
    return ComfyUIError(
        f"{reply.server} answered something that ComfyUI does not say: "
        f"{reply.content_type or 'no content type'}, {_text(reply)[:80]!r}.",
        CHECK_SERVER,
    )
