"""ComfyUI 0.3.64 and 0.33.0 side by side: other answers, and the same values from them.

The samples have the shapes that servers of both versions were recorded to answer with.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from anime.comfyui import prompt_cancellation, protocol
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.failures import failure_of
from anime.comfyui.models import HistoryEntry
from anime.comfyui.prompt_cancellation import CancelResult
from anime.comfyui.protocol import Reply
from anime.core.prompt_state import Absent, Finished, Pending, Running
from anime.errors import ComfyUIUnreachable, NodeFailed, PromptInterrupted
from anime.retry_policies import RetryPolicy

SAMPLES = Path(__file__).parent / "samples"
OLD, NEW = SAMPLES / "comfyui", SAMPLES / "comfyui_0_33"
BOTH = pytest.mark.parametrize("folder", [OLD, NEW], ids=["0.3.64", "0.33.0"])
PROMPT_ID = UUID("6f1c2a34-0000-5000-8000-000000000001")
GRAPH = {
    "1": {"class_type": "NoSuchNode", "inputs": {}, "_meta": {"title": "Blank"}},
    "3": {"class_type": "ImageInvert", "inputs": {}, "_meta": {"title": "ImageInvert"}},
}
CLASSES = {
    "SaveImage": {"python_module": "nodes", "input": {}},
    "SaveVideo": {"python_module": "comfy_extras.nodes_video", "input": {}},
    "Interpolate": {"python_module": "custom_nodes.ComfyUI-Frame-Interpolation", "input": {}},
    "Sharpen": {"python_module": "custom_nodes.sharpen", "input": {}},
    "Blur": {"python_module": "custom_nodes.sharpen", "input": {}},
    "Odd": None,
}


def reply(path: Path, status: int = 200) -> Reply:
    return Reply(status, "application/json; charset=utf-8", path.read_bytes())


def entry(folder: Path, name: str) -> HistoryEntry:
    found = protocol.decode_history(reply(folder / f"{name}.json"), str(PROMPT_ID))
    assert found is not None
    return found


class Server:
    """Knows the routes of its version, and no others; `state` is where the prompt is."""

    def __init__(self, folder: Path, state: str = "unknown") -> None:
        self.folder = folder
        self.state = state
        self.ignores_cancelling = 0
        self.classes: Any = CLASSES
        self.asked: list[str] = []

    def client(self) -> ComfyUIClient:
        return ComfyUIClient("http://comfyui", transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        method, path = request.method, request.url.path.replace(str(PROMPT_ID), "ID")
        self.asked.append(f"{method} {path}")
        match method, path:
            case "GET", "/system_stats" | "/features":
                return httpx.Response(200, content=self._sample(path[1:]))
            case "GET", "/object_info":
                return httpx.Response(200, json=self.classes)
            case "GET", "/queue":
                return httpx.Response(200, json=self._queue())
            case "GET", "/history/ID":
                names = {"cancelled": "interrupted", "failed": "error", "completed": "success"}
                name = names.get(self.state)
                content = self._sample(f"history_{name}") if name else b"{}"
                return httpx.Response(200, content=content)
            case "POST", "/interrupt":
                assert json.loads(request.content) == {"prompt_id": str(PROMPT_ID)}
                self._stop("in_progress", "cancelled")
                return httpx.Response(200)
            case "POST", "/queue":
                assert json.loads(request.content) == {"delete": [str(PROMPT_ID)]}
                self._stop("pending", "unknown")
                return httpx.Response(200)
            case _ if self.folder is NEW:
                return self._job(method, path)
        return httpx.Response(404 if method == "GET" else 405, text="no")  # GETs look for files

    def _job(self, method: str, path: str) -> httpx.Response:
        if (method, path) == ("GET", "/api/jobs/ID"):
            status = 404 if self.state == "unknown" else 200
            return httpx.Response(status, content=self._sample(f"job_{self.state}"))
        assert (method, path) == ("POST", "/api/jobs/ID/cancel")
        before = self.state
        self._stop("in_progress", "cancelled")
        self._stop("pending", "unknown")
        return httpx.Response(200, json={"cancelled": self.state != before})

    def _queue(self) -> dict[str, Any]:
        item = [3, str(PROMPT_ID), {}, {}, []]
        return {
            "queue_running": [item] if self.state == "in_progress" else [],
            "queue_pending": [item] if self.state == "pending" else [],
        }

    def _stop(self, state: str, ending: str) -> None:
        if self.state == state:
            if self.ignores_cancelling:
                self.ignores_cancelling -= 1
            else:
                self.state = ending

    def _sample(self, name: str) -> bytes:
        return (self.folder / f"{name}.json").read_bytes()


async def known(server: Server) -> ComfyUIClient:
    """A client of a server whose version is known, as it is after the checks of a run."""
    client = server.client()
    await client.system_stats()
    server.asked.clear()
    return client


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = RetryPolicy(first_seconds=0, longest_seconds=0)
    monkeypatch.setattr(prompt_cancellation, "PROMPT_INTERRUPT", at_once)


@BOTH
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("unknown", Absent()),
        ("pending", Pending(0, is_idle=True)),
        ("in_progress", Running()),
        ("completed", Finished(entry(OLD, "history_success"))),
        ("cancelled", Finished(entry(OLD, "history_interrupted"))),
        ("failed", Finished(entry(OLD, "history_error"))),
    ],
)
async def test_a_prompt_is_found_where_it_is(folder: Path, state: str, expected: object) -> None:
    server = Server(folder, state)
    client = await known(server)
    assert await client.find(PROMPT_ID) == expected
    assert len(server.asked) <= (3 if folder is OLD and state == "unknown" else 2)


async def test_what_a_node_is_shown_as_that_another_made_while_it_ran_is_read_in_the_history() -> (
    None
):
    item = json.loads((NEW / "history_success.json").read_bytes())[str(PROMPT_ID)]
    node = next(iter(item["outputs"]))
    outputs = {f"{node}.0.0.1": item["outputs"][node]}
    meta = {f"{node}.0.0.1": {"display_node": node}}
    job = json.loads((NEW / "job_completed.json").read_bytes()) | {"outputs": outputs}

    def answers(request: httpx.Request) -> httpx.Response:
        match request.url.path.split("/")[1]:
            case "queue":
                return httpx.Response(200, json={"queue_running": [], "queue_pending": []})
            case "api":
                return httpx.Response(200, json=job)
        return httpx.Response(200, json={str(PROMPT_ID): item | {"outputs": outputs, "meta": meta}})

    client = ComfyUIClient("http://comfyui", transport=httpx.MockTransport(answers))
    assert await client.find(PROMPT_ID) == Finished(entry(NEW, "history_success"))


async def test_a_new_server_is_asked_for_the_job_once_and_not_for_the_history_twice() -> None:
    server = Server(NEW)
    client = await known(server)
    await client.find(PROMPT_ID)
    assert server.asked == ["GET /queue", "GET /api/jobs/ID"]


async def test_an_old_server_is_never_asked_for_jobs_once_its_version_is_known() -> None:
    server = Server(OLD)
    client = await known(server)
    await client.find(PROMPT_ID)
    assert server.asked == ["GET /queue", "GET /history/ID", "GET /history/ID"]


@pytest.mark.parametrize("state", ["pending", "in_progress"])
async def test_a_prompt_that_starts_between_two_looks_is_not_absent(state: str) -> None:
    reply_of_job = reply(NEW / f"job_{state}.json")
    expected = Pending(0) if state == "pending" else Running()
    assert protocol.decode_job(reply_of_job, str(PROMPT_ID)) == expected


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "404: Not Found"),
        (404, ""),
        (404, '{"error": "no such page"}'),  # of a gateway that keeps /api to itself
        (403, ""),
        (405, "405: Method Not Allowed"),
        (500, "500 Internal Server Error"),  # a fault in what is new there
        (200, "<html>"),
    ],
)
def test_a_server_without_jobs_says_nothing_about_one(status: int, body: str) -> None:
    reply_of_route = Reply(status, "text/plain", body.encode())
    assert protocol.decode_job(reply_of_route, str(PROMPT_ID)) is None
    assert protocol.decode_job_cancellation(reply_of_route) is None


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_is_away_may_have_jobs(status: int) -> None:
    with pytest.raises(ComfyUIUnreachable):
        protocol.decode_job(Reply(status, "text/plain", b""), str(PROMPT_ID))


def test_a_job_in_a_state_that_we_do_not_know_is_left_to_the_history() -> None:
    body = json.dumps({"id": str(PROMPT_ID), "status": "archived"}).encode()
    assert protocol.decode_job(Reply(200, "application/json", body), str(PROMPT_ID)) is None


async def test_a_server_that_lost_its_jobs_route_is_asked_the_old_way_from_then_on() -> None:
    await known(Server(NEW))
    server = Server(OLD, "completed")
    client = server.client()
    for _ in range(2):
        assert isinstance(await client.find(PROMPT_ID), Finished)
    assert server.asked == [
        *("GET /queue", "GET /api/jobs/ID", "GET /history/ID"),
        *("GET /queue", "GET /history/ID"),
    ]


@BOTH
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("unknown", CancelResult.REMOVED),
        ("pending", CancelResult.REMOVED),  # it has no record afterwards
        ("in_progress", CancelResult.INTERRUPTED),
        ("completed", CancelResult.COMPLETED),
        ("failed", CancelResult.FAILED),
    ],
)
async def test_cancelling_ends_alike(folder: Path, state: str, expected: CancelResult) -> None:
    server = Server(folder, state)
    client = server.client()
    assert await client.cancel(PROMPT_ID, timeout_seconds=5) is expected


async def test_a_new_server_cancels_by_one_atomic_call() -> None:
    server = Server(NEW, "in_progress")
    await server.client().cancel(PROMPT_ID, timeout_seconds=5)
    assert [each for each in server.asked if each.startswith("POST")] == [
        "POST /api/jobs/ID/cancel"
    ]


async def test_an_old_server_is_asked_once_whether_it_has_jobs() -> None:
    for _ in range(2):
        server = Server(OLD, "in_progress")
        await server.client().cancel(PROMPT_ID, timeout_seconds=5)
    assert [each for each in server.asked if each.startswith("POST")] == ["POST /interrupt"]


@BOTH
@pytest.mark.parametrize("state", ["pending", "in_progress"])
async def test_a_cancellation_that_came_too_early_is_repeated(folder: Path, state: str) -> None:
    server = Server(folder, state)
    server.ignores_cancelling = 2
    ending = await server.client().cancel(PROMPT_ID, timeout_seconds=5)
    assert ending in {CancelResult.REMOVED, CancelResult.INTERRUPTED}
    assert server.state in {"unknown", "cancelled"}


async def test_a_server_error_does_not_mean_that_there_are_no_jobs() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    client = ComfyUIClient("http://comfyui", transport=transport)
    with pytest.raises(ComfyUIUnreachable):
        await client.cancel_job(PROMPT_ID)
    assert client.facts.has_jobs is None


@BOTH
def test_an_interrupt_is_told_apart_from_a_failure(folder: Path) -> None:
    assert isinstance(failure_of(entry(folder, "history_interrupted")), PromptInterrupted)
    assert isinstance(failure_of(entry(folder, "history_error")), NodeFailed)


@pytest.mark.parametrize(
    ("status", "error"), [("cancelled", PromptInterrupted), ("failed", NodeFailed)]
)
def test_so_it_is_by_the_jobs_own_status(status: str, error: type[Exception]) -> None:
    job: dict[str, Any] = json.loads((NEW / f"job_{status}.json").read_bytes())
    job["execution_status"] = None  # a server that keeps no messages
    found = protocol.decode_job(
        Reply(200, "application/json", json.dumps(job).encode()), str(PROMPT_ID)
    )
    assert isinstance(found, Finished)
    assert isinstance(failure_of(found.entry), error)


@BOTH
def test_the_queue_is_read_alike(folder: Path) -> None:
    queue = protocol.decode_queue(reply(folder / "queue.json"))
    assert [prompt.prompt_id for prompt in queue.pending] == ["rush", "a", "b", "later", "last"]
    assert queue.is_running("now")


@pytest.mark.parametrize(
    ("folder", "problems"),
    [
        (OLD, ["“Blank” (NoSuchNode, node 1): Cannot execute because node NoSuchNode does not"]),
        (NEW, ["“Blank” (NoSuchNode, node 1): Node 'Blank' not found. The custom node may not"]),
    ],
)
def test_a_class_that_is_missing_is_named(folder: Path, problems: list[str]) -> None:
    found = problems_of(folder / "rejected_class.json")
    assert [each[: len(start)] for each, start in zip(found, problems, strict=True)] == problems


def test_a_cycle_is_told_with_its_nodes() -> None:
    assert problems_of(NEW / "rejected_cycle.json")[0] == (
        "“Blank” (ImageInvert, node 1): Dependency cycle detected: "
        "1 (ImageInvert) -> 3 (ImageInvert) -> 1 (ImageInvert)"
    )


def test_an_id_that_it_does_not_take_is_told() -> None:
    [problem] = problems_of(NEW / "rejected_prompt_id.json")
    assert problem.startswith("prompt_id must be a valid UUID: ")


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(Exception, match="refused the graph") as caught:
        protocol.decode_submit(reply(path, 400), graph=GRAPH)
    problems: tuple[str, ...] = getattr(caught.value, "problems", ())
    return problems


async def test_our_ids_are_the_only_ones_that_new_servers_take() -> None:
    sent: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        prompt_id = sent[-1]["prompt_id"]
        assert prompt_id == str(UUID(prompt_id))
        return httpx.Response(200, json={"prompt_id": prompt_id, "number": 1, "node_errors": {}})

    client = ComfyUIClient("http://comfyui", transport=httpx.MockTransport(take))
    await client.submit(GRAPH, prompt_id=uuid4(), client_id="c")
    assert len(sent) == 1


FLAGS = {
    OLD: ("supports_preview_metadata",),
    NEW: (
        "extension.manager.supports_v4",
        "node_replacements",
        "supports_model_type_tags",
        "supports_preview_metadata",
    ),
}
DEVICES = {
    OLD: ("cpu (24105 MB)",),
    NEW: (
        "cuda:0 NVIDIA H200 : cudaMallocAsync (143155 MB)",
        "cuda:1 NVIDIA L4 : cudaMallocAsync (22563 MB)",
    ),
}


@BOTH
async def test_a_server_is_known_by_version_features_packages_and_all_its_devices(
    folder: Path,
) -> None:
    fingerprint = await Server(folder).client().fingerprint()
    assert fingerprint.version == ("0.33.0" if folder is NEW else "0.3.64")
    assert fingerprint.features == FLAGS[folder]
    assert fingerprint.node_packages == ("ComfyUI-Frame-Interpolation", "sharpen")
    assert fingerprint.devices == DEVICES[folder]
    assert fingerprint == await Server(folder).client().fingerprint()
    assert hash(fingerprint)


async def test_a_server_that_does_not_tell_its_features_or_nodes_has_unknown_ones() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        is_stats = request.url.path == "/system_stats"
        return httpx.Response(200, json={"system": {}}) if is_stats else httpx.Response(404)

    client = ComfyUIClient("http://comfyui", transport=httpx.MockTransport(answer))
    fingerprint = await client.fingerprint()
    assert (fingerprint.features, fingerprint.node_packages) == (None, None)
    assert fingerprint.describe() == "features unknown; node packages unknown"


async def test_a_fingerprint_is_told_in_a_line() -> None:
    server = Server(OLD)
    assert (await server.client().fingerprint()).describe() == (
        "features supports_preview_metadata; node packages ComfyUI-Frame-Interpolation, sharpen"
    )
    server.classes = {"SaveImage": {"python_module": "nodes"}}
    assert (await server.client().fingerprint()).describe() == (
        "features supports_preview_metadata; no node packages"
    )


async def test_classes_that_do_not_say_where_they_come_from_are_no_answer() -> None:
    server = Server(OLD)
    server.classes = {"SaveImage": {"input": {}}}
    assert (await server.client().fingerprint()).node_packages is None
