"""The routes about the server itself: statistics, node classes, models, features."""

import os
import platform
from collections.abc import Sequence

import psutil
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from anime.rehearsal.middleware import MAX_BODY_BYTES
from anime.rehearsal.nodes import node_catalogue
from anime.rehearsal.prompt_worker import PromptWorker
from anime.rehearsal.replies import empty_reply, json_reply

COMFYUI_VERSION = "0.3.64"
FEATURES = {"supports_preview_metadata": True, "max_upload_size": MAX_BODY_BYTES}
PAGE = """<!doctype html><title>Rehearsal server</title>
<h1>Rehearsal server</h1><p>A stand-in for ComfyUI: it speaks its protocol and draws placeholders.
There is no model and no GPU here. See <a href="system_stats">/system_stats</a>."""


class ServerRoutes:
    """Endpoints of one worker's configuration and simulated GPU."""

    def __init__(self, worker: PromptWorker) -> None:
        self._worker = worker
        config = worker.config
        self._models = {
            "checkpoints": config.checkpoints,
            "loras": config.loras,
            "vae": config.vaes,
            "embeddings": (),
        }

    def routes(self) -> Sequence[BaseRoute]:
        """Every path with its method."""
        return (
            Route("/", self.page, methods=["GET"]),
            Route("/system_stats", self.system_stats, methods=["GET"]),
            Route("/features", self.features, methods=["GET"]),
            Route("/object_info", self.all_nodes, methods=["GET"]),
            Route("/object_info/{name}", self.one_node, methods=["GET"]),
            Route("/models", self.model_folders, methods=["GET"]),
            Route("/models/{folder}", self.models, methods=["GET"]),
            Route("/embeddings", self.nothing, methods=["GET"]),
            Route("/extensions", self.nothing, methods=["GET"]),
        )

    async def page(self, _request: Request) -> Response:
        """A page that explains the server, where ComfyUI has its editor."""
        return HTMLResponse(PAGE)

    async def system_stats(self, _request: Request) -> Response:
        """Memory of the machine and of the simulated GPU; `rehearsal` marks the server."""
        memory = psutil.virtual_memory()
        system = {
            "os": os.name,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "comfyui_version": COMFYUI_VERSION,
            "python_version": platform.python_version(),
            "pytorch_version": "none (rehearsal)",
            "embedded_python": False,
            "argv": ["anime", "rehearsal"],
            "rehearsal": True,
        }
        return json_reply({"system": system, "devices": [self._worker.state.gpu.describe()]})

    async def features(self, _request: Request) -> Response:
        """The features of the server, which are also sent by WebSocket."""
        return json_reply(FEATURES)

    async def all_nodes(self, _request: Request) -> Response:
        """Every node class."""
        types = node_catalogue(self._worker.config, self._input_files())
        return json_reply({name: node_type.describe() for name, node_type in types.items()})

    async def one_node(self, request: Request) -> Response:
        """One node class; an empty object if it is unknown."""
        name = request.path_params["name"]
        types = node_catalogue(self._worker.config, self._input_files())
        return json_reply({name: types[name].describe()} if name in types else {})

    async def model_folders(self, _request: Request) -> Response:
        """The kinds of models."""
        return json_reply(list(self._models))

    async def models(self, request: Request) -> Response:
        """The models of one kind."""
        folder = request.path_params["folder"]
        return json_reply(self._models[folder]) if folder in self._models else empty_reply(404)

    async def nothing(self, _request: Request) -> Response:
        """An empty list."""
        return json_reply([])

    def _input_files(self) -> list[str]:
        folder = self._worker.config.folders["input"]
        return sorted(entry.name for entry in folder.iterdir() if entry.is_file())
