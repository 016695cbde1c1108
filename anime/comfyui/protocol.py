"""ComfyUI's HTTP answers, decoded without any I/O.

Routes as in ComfyUI's server.py; the answers are those of v0.3.64 and v0.33.0.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from anime.comfyui.json_text import read_json
from anime.comfyui.models import (
    UNREADABLE,
    AutogrowInfo,
    ExecutionFailure,
    HistoryEntry,
    InputInfo,
    NodeInfo,
    OptionInfo,
    QueuedPrompt,
    QueueSnapshot,
    Submission,
    SystemStats,
)
from anime.comfyui.outputs import as_list, files_of, unkept_of
from anime.comfyui.rejections import problems_of, rejection
from anime.core.graphs import Graph
from anime.core.node_inputs import AUTOGROW, DYNAMIC_COMBO
from anime.core.prompt_state import Absent, Finished, Pending, Running, Sighting
from anime.errors import (
    ComfyUIError,
    ComfyUIUnreachable,
    InvalidRequest,
    OutputGone,
    PromptRejected,
)

CHECK_SERVER = "Check that ComfyUI runs there and that ANIME_COMFYUI_URL is its address."
GATEWAY = frozenset({502, 503, 504})
UNAVAILABLE = GATEWAY | {500}
JOB_UNKNOWN = "Job not found"
FORBIDDEN = frozenset({401, 403})
MAX_AUTOGROW = 100  # inputs that ComfyUI lets one autogrow have
# Kinds of inputs whose values ComfyUI began to compare with their declaration in 0.12.
_NEW_KINDS = ("COMBO", AUTOGROW)
# Options of choices that the server does not know beforehand, or looks for in a folder.
_LISTED_ELSEWHERE = ("remote", "image_upload", "video_upload", "audio_upload", "file_upload")
CUSTOM_NODES = "custom_nodes."
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


def decode_submit(reply: Reply, *, graph: Graph | None = None) -> Submission:
    """The answer to a POST /prompt. With the graph, problems name its nodes by title.

    A 200 with node errors means: some outputs are left out, the others run.

    Raises:
        PromptRejected: the graph was refused.
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


def decode_queue_length(reply: Reply) -> int:
    """How many prompts run and wait."""
    answer = _object(reply)
    with _readable(reply):
        return int(answer["exec_info"]["queue_remaining"])


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
        return _history_entry(
            status.get("messages"),
            prompt_id=prompt_id,
            number=number,
            graph=graph,
            outputs=item.get("outputs"),
            meta=item.get("meta"),
            succeeded=status.get("status_str", "success") == "success",
        )


def decode_job(reply: Reply, prompt_id: str) -> Sighting[HistoryEntry] | None:
    """Where the prompt is, by GET /api/jobs/{id}; None if the server does not say it there.

    A prompt that was cancelled before it ran is as unknown as one that never was.
    """
    job = _optional_object(reply)
    if reply.status == 404 and job.get("error") == JOB_UNKNOWN:
        return Absent()
    match status := job.get("status"):
        case "pending":
            return Pending(0)
        case "in_progress":
            return Running()
        case "completed" | "failed" | "cancelled":
            with _readable(reply):
                entry = _history_entry(
                    (job.get("execution_status") or {}).get("messages"),
                    prompt_id=prompt_id,
                    number=job.get("priority") or 0,
                    graph=(job.get("workflow") or {}).get("prompt") or {},
                    outputs=job.get("outputs"),
                    succeeded=status == "completed",
                )
                is_interrupted = entry.is_interrupted or status == "cancelled"
                return Finished(entry.model_copy(update={"is_interrupted": is_interrupted}))
    return None


def decode_job_cancellation(reply: Reply) -> bool | None:
    """Whether POST /api/jobs/{id}/cancel had anything to stop; None if there is no such route."""
    is_cancelled = _optional_object(reply).get("cancelled")
    return is_cancelled if isinstance(is_cancelled, bool) else None


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
    checks = _ServerChecks(
        # An extension may check them by code of its own instead, and does not say so.
        values=not str(info.get("python_module")).startswith("custom_nodes"),
        # ComfyUI 0.12 and later have this key, and check them. Before, it depends.
        new_kinds="is_input_list" in info,
    )
    with _readable(reply):
        return NodeInfo(
            name=class_name,
            display_name=info.get("display_name") or class_name,
            is_output=bool(info.get("output_node")),
            required=_input_group(info.get("input"), "required", checks),
            optional=_input_group(info.get("input"), "optional", checks),
        )


def decode_node_replacements(reply: Reply) -> dict[str, str]:
    """The classes that the server replaces before it checks a graph, and what by.

    A server that has no such route replaces none.
    """
    if reply.status == 404:
        return {}
    with _readable(reply):
        return {old: str(new[0]["new_node_id"]) for old, new in _object(reply).items() if new}


def decode_system_stats(reply: Reply) -> SystemStats:
    """The server and its devices."""
    answer = _object(reply)
    with _readable(reply):
        return SystemStats.model_validate(answer)


def decode_features(reply: Reply) -> tuple[str, ...] | None:
    """The features that the server has, nested ones with dots; None if it does not tell."""
    if reply.status == 404:
        return None
    return tuple(sorted(_flags(_object(reply))))


