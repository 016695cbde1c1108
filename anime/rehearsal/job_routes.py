"""The routes about jobs, which ComfyUI 0.33 has below /api only: each prompt seen as one job."""

import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from anime.rehearsal.node_types import JsonObject
from anime.rehearsal.prompt_queue import QueueItem, is_canonical_uuid
from anime.rehearsal.prompt_worker import PromptWorker
from anime.rehearsal.replies import errors_as_500, json_body, json_reply

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
SORT_KEYS = {"created_at": "create_time", "execution_duration": "duration"}
SORT_ORDERS = ("asc", "desc")
SAVED, UNSAVED, TEXT_FILE, BARE_TEXT = range(4)  # which output a job is shown by
SHOWN_KEYS = frozenset({"images", "video", "audio", "3d"})
MESH_SUFFIXES = (".obj", ".fbx", ".gltf", ".glb", ".usdz")
TEXT_SUFFIXES = (".txt", ".md", ".json")
MOST_TEXT_CHARS = 1024


class JobRoutes:
    """Endpoints of one worker's prompts, waiting, running and ended."""

    def __init__(self, worker: PromptWorker) -> None:
        self._worker = worker

    def routes(self) -> Sequence[BaseRoute]:
        """Every path with its method."""
        return (
            Route("/jobs", errors_as_500(self.show_page), methods=["GET"]),
            Route("/jobs/cancel", errors_as_500(self.cancel_many), methods=["POST"]),
            Route("/jobs/{job_id}", errors_as_500(self.show_job), methods=["GET"]),
            Route("/jobs/{job_id}/cancel", self.cancel, methods=["POST"]),
        )

    async def show_page(self, request: Request) -> Response:
        """A page of the jobs that are asked for, the newest first unless it is asked otherwise."""
        query = request.query_params
        try:
            statuses, key, offset, limit = _read_query(query)
        except ValueError as fault:
            return json_reply({"error": str(fault)}, 400)
        workflow_id = query.get("workflow_id")
        found = [
            job
            for job in self._jobs()
            if job["status"] in statuses and workflow_id in (None, "", job.get("workflow_id"))
        ]
        found.sort(
            key=lambda job: _duration(job) if key == "duration" else job["create_time"],
            reverse=query.get("sort_order", "desc").lower() == "desc",
        )
        page = found[offset:] if limit is None else found[offset : offset + limit]
        pagination = {
            "offset": offset,
            "limit": limit,
            "total": len(found),
            "has_more": offset + len(page) < len(found),
        }
        return json_reply({"jobs": page, "pagination": pagination})

    async def show_job(self, request: Request) -> Response:
        """One job with its outputs and messages."""
        job_id = request.path_params["job_id"]
        entry = self._worker.history.entry(job_id).get(job_id)
        if entry:
            return json_reply(_ended(entry) | _details(entry))
        job = next((job for job in self._unended() if job["id"] == job_id), None)
        return json_reply(job) if job else json_reply({"error": "Job not found"}, 404)

    async def cancel(self, request: Request) -> Response:
        """Remove or interrupt one job; whether there was anything to cancel."""
        return json_reply({"cancelled": self._worker.cancel(request.path_params["job_id"])})

    async def cancel_many(self, request: Request) -> Response:
        """Remove or interrupt jobs; whether there was anything to cancel."""
        try:
            body = await json_body(request)
        except json.JSONDecodeError:
            return json_reply({"error": "Request body must be valid JSON"}, 400)
        job_ids = body.get("job_ids") if isinstance(body, dict) else None
        if not isinstance(job_ids, list):
            return json_reply({"error": "job_ids must be a list"}, 400)
        invalid = [str(job_id) for job_id in job_ids if not is_canonical_uuid(job_id)]
        if invalid:
            reason = "job_ids contains invalid id(s)"
            return json_reply({"error": reason, "invalid_ids": invalid}, 400)
        cancelled = [self._worker.cancel(job_id) for job_id in job_ids]
        return json_reply({"cancelled": any(cancelled)})

    def _jobs(self) -> Iterator[JsonObject]:
        yield from self._unended()
        for entry in self._worker.history.page(None, -1).values():
            yield _ended(entry)

    def _unended(self) -> Iterator[JsonObject]:
        queue = self._worker.queue
        if queue.running:
            yield _started(queue.running, "in_progress")
        for item in queue.pending:
            yield _started(item, "pending")


