"""The routes about the server itself: statistics, node classes, models, features."""

import os
import platform
import sys
from collections.abc import Sequence

import psutil
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from anime.rehearsal.config import Profile
from anime.rehearsal.middleware import MAX_BODY_BYTES
from anime.rehearsal.node_replacements import BY_CLASS
from anime.rehearsal.node_types import JsonObject
from anime.rehearsal.nodes import MODEL_FOLDERS, node_catalogue
from anime.rehearsal.prompt_worker import PromptWorker
from anime.rehearsal.replies import Endpoint, empty_reply, json_reply

FEATURES: dict[Profile, JsonObject] = {
    Profile.V0_3_64: {"supports_preview_metadata": True, "max_upload_size": MAX_BODY_BYTES},
    Profile.V0_33: {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": MAX_BODY_BYTES,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    },
}
PACKAGES = (  # what ComfyUI 0.33 requires beside itself: name and version
    ("comfyui-frontend-package", "1.49.6"),
    ("comfyui-workflow-templates", "0.11.44"),
    ("comfyui-embedded-docs", "0.5.10"),
    ("comfy-kitchen", "0.2.31"),
    ("comfy-aimdo", "0.4.13"),
)
PACKAGES_OF_0_3_64 = {
    "required_frontend_version": "1.27.10",
    "installed_templates_version": "0.1.95",
    "required_templates_version": "0.1.95",
}
FOLDERS = (  # of models, in the order of ComfyUI 0.33
    *("checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models"),
    *("clip_vision", "style_models", "embeddings", "diffusers", "vae_approx", "controlnet"),
    *("gligen", "upscale_models", "latent_upscale_models", "custom_nodes", "datasets"),
    *("hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders"),
    *("background_removal", "frame_interpolation", "geometry_estimation", "optical_flow"),
    "detection",
)
FOLDERS_SINCE_0_33 = frozenset(
    {
        *("latent_upscale_models", "datasets", "background_removal", "frame_interpolation"),
        *("geometry_estimation", "optical_flow", "detection"),
    }
)
ASSETS_ARE_OFF = {
    "error": {
        "code": "SERVICE_DISABLED",
        "message": "Assets system is disabled. "
        "Start the server with --enable-assets to use this feature.",
        "details": {},
    }
}
# What only ComfyUI's editor asks for: the answer and its status, by path.
FOR_THE_EDITOR: dict[str, tuple[object, int]] = {
    "/users": ({"storage": "server", "migrated": False}, 200),
    "/settings": ({}, 200),
    "/v2/userdata": ([], 200),
}
FOR_THE_EDITOR_SINCE_0_33: dict[str, tuple[object, int]] = {
    "/global_subgraphs": ({}, 200),
    "/assets": (ASSETS_ARE_OFF, 503),
    "/tags": (ASSETS_ARE_OFF, 503),
}
PAGE = """<!doctype html><title>Rehearsal server</title>
<h1>Rehearsal server</h1><p>A stand-in for ComfyUI: it speaks its protocol and draws placeholders.
There is no model and no GPU here. See <a href="system_stats">/system_stats</a>."""


class ServerRoutes:
    """Endpoints of one worker's configuration and simulated GPU."""

    def __init__(self, worker: PromptWorker) -> None:
        self._worker = worker
        config = worker.config
        self._profile = config.profile
        is_old = config.profile is Profile.V0_3_64
        used = {"checkpoints", "loras", "vae"} if is_old else {*MODEL_FOLDERS.values()}
        self._models = {
            folder: config.model_names(folder) if folder in used else ()
            for folder in FOLDERS
            if not (is_old and folder in FOLDERS_SINCE_0_33)
        }

    def routes(self) -> Sequence[BaseRoute]:
        """Every path with its method."""
        is_old = self._profile is Profile.V0_3_64
        replacements = Route("/node_replacements", self.node_replacements, methods=["GET"])
        for_the_editor = FOR_THE_EDITOR | ({} if is_old else FOR_THE_EDITOR_SINCE_0_33)
        return (
            *([] if is_old else [replacements]),
            *(Route(path, _constant(*answer)) for path, answer in for_the_editor.items()),
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
        is_old = self._profile is Profile.V0_3_64
        system = {
            "os": os.name if is_old else sys.platform,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "comfyui_version": self._profile.version,
            **(PACKAGES_OF_0_3_64 if is_old else _package_versions()),
            "python_version": platform.python_version(),
            "pytorch_version": "none (rehearsal)",
            "embedded_python": False,
            "argv": ["anime", "rehearsal"],
            "rehearsal": True,
            **({} if is_old else {"deploy_environment": "local-git"}),
        }
        return json_reply({"system": system, "devices": [self._worker.state.gpu.describe()]})

    async def features(self, _request: Request) -> Response:
        """The features of the server, which are also sent by WebSocket."""
        return json_reply(FEATURES[self._profile])

    async def node_replacements(self, _request: Request) -> Response:
        """The rules by which renamed classes are replaced, by the old name."""
        return json_reply({name: [rule] for name, rule in BY_CLASS.items()})

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


def _constant(content: object, status: int) -> Endpoint:
    async def answer(_request: Request) -> Response:
        return json_reply(content, status)

    return answer


def _package_versions() -> JsonObject:
    """What /system_stats says of the packages beside ComfyUI; here all of them are installed."""
    versions = dict(PACKAGES)
    return {
        "required_frontend_version": versions["comfyui-frontend-package"],
        "installed_templates_version": versions["comfyui-workflow-templates"],
        "required_templates_version": versions["comfyui-workflow-templates"],
        "comfy_package_versions": [
            {"name": name, "installed": version, "required": version} for name, version in PACKAGES
        ],
    }