def decode_node_packages(reply: Reply) -> tuple[str, ...] | None:
    """The folders below custom_nodes that the server's classes come from; None if it tells none."""
    if reply.status == 404:
        return None
    modules = [info["python_module"] for info in _object(reply).values() if _has_module(info)]
    if not modules:
        return None
    packages = {module.split(".", 1)[1] for module in modules if module.startswith(CUSTOM_NODES)}
    return tuple(sorted(packages, key=str.lower))


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
        OutputGone: it is gone, or its name is none that the server hands out, such as a whole path.
            The history also lists the file of an earlier, identical prompt, even if that was moved
            or deleted.
    """
    if reply.status == 404:
        raise OutputGone(
            f"{reply.server} has no file {name}, although it listed it.",
            "It was moved or deleted there; generate it again.",
        )
    if reply.status == 400:
        raise OutputGone(
            f"{reply.server} does not hand out {name}, although it listed it.",
            "Only files in its output folder can be had: use another node to save it.",
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


def _history_entry(
    messages: Json, *, outputs: Json, graph: Json, meta: Json = None, **known: Json
) -> HistoryEntry:
    """The entry with what the execution's messages say. Raises whatever is not of their shape."""
    told = {name: content or {} for name, content in messages or ()}
    return HistoryEntry(
        graph=graph,
        outputs=files_of(outputs, graph, meta),
        unkept=unkept_of(outputs, graph, meta),
        is_interrupted="execution_interrupted" in told,
        failure=_failure(told.get("execution_error")),
        cached_nodes=told.get("execution_cached", {}).get("nodes") or (),
        started_ms=told.get("execution_start", {}).get("timestamp"),
        ended_ms=next((told[name].get("timestamp") for name in ENDINGS if name in told), None),
        **known,
    )


def _failure(messages: Json) -> ExecutionFailure | None:
    return ExecutionFailure.model_validate(messages) if isinstance(messages, dict) else None


@dataclass(frozen=True)
class _ServerChecks:
    """What the server compares with the declarations of a class before it runs a node."""

    values: bool
    new_kinds: bool

    def of(self, kind: Json, options: dict[str, Json]) -> bool:
        """Whether it compares the value of such an input."""
        return (
            self.values
            and (self.new_kinds or kind not in _NEW_KINDS)
            and not any(options.get(key) for key in _LISTED_ELSEWHERE)
        )


def _input_group(groups: Json, group: str, checks: _ServerChecks) -> dict[str, InputInfo]:
    found = _dict(_dict(groups).get(group))
    return {name: _input_info(config, checks) for name, config in found.items()}


def _flags(features: dict[str, Json], prefix: str = "") -> Iterator[str]:
    for name, value in features.items():
        if isinstance(value, dict):
            yield from _flags(value, f"{prefix}{name}.")
        elif value is True:
            yield f"{prefix}{name}"


def _has_module(info: Json) -> bool:
    return isinstance(info, dict) and isinstance(info.get("python_module"), str)


def _input_info(config: Json, checks: _ServerChecks) -> InputInfo:
    """An input's declaration. A choice is spelled in either of two ways: a list, or COMBO."""
    kind, options, *_ = (*as_list(config), None, None)
    more = _dict(options)
    is_list = isinstance(kind, list)
    listed = as_list(more.get("options"))
    return InputInfo(
        kind="COMBO" if is_list else str(kind or "*"),
        choices=tuple(kind if is_list else listed if kind == "COMBO" else ()),
        default=more.get("default"),
        min=_number(more.get("min")),
        max=_number(more.get("max")),
        multiselect=bool(more.get("multiselect")),
        is_checked=checks.of(kind, more),
        options=tuple(
            OptionInfo(
                key=option.get("key"),
                required=_input_group(option.get("inputs"), "required", checks),
                optional=_input_group(option.get("inputs"), "optional", checks),
            )
            for option in map(_dict, listed if kind == DYNAMIC_COMBO else ())
        ),
        items=_autogrow(_dict(more.get("template")), checks) if kind == AUTOGROW else None,
    )


def _autogrow(template: dict[str, Json], checks: _ServerChecks) -> AutogrowInfo | None:
    """An autogrow's inputs: named one by one, or by a prefix and a number from 0."""
    required = _input_group(template.get("input"), "required", checks)
    items = required or _input_group(template.get("input"), "optional", checks)
    if not items:
        return None
    count = min(int(_number(template.get("max")) or 0), MAX_AUTOGROW)
    numbered = [f"{template.get('prefix', '')}{number}" for number in range(count)]
    return AutogrowInfo(
        names=tuple(map(str, as_list(template.get("names")))) or tuple(numbered),
        min=int(_number(template.get("min")) or 0) if required else 0,
        item=next(iter(items.values())),
    )


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _number(value: Json) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _json(reply: Reply) -> Json:
    with _readable(reply):
        return read_json(reply.body)


def _object(reply: Reply) -> dict[str, Json]:
    require_success(reply)
    answer = _json(reply)
    if not isinstance(answer, dict):
        raise _unreadable(reply)
    return answer


def _optional_object(reply: Reply) -> dict[str, Json]:
    """The JSON object of a route that not every server has; an empty one for any other answer.

    Raises:
        ComfyUIUnreachable: a proxy answered for a server that is away.
    """
    if reply.status in GATEWAY:
        require_success(reply)
    try:
        answer = read_json(reply.body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _text(reply: Reply) -> str:
    """The first line of a plain answer."""
    lines = reply.body[:500].decode(errors="replace").strip().splitlines()
    return lines[0] if lines else ""


@contextmanager
def _readable(reply: Reply) -> Iterator[None]:
    """Raise whatever does not have the expected shape as an error about the server."""
    try:
        yield
    except UNREADABLE as fault:
        raise _unreadable(reply) from fault


def _unreadable(reply: Reply) -> ComfyUIError:
    return ComfyUIError(
        f"{reply.server} answered something that ComfyUI does not say: "
        f"{reply.content_type or 'no content type'}, {_text(reply)[:80]!r}.",
        CHECK_SERVER,
    )
