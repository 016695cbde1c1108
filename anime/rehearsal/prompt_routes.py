"""The routes about prompts: submitting, queue, history, interrupt, free."""

import json
import time
from collections.abc import Sequence
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from anime.rehearsal.config import Profile
from anime.rehearsal.folders import input_exists
from anime.rehearsal.node_replacements import replace_nodes
from anime.rehearsal.node_types import JsonObject
from anime.rehearsal.prompt_queue import History, PromptQueue, is_canonical_uuid
from anime.rehearsal.prompt_worker import PromptWorker
from anime.rehearsal.replies import empty_reply, errors_as_500, json_body, json_reply
from anime.rehearsal.validation import error, validate_graph

INVALID_PROMPT_ID = error(
    "invalid_prompt_id",
    "prompt_id must be a valid UUID",
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
    "omit it to let the server generate one",
)


class PromptRoutes:
    """Endpoints of one worker's queue and history."""

    def __init__(self, worker: PromptWorker) -> None:
        self._worker = worker

    def routes(self) -> Sequence[BaseRoute]:
        """Every path with its method."""
        return (
            Route("/prompt", self.count, methods=["GET"]),
            Route("/prompt", errors_as_500(self.submit), methods=["POST"]),
            Route("/queue", self.show_queue, methods=["GET"]),
            Route("/queue", errors_as_500(self.change_queue), methods=["POST"]),
            Route("/history", errors_as_500(self.show_history), methods=["GET"]),
            Route("/history", errors_as_500(self.change_history), methods=["POST"]),
            Route("/history/{prompt_id}", self.show_entry, methods=["GET"]),
            Route("/interrupt", errors_as_500(self.interrupt), methods=["POST"]),
            Route("/free", errors_as_500(self.free), methods=["POST"]),
        )

    async def count(self, _request: Request) -> Response:
        """The number of waiting and running prompts."""
        return json_reply(self._worker.status())

    async def submit(self, request: Request) -> Response:
        """Queue a graph if at least one of its outputs can run."""
        body = await json_body(request)
        number = self._worker.queue.next_number(body)
        if "prompt" not in body:
            return _refused(error("no_prompt", "No prompt provided", "No prompt provided"))
        graph, profile = body["prompt"], self._worker.config.profile
        prompt_id = str(body.get("prompt_id", uuid4()))
        if profile is Profile.V0_33:
            if body.get("prompt_id") is None:
                prompt_id = str(uuid4())
            elif not is_canonical_uuid(body["prompt_id"]):
                return _refused(INVALID_PROMPT_ID)
            replace_nodes(graph, self._worker.types)
        result = validate_graph(
            graph,
            self._worker.types,
            lambda name: input_exists(self._worker.config.folders, name),
            body.get("partial_execution_targets"),
            profile,
        )
        if result.error:
            return json_reply({"error": result.error, "node_errors": result.node_errors}, 400)
        extra = {**body.get("extra_data", {})}
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        if profile is Profile.V0_33:
            extra["create_time"] = time.time_ns() // 1_000_000
        self._worker.queue.put((number, prompt_id, graph, extra, result.outputs))
        self._worker.log.add("accepted", prompt_id)
        accepted = {"prompt_id": prompt_id, "number": number}
        return json_reply({**accepted, "node_errors": result.node_errors})

    async def show_queue(self, _request: Request) -> Response:
        """The running prompt and the waiting ones, the latter in heap order."""
        queue = self._worker.queue
        running = [queue.running] if queue.running else []
        return json_reply({"queue_running": running, "queue_pending": queue.pending})

    async def change_queue(self, request: Request) -> Response:
        """Remove waiting prompts; the answer is 200 even if there were none."""
        return await _removed_from(self._worker.queue, request)

    async def show_history(self, request: Request) -> Response:
        """Ended prompts, oldest first; all, or a page of them."""
        query = request.query_params
        max_items = int(query["max_items"]) if "max_items" in query else None
        return json_reply(self._worker.history.page(max_items, int(query.get("offset", -1))))

    async def show_entry(self, request: Request) -> Response:
        """The entry of one prompt; an empty object if there is none."""
        return json_reply(self._worker.history.entry(request.path_params["prompt_id"]))

    async def change_history(self, request: Request) -> Response:
        """Remove ended prompts; the answer is 200 even if there were none."""
        return await _removed_from(self._worker.history, request)

    async def interrupt(self, request: Request) -> Response:
        """Stop the running prompt, if the request names it or none."""
        try:
            body = await json_body(request)
        except json.JSONDecodeError:
            body = {}
        self._worker.interrupt(body.get("prompt_id") or None)
        return empty_reply()

    async def free(self, request: Request) -> Response:
        """Release memory after the running prompt."""
        body = await json_body(request)
        self._worker.free(
            unload_models=bool(body.get("unload_models")),
            free_memory=bool(body.get("free_memory")),
        )
        return empty_reply()


async def _removed_from(prompts: PromptQueue | History, request: Request) -> Response:
    """The answer once all prompts are removed, or those that are named."""
    body = await json_body(request)
    if body.get("clear"):
        prompts.clear()
    prompts.delete(body.get("delete", ()))
    return empty_reply()


def _refused(fault: JsonObject) -> Response:
    return json_reply({"error": fault, "node_errors": {}}, 400)
