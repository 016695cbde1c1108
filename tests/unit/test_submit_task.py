"""What a run asks ComfyUI for when it submits a prompt."""

import inspect
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from anime.comfyui.client import ComfyUIClient
from anime.progress.publisher import ProgressPublisher
from tasks.comfyui import submit
from tasks.progress import Reporter


class Watched(ProgressPublisher):
    """Somebody watches these jobs, and no others."""

    def __init__(self, *job_ids: UUID) -> None:
        super().__init__(None)
        self._job_ids = job_ids

    async def is_preview_requested(self, job_id: UUID) -> bool:
        return job_id in self._job_ids


async def submitted(
    reporter: Reporter, *, is_new: bool = False, asked: list[str] | None = None
) -> dict[str, Any]:
    """The body of the POST /prompt; the paths of all requests go to `asked`."""
    bodies: list[dict[str, Any]] = []
    paths = [] if asked is None else asked

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path.split("/")[1])
        if request.method == "POST":
            bodies.append(json.loads(request.content))
            prompt_id = bodies[-1]["prompt_id"]
            return httpx.Response(
                200, json={"prompt_id": prompt_id, "number": 1, "node_errors": {}}
            )
        return httpx.Response(200, json={})

    comfy = ComfyUIClient("http://comfyui", transport=httpx.MockTransport(answer))
    await inspect.unwrap(submit)(
        comfy,
        {},
        prompt_id=uuid4(),
        client_id="me",
        pnginfo={"anime": {}},
        reporter=reporter,
        is_new=is_new,
    )
    [body] = bodies
    return body


@pytest.mark.parametrize(
    ("is_watched", "expected"),
    [
        (True, {"extra_pnginfo": {"anime": {}}, "preview_method": "auto"}),
        (False, {"extra_pnginfo": {"anime": {}}}),
    ],
)
async def test_previews_are_asked_for_if_somebody_watches_and_only_then(
    is_watched: bool, expected: dict[str, Any]
) -> None:
    job_id = uuid4()
    publisher = Watched(job_id if is_watched else uuid4())
    assert (await submitted(Reporter(publisher, job_id)))["extra_data"] == expected


@pytest.mark.parametrize(("is_new", "is_looked_for"), [(True, False), (False, True)])
async def test_only_a_prompt_that_may_have_been_sent_is_looked_for(
    is_new: bool, is_looked_for: bool
) -> None:
    asked: list[str] = []
    reporter = Reporter(Watched(), uuid4())
    await submitted(reporter, is_new=is_new, asked=asked)
    assert ("queue" in asked, asked[-1]) == (is_looked_for, "prompt")