def _read_query(query: QueryParams) -> tuple[Sequence[str], str, int, int | None]:
    """Statuses, key to sort by, offset, limit.

    Raises:
        ValueError: one of them is none, in the words of the answer.
    """
    statuses: Sequence[str] = STATUSES
    if query.get("status"):
        words = (word.strip().lower() for word in query["status"].split(","))
        statuses = list(filter(None, words))
    if invalid := [status for status in statuses if status not in STATUSES]:
        valid = ", ".join(STATUSES)
        raise ValueError(f"Invalid status value(s): {', '.join(invalid)}. Valid values: {valid}")
    for name, choices in (("sort_by", SORT_KEYS), ("sort_order", SORT_ORDERS)):
        if name in query and query[name].lower() not in choices:
            raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}")
    limit = _integer(query, "limit")
    if limit is not None and limit <= 0:
        raise ValueError("limit must be a positive integer")
    key = SORT_KEYS[query.get("sort_by", "created_at").lower()]
    return statuses, key, max(0, _integer(query, "offset") or 0), limit


def _integer(query: QueryParams, name: str) -> int | None:
    try:
        return int(query[name]) if name in query else None
    except ValueError:
        raise ValueError(f"{name} must be an integer") from None


def _started(item: QueueItem | list[Any], status: str) -> JsonObject:
    """The job of a prompt.

    Raises:
        AttributeError: its extra data are of another shape. ComfyUI answers 500 then, for as long
            as it lists the prompt.
    """
    number, job_id, _graph, extra_data, _outputs = item
    workflow_id = extra_data.get("extra_pnginfo", {}).get("workflow", {}).get("id")
    return {
        "id": job_id,
        "status": status,
        "priority": number,
        "create_time": extra_data.get("create_time"),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    } | ({} if workflow_id is None else {"workflow_id": workflow_id})


def _ended(entry: JsonObject) -> JsonObject:
    """The job of a history entry."""
    messages = dict(entry["status"]["messages"])
    status = "completed" if entry["status"]["completed"] else "failed"
    status = "cancelled" if "execution_interrupted" in messages else status
    times = [about["timestamp"] for about in messages.values()]
    files, previews = _outputs_of(_normalised(entry["outputs"]))
    job = _started(entry["prompt"], status) | {
        "execution_start_time": times[0],
        "execution_end_time": times[-1],
        "outputs_count": files,
        "previewable_outputs_count": sum(rank < BARE_TEXT for rank, _preview in previews),
    }
    if "execution_error" in messages:
        job["execution_error"] = messages["execution_error"]
    if previews:
        job["preview_output"] = min(previews, key=itemgetter(0))[1]
    return job


def _normalised(outputs: JsonObject) -> JsonObject:
    """The outputs; of each mesh that is only named a file is made, which need not be there."""
    return {
        node_id: {
            key: [_as_file(item) for item in listed if item is not None]
            for key, listed in ui.items()
        }
        for node_id, ui in outputs.items()
    }


def _as_file(item: Any) -> Any:  # whatever a node lists
    if not (isinstance(item, str) and item.lower().endswith(MESH_SUFFIXES)):
        return item
    return {"filename": item, "type": "output", "subfolder": "", "mediaType": "3d"}


def _outputs_of(outputs: JsonObject) -> tuple[int, list[tuple[int, JsonObject]]]:
    """How many files there are, and what can be shown, with its rank: the lowest is shown."""
    files, previews = 0, []
    for node_id, ui in outputs.items():
        for key, listed in ui.items():
            about = {"nodeId": node_id, "mediaType": key}
            for item in listed if key != "animated" else ():
                if isinstance(item, str) and key == "text":
                    cut = {"truncated": True} if len(item) > MOST_TEXT_CHARS else {}
                    previews.append((BARE_TEXT, {"content": item[:MOST_TEXT_CHARS], **cut} | about))
                if not isinstance(item, dict):
                    continue
                files += 1
                name = item["filename"].lower()
                if key == "text" or name.endswith(TEXT_SUFFIXES):
                    previews.append((TEXT_FILE, about | item))
                elif key in SHOWN_KEYS or name.endswith(MESH_SUFFIXES):
                    previews.append((SAVED if item["type"] == "output" else UNSAVED, about | item))
    return files, previews


def _details(entry: JsonObject) -> JsonObject:
    _number, _job_id, graph, extra_data, _outputs = entry["prompt"]
    return {
        "outputs": _normalised(entry["outputs"]),
        "execution_status": entry["status"],
        "workflow": {"prompt": graph, "extra_data": extra_data},
    }


def _duration(job: JsonObject) -> int:
    """Milliseconds that the job ran; 0 if it has not ended."""
    return int(job.get("execution_end_time", 0)) - int(job.get("execution_start_time", 0))
