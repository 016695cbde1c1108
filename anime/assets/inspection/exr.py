"""The texts in the header of an EXR, which FFmpeg does not give.

All of it may be forged: no number is believed beyond the bytes that are there.
Sources: "OpenEXR File Layout" (2013); ComfyUI 0.33.0, which keeps the graph there.
"""

from typing import BinaryIO

from anime.assets.metadata.embedded_texts import tag_texts
from anime.core.png_metadata import MAX_TEXT_BYTES

_MAX_HEADER_BYTES = 2 * MAX_TEXT_BYTES  # a graph and the editor's workflow
_MAX_ATTRIBUTES = 256
_BEGIN = 8  # after the magic number and the version


def exr_texts(stream: BinaryIO) -> dict[str, str]:
    """The text attributes of an EXR, of several parts the first one's; none that are cut short."""
    stream.seek(0)
    header = stream.read(_MAX_HEADER_BYTES)
    texts: dict[str, str] = {}
    at = _BEGIN
    for _ in range(_MAX_ATTRIBUTES):
        name_end = header.find(b"\0", at)
        kind_end = header.find(b"\0", name_end + 1)
        body = kind_end + 5
        size = int.from_bytes(header[kind_end + 1 : body], "little")
        if name_end in {at, -1} or kind_end == -1 or body + size > len(header):
            break
        if header[name_end + 1 : kind_end] == b"string":
            name = header[at:name_end].decode("utf-8", "replace")
            texts.setdefault(name, header[body : body + size].decode("utf-8", "replace"))
        at = body + size
    return tag_texts(texts)
