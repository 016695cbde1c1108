"""What a server says of all its node classes: from a file, or from the server itself."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from anime.comfyui.client import ComfyUIClient
from anime.core.conversion.definitions import NodeDefinitions
from anime.errors import ConfigurationError

MAX_BYTES = 256 * 1024 * 1024  # unpacked; with hundreds of extensions it is some twenty
_GZIP = b"\x1f\x8b"
_TODO = "Save the answer of a ComfyUI to GET /object_info, and give that file; it may be gzipped."


async def load_object_info(source: str, *, timeout_seconds: float) -> NodeDefinitions:
    """The node classes in a file, or of the server at a URL.

    Raises:
        ConfigurationError: the file cannot be read.
        ComfyUIUnreachable, ComfyUIError: the server does not answer, or is no ComfyUI.
        InvalidWorkflow: what is there describes no node classes.
    """
    if source.startswith(("http://", "https://")):
        async with ComfyUIClient(source, timeout_seconds=timeout_seconds) as client:
            return NodeDefinitions(await client.all_object_info())
    return NodeDefinitions(_read(Path(source)))


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
