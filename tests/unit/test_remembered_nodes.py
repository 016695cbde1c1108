"""What a server has said of its node classes is not asked for again, and refuses nothing."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from anime.assets.store import AssetStore
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.workflow_templates import load_template
from anime.core.node_classes import NodeClassPolicy
from anime.core.paths import INPUTS_FOLDER
from anime.errors import ComfyUIUnreachable, PromptRejected
from anime.schemas import GenerationRequest
from anime.settings import SHIPPED_WORKFLOWS
from tasks.preflight import PreparedTemplate, prepare_template

LOADER = "CheckpointLoaderSimple"


class ChangingServer(httpx.AsyncBaseTransport):
    """A server that has every class, and those checkpoints."""

    def __init__(self) -> None:
        self.url = f"http://{uuid4().hex}"
        self.checkpoints = ["a"]
        self.version = "0.33.0"
        self.is_away = False
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("refused", request=request)
        name = request.url.path.rpartition("/")[2]
        self.asked.append(name)
        if name == "system_stats":
            return httpx.Response(
                200, json={"system": {"comfyui_version": self.version}, "devices": []}
            )
        inputs = {"ckpt_name": [self.checkpoints]} if name == LOADER else {}
        known = {"input": {"required": inputs}, "output_node": name == LOADER}
        return httpx.Response(200, json={name: known})

    def client(self) -> ComfyUIClient:
        return ComfyUIClient(self.url, transport=self)

    async def prepared(self, model: str | None = "a") -> PreparedTemplate:
        self.asked.clear()
        return await prepare_template(
            self.client(),
            load_template("txt2img", SHIPPED_WORKFLOWS),
            GenerationRequest(prompt="a cat", model=model),
            library=AssetStore(Path("/nowhere")),
            default_model="a",
            node_class_policy=NodeClassPolicy(),
        )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ChangingServer:
    monkeypatch.setattr("tasks.preflight.get_run_logger", logging.getLogger)  # there is no run
    return ChangingServer()


async def test_nothing_is_asked_for_twice(server: ChangingServer) -> None:
    await server.prepared()
    assert LOADER in server.asked
    await server.prepared()
    assert server.asked == []


async def test_a_model_that_has_come_since_is_not_refused(server: ChangingServer) -> None:
    await server.prepared()
    server.checkpoints.append("b")
    await server.prepared("b")
    with pytest.raises(PromptRejected):
        await server.prepared("c")


async def test_the_model_of_the_template_is_taken_as_soon_as_it_is_there(
    server: ChangingServer,
) -> None:
    assert (await server.prepared(None)).model == "a"
    template = load_template("txt2img", SHIPPED_WORKFLOWS)
    server.checkpoints.append(str(template.value_of("model")))
    assert (await server.prepared(None)).model is None


def _update(server: ChangingServer) -> None:
    server.version = "0.34.0"


def _go_away(server: ChangingServer) -> None:
    server.is_away = True


@pytest.mark.parametrize("change", [_update, _go_away])
async def test_after_a_restart_all_is_asked_for_again(
    server: ChangingServer, change: Callable[[ChangingServer], Any]
) -> None:
    client = server.client()
    await client.system_stats()
    await server.prepared()
    change(server)
    if server.is_away:
        with pytest.raises(ComfyUIUnreachable):
            await client.system_stats()
        server.is_away = False
    else:
        await client.system_stats()
    await server.prepared()
    assert LOADER in server.asked


async def test_a_picture_that_is_to_come_is_no_model(
    server: ChangingServer, tmp_path: Path
) -> None:
    picture = tmp_path / INPUTS_FOLDER / "mine.png"
    picture.parent.mkdir()
    picture.touch()
    with pytest.raises(PromptRejected, match=r"ComfyUI has: a\. "):
        await prepare_template(
            server.client(),
            load_template("img2img", SHIPPED_WORKFLOWS),
            GenerationRequest(
                prompt="a cat", model="b", inputs={"image": f"{INPUTS_FOLDER}/mine.png"}
            ),
            library=AssetStore(tmp_path),
            default_model=None,
            node_class_policy=NodeClassPolicy(),
        )
