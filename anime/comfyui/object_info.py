"""What a server says of all its node classes: from a file, or from the server itself."""

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import NodeInfo
from anime.comfyui.protocol import Reply, decode_object_info
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.graph_validation import GraphProblem, check_graph
from anime.core.graphs import Graph
from anime.errors import ConfigurationError

MAX_BYTES = 256 * 1024 * 1024  # unpacked; with hundreds of extensions it is some twenty
_GZIP = b"\x1f\x8b"
_TODO = "Save the answer of a ComfyUI to GET /object_info, and give that file; it may be gzipped."


class ServerClasses:
    """The node classes of a server, to convert workflows for it and to check graphs."""

    def __init__(self, object_info: Mapping[str, Any]) -> None:
        self.definitions = NodeDefinitions(object_info)
        self._object_info = object_info
        self._infos: dict[str, NodeInfo | None] = {}

    def problems_of(self, graph: Graph) -> tuple[GraphProblem, ...]:
        """What the server would refuse in a graph, as far as its classes tell."""
        names = {node["class_type"] for node in graph.values()} & self._object_info.keys()
        infos = {name: info for name in sorted(names) if (info := self._info_of(name))}
        return check_graph(graph, infos)

    def _info_of(self, name: str) -> NodeInfo | None:
        if name not in self._infos:
            answer = json.dumps({name: self._object_info[name]}).encode()
            reply = Reply(200, "application/json", answer)
            self._infos[name] = decode_object_info(reply, name)
        return self._infos[name]


async def load_object_info(source: str, *, timeout_seconds: float) -> ServerClasses:
    """The node classes in a file, or of the server at a URL.

    Raises:
        ConfigurationError: the file cannot be read.
        ComfyUIUnreachable, ComfyUIError: the server does not answer, or is no ComfyUI.
        InvalidWorkflow: what is there describes no node classes.
    """
    if source.startswith(("http://", "https://")):
        async with ComfyUIClient(source, timeout_seconds=timeout_seconds) as client:
            return ServerClasses(await client.all_object_info())
    return ServerClasses(_read(Path(source)))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            is_packed = stream.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if is_packed else path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigurationError(f"{path} is larger than {MAX_BYTES // 2**20} MB.", _TODO)
        value = json.loads(content)
    except (OSError, EOFError, zlib.error) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise ConfigurationError(f"{path} cannot be read: {reason}.", _TODO) from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path} is no JSON.", _TODO) from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} describes no node classes.", _TODO)
    return value
