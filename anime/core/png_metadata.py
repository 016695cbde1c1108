"""What a picture itself says of its origin: written through ComfyUI, read from anybody.

PNG texts and EXIF strings come from files that may be foreign, forged or damaged: reading
never raises, and is bounded.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from anime.core.seeds import MAX_SEED
from anime.schemas import MAX_NAME_CHARS, MAX_PROMPT_CHARS, Storable

KEY = "anime"  # the PNG keyword, and the prefix of the EXIF string
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COMPRESSION = b"\x00\x00"  # of an iTXt: whether, and which
_FRAME_BYTES = 12  # of a chunk: length, type, checksum
_MAX_STAMP_CHARS = 512 * 1024  # two prompts of the longest, each character escaped
_MAX_TEXT_BYTES = 4 * 1024 * 1024  # of one chunk; a graph of a thousand nodes is half a MB
_MAX_TEXTS = 64

_Short = Annotated[str, Field(max_length=MAX_NAME_CHARS), Storable]
_Long = Annotated[str, Field(max_length=MAX_PROMPT_CHARS), Storable]


class TakeStamp(BaseModel):
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
    shot: _Short | None = None
    negative_prompt: _Long | None = None
    created_by: _Short = "anime-production"


def to_pnginfo(stamp: TakeStamp) -> dict[str, JsonValue]:
    """The value for `extra_pnginfo`: ComfyUI writes each key as a text of its own."""
    return {KEY: stamp.model_dump(mode="json")}


def read_stamp(texts: Mapping[str, str]) -> TakeStamp | None:
    """The stamp among a picture's texts; None when there is none that holds up."""
    text = texts.get(KEY, "")
    if not text or len(text) > _MAX_STAMP_CHARS:
        return None
    try:
        stamp = TakeStamp.model_validate(json.loads(text))
    except (ValueError, RecursionError):  # ValidationError and JSONDecodeError are ValueErrors
        return None
    return stamp if int(stamp.seed) <= MAX_SEED else None


def png_texts(png: bytes) -> dict[str, str]:
    """The texts of a PNG by keyword, the first of each; the beginning of a file is enough.

    Source: PNG specification, chunks tEXt (Latin-1) and iTXt (UTF-8).
    """
    texts: dict[str, str] = {}
    for kind, body in _chunks(png):
        pair = _DECODERS[kind](body) if kind in _DECODERS else None
        if pair is not None and len(texts) < _MAX_TEXTS:
            texts.setdefault(*pair)
    return texts


def exif_texts(exif: Mapping[int, object]) -> dict[str, str]:
    """The texts ComfyUI puts into a WEBP's EXIF as `name:{…}`, by name.

    >>> exif_texts({0x0110: 'prompt:{"1": {}}', 0x0112: 1})
    {'prompt': '{"1": {}}'}
    """
    texts: dict[str, str] = {}
    for value in exif.values():
        if isinstance(value, str) and len(value) <= _MAX_TEXT_BYTES and len(texts) < _MAX_TEXTS:
            name, colon, text = value.partition(":")
            if colon and text.startswith(("{", "[")):
                texts.setdefault(name, text.rstrip("\x00"))
    return texts


def _chunks(png: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Type and body of each whole chunk."""
    if not png.startswith(_SIGNATURE):
        return
    view, at = memoryview(png), len(_SIGNATURE)
    while at + _FRAME_BYTES <= len(view):
        length = int.from_bytes(view[at : at + 4], "big")
        kind, body = bytes(view[at + 4 : at + 8]), view[at + 8 : at + 8 + length]
        at += _FRAME_BYTES + length
        if kind == b"IEND" or at > len(view):
            return
        yield kind, body


def _plain_text(body: memoryview) -> tuple[str, str] | None:
    if len(body) > _MAX_TEXT_BYTES:
        return None
    keyword, separator, text = bytes(body).partition(b"\x00")
    return (keyword.decode("latin-1"), text.decode("latin-1")) if separator else None


def _international_text(body: memoryview) -> tuple[str, str] | None:
    if len(body) > _MAX_TEXT_BYTES:
        return None
    keyword, _, rest = bytes(body).partition(b"\x00")
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
        plain = inflater.decompress(text, _MAX_TEXT_BYTES)
    except zlib.error:
        return b""
    return plain if inflater.eof else b""


_DECODERS = {b"tEXt": _plain_text, b"iTXt": _international_text}
