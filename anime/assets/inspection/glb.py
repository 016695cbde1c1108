"""3D models in one file: whether they are whole, and what they say.

Source: glTF 2.0, "GLB file format"; ComfyUI 0.33.0 (`save_glb`), which puts its texts into the
extras of the asset.
"""

import json
import struct
from typing import BinaryIO

from anime.assets.inspection.facts import MediaFacts
from anime.assets.inspection.limits import unusable
from anime.core.foreign_json import MAX_JSON_CHARS, read_json
from anime.core.paths import FileKind
from anime.errors import UnusableReason

_HEADER = struct.Struct("<4sII")
_CHUNK = struct.Struct("<I4s")


def read_glb(stream: BinaryIO, name: str, *, size: int) -> MediaFacts:
    """The facts of a GLB of `size` bytes; it lies with the pictures.

    Raises:
        UnusableFile: it is cut short, damaged or none at all; `name` is in the message.
    """
    head = stream.read(_HEADER.size + _CHUNK.size)
    if len(head) < _HEADER.size + _CHUNK.size:
        raise unusable(UnusableReason.NOT_MEDIA, f"{name} is no GLB, though it begins like one.")
    _, version, promised = _HEADER.unpack_from(head)
    length, kind = _CHUNK.unpack_from(head, _HEADER.size)
    if version not in {1, 2} or (version == 2 and kind != b"JSON"):
        raise unusable(UnusableReason.UNDECODABLE, f"{name} is a GLB without a scene.")
    if promised > size:
        raise unusable(
            UnusableReason.TRUNCATED, f"{name} has {size:,} bytes and should have {promised:,}."
        )
    scene = stream.read(length) if version == 2 and length <= MAX_JSON_CHARS else b""
    return MediaFacts(media_type="model/gltf-binary", kind=FileKind.IMAGES, texts=_texts(scene))


def _texts(scene: bytes) -> dict[str, str]:
    """The texts in the extras of the asset or of the whole scene."""
    found = read_json(scene.decode("utf-8", "replace"))
    texts: dict[str, str] = {}
    asset = found.get("asset") if isinstance(found, dict) else None
    for holder in (asset, found):
        extras = holder.get("extras") if isinstance(holder, dict) else None
        for name, value in extras.items() if isinstance(extras, dict) else ():
            if isinstance(value, str | dict | list):
                texts.setdefault(name, value if isinstance(value, str) else json.dumps(value))
    return texts
