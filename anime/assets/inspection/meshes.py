"""3D models: whether they are what their names say, and what a GLB tells of its making.

Only of a GLB is it known whether it is whole; the others have no length that is written down.
Sources: glTF 2.0, "GLB file format"; ComfyUI 0.33.0 (`save_glb`, which puts its texts into the
extras of the asset, and the kinds of its `File3D`); PLY and STL as P. Bourke describes them;
Niantic's SPZ 2.0; antimatter15's splat viewer (records of 32 bytes).
"""

import json
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import BinaryIO

from anime.assets.inspection.facts import MediaFacts
from anime.assets.inspection.limits import unusable
from anime.assets.metadata.json_fields import fields_of
from anime.core.foreign_json import MAX_JSON_CHARS, read_json
from anime.core.paths import FileKind
from anime.errors import UnusableReason

_HEADER = struct.Struct("<4sII")
_CHUNK = struct.Struct("<I4s")
_HEAD_BYTES = 4096
_STL_HEAD, _STL_FACE = 84, 50  # bytes; the last four of the head count the faces
_SPLAT = 32
_OBJ_LINE = re.compile(rb"(?:#|(?:v|vn|vt|f|o|g|s|mtllib|usemtl)\s)")


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
    return _facts("model/gltf-binary", scene)


def read_mesh(stream: BinaryIO, name: str, *, size: int) -> MediaFacts | None:
    """The facts of another 3D model of `size` bytes; None for what is none of its name."""
    known = _KINDS.get(PurePath(name).suffix.lower())
    if known is None:
        return None
    media_type, is_one = known
    head = stream.read(_HEAD_BYTES)
    if not is_one(head, size):
        return None
    is_scene = media_type == "model/gltf+json" and size <= MAX_JSON_CHARS
    return _facts(media_type, head + stream.read(size) if is_scene else b"")


def _facts(media_type: str, scene: bytes) -> MediaFacts:
    return MediaFacts(media_type=media_type, kind=FileKind.IMAGES, texts=_texts(scene))


def _texts(scene: bytes) -> dict[str, str]:
    """The texts in the extras of the asset or of the whole scene."""
    found = fields_of(read_json(scene.decode("utf-8", "replace")))
    texts: dict[str, str] = {}
    for holder in (fields_of(found.get("asset")), found):
        for name, value in fields_of(holder.get("extras")).items():
            if isinstance(value, str | dict | list):
                texts.setdefault(name, value if isinstance(value, str) else json.dumps(value))
    return texts


def _is_stl(head: bytes, size: int) -> bool:
    faces = int.from_bytes(head[_STL_HEAD - 4 : _STL_HEAD], "little")
    return head.lstrip().startswith(b"solid") or size == _STL_HEAD + _STL_FACE * faces


def _is_spz(head: bytes, _size: int) -> bool:
    """Whether it is packed by gzip and begins as an SPZ does."""
    with suppress(zlib.error):
        return zlib.decompressobj(wbits=31).decompress(head, 4) == b"NGSP"
    return False


_KINDS: dict[str, tuple[str, Callable[[bytes, int], bool]]] = {
    ".gltf": ("model/gltf+json", lambda head, _: head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"{"),
    ".obj": (
        "model/obj",
        lambda head, _: _OBJ_LINE.match(head.lstrip(b"\xef\xbb\xbf \r\n\t")) is not None,
    ),
    ".stl": ("model/stl", _is_stl),
    ".ply": ("model/ply", lambda head, _: head.startswith((b"ply\n", b"ply\r"))),
    ".fbx": ("model/fbx", lambda head, _: head.startswith((b"Kaydara FBX Binary", b"; FBX"))),
    ".usdz": ("model/vnd.usdz+zip", lambda head, _: head.startswith(b"PK\x03\x04")),
    ".splat": ("model/splat", lambda _, size: size % _SPLAT == 0),
    ".spz": ("model/spz", _is_spz),
}
