"""What a picture itself says of its origin: written through ComfyUI, read from anybody.

PNG texts and EXIF strings come from files that may be foreign, forged or damaged: reading
never raises, and is bounded.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from anime.core.ids import MAX_SEED
from anime.schemas import MAX_NAME_CHARS, MAX_PROMPT_CHARS, Storable

KEY = "anime"  # the PNG keyword, and the prefix of the EXIF string
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COMPRESSION = b"\x00\x00"  # of an iTXt: whether, and which
_FRAME_BYTES = 12  # of a chunk: length, type, checksum
_MAX_STAMP_CHARS = 512 * 1024  # two prompts of the longest, each character escaped
MAX_TEXT_BYTES = 4 * 1024 * 1024  # of one chunk; a graph of a thousand nodes is half a MB
_MAX_TEXTS = 64
_MAX_TEXTS_CHARS = 2 * MAX_TEXT_BYTES  # of one file
_MAX_KEYWORD_CHARS = 79
_GRAPH = b"prompt\0"  # how a text begins that is a graph in API format

_Short = Annotated[str, Field(max_length=MAX_NAME_CHARS), Storable]
_Long = Annotated[str, Field(max_length=MAX_PROMPT_CHARS), Storable]


class FileStamp(BaseModel):
    """Origin of one picture. The seed is decimal text: readers in other languages round it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: UUID
    prompt: _Long
    seed: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    workflow: _Short
    workflow_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    attempt: Annotated[int, Field(ge=1)] = 1
    project: _Short | None = None
    character: _Short | None = None
    characters: Annotated[tuple[_Short, ...], Field(max_length=64)] = ()  # that one among them
    shot: _Short | None = None
    negative_prompt: _Long | None = None
    trace_id: Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}$")] = None
    created_by: _Short = "anime-production"


def to_pnginfo(stamp: FileStamp) -> dict[str, JsonValue]:
    """The value for `extra_pnginfo`: ComfyUI writes each key as a text of its own."""
    return {KEY: stamp.model_dump(mode="json")}


def read_stamp(texts: Mapping[str, str]) -> FileStamp | None:
    """The stamp among a picture's texts; None when there is none that holds up."""
    text = texts.get(KEY, "")
    if not text or len(text) > _MAX_STAMP_CHARS:
        return None
    try:
        stamp = FileStamp.model_validate(json.loads(text))
    except (ValueError, RecursionError):  # ValidationError and JSONDecodeError are ValueErrors
        return None
    return stamp if int(stamp.seed) <= MAX_SEED else None


def has_other_graph(png: bytes) -> bool:
    """Whether a PNG has two texts `prompt` which differ; `PngTexts` finds the first."""
    texts = (
        _DECODERS[kind](bytes(body[: MAX_TEXT_BYTES + 1]))
        for kind, body in png_chunks(png)
        if kind in _DECODERS and body[: len(_GRAPH)] == _GRAPH
    )
    first = next(texts, None)
    return any(text != first for text in islice(texts, _MAX_TEXTS))


class PngTexts:
    """The texts of a PNG as its chunks come: the first of each keyword, and only so many.

    Source: PNG specification, chunks tEXt and zTXt (Latin-1, though some write UTF-8) and iTXt
    (UTF-8); ComfyUI's own chunk comf of animations is like tEXt.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._chars_left = _MAX_TEXTS_CHARS

    def add(self, kind: bytes, body: bytes) -> None:
        """Take the text of a chunk; other chunks, and texts that are too long, are left out."""
        keyword = body[: _MAX_KEYWORD_CHARS + 1].partition(b"\x00")[0].decode("latin-1")
        if kind not in _DECODERS or len(self.found) >= _MAX_TEXTS or keyword in self.found:
            return
        pair = _DECODERS[kind](body) if len(body) <= MAX_TEXT_BYTES else None
        if pair is not None and len(pair[1]) <= self._chars_left:
            self.found[pair[0]] = pair[1]
            self._chars_left -= len(pair[1])


def png_chunks(png: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Type and body of each whole chunk; the beginning of a file is enough."""
    if not png.startswith(PNG_SIGNATURE):
        return
    view, at = memoryview(png), len(PNG_SIGNATURE)
    while at + _FRAME_BYTES <= len(view):
        length = int.from_bytes(view[at : at + 4], "big")
        kind, body = bytes(view[at + 4 : at + 8]), view[at + 8 : at + 8 + length]
        at += _FRAME_BYTES + length
        if kind == b"IEND" or at > len(view):
            return
        yield kind, body


def _plain_text(body: bytes) -> tuple[str, str] | None:
    keyword, separator, text = body.partition(b"\x00")
    return (keyword.decode("latin-1"), _decoded(text)) if separator else None


def _decoded(text: bytes) -> str:
    """The text in UTF-8, as many programs write it, else in Latin-1, as the specification says."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _packed_text(body: bytes) -> tuple[str, str] | None:
    keyword, separator, rest = body.partition(b"\x00")
    return (keyword.decode("latin-1"), _decoded(_inflated(rest[1:]))) if separator else None


def _international_text(body: bytes) -> tuple[str, str] | None:
    keyword, _, rest = body.partition(b"\x00")
    if len(rest) < len(_COMPRESSION):
        return None
    _language, _, translated = rest[len(_COMPRESSION) :].partition(b"\x00")
    _translation, separator, text = translated.partition(b"\x00")
    if rest[0]:
        text = _inflated(text)
    try:
        return (keyword.decode("latin-1"), text.decode("utf-8")) if separator else None
    except UnicodeDecodeError:
        return None


def _inflated(text: bytes) -> bytes:
    """The decompressed text; empty when it is broken or would be too large."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(text, MAX_TEXT_BYTES)
    except zlib.error:
        return b""
    return plain if inflater.eof else b""


_DECODERS = {
    b"tEXt": _plain_text,
    b"comf": _plain_text,
    b"zTXt": _packed_text,
    b"iTXt": _international_text,
}
