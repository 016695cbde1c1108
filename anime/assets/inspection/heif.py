"""EXIF and XMP of a HEIF picture, which FFmpeg does not give: found without decoding anything.

All of it may be forged: no number is believed beyond the bytes that are there.
Sources: ISO/IEC 14496-12:2022 (`meta`, `iinf`, `iloc`, `idat`) and 23008-12:2022 (the items `Exif`
and `mime`), as libheif 1.20 writes them.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from io import SEEK_CUR, BytesIO
from itertools import islice
from typing import BinaryIO

from PIL import ExifTags, Image

from anime.assets.metadata.embedded_texts import exif_texts, xmp_texts
from anime.core.png_metadata import MAX_TEXT_BYTES

_MAX_BOXES = 64  # at the top of a file, before `meta` comes
_MAX_ITEMS = 1_000  # tiles, most of them
_MAX_TEXTS = 4
_MAX_PIECES = 8  # of one text
_HEAD = struct.Struct(">I4s")
_XMP = b"application/rdf+xml"


def heif_texts(stream: BinaryIO) -> dict[str, str]:
    """The texts in the EXIF and XMP of a HEIF picture; none of those that are broken."""
    texts: dict[str, str] = {}
    with suppress(Exception):  # struct, Pillow's reader of EXIF and others raise as they like
        boxes = dict(_boxes(_meta(stream)))
        kinds = dict(islice(_kinds(boxes[b"iinf"]), _MAX_TEXTS))
        for item, body in _bodies(boxes[b"iloc"], stream, boxes.get(b"idat", b""), set(kinds)):
            texts = {**_texts_of(kinds[item], body), **texts}
    return texts


def _texts_of(kind: bytes, body: bytes) -> dict[str, str]:
    if kind == _XMP:
        return xmp_texts(body)
    tags = Image.Exif()
    with suppress(Exception):  # as above; the other item may be whole
        tags.load(body[4 + int.from_bytes(body[:4], "big") :])  # how much lies before its header
        return exif_texts({**tags, **tags.get_ifd(ExifTags.IFD.Exif)})
    return {}


def _meta(stream: BinaryIO) -> bytes:
    """What is in the box `meta`, which says where all else is."""
    stream.seek(0)
    for _ in range(_MAX_BOXES):
        size, kind = _HEAD.unpack(stream.read(_HEAD.size))
        if size == 1:  # its real size comes behind
            size = int.from_bytes(stream.read(8), "big") - 8
        length = size - _HEAD.size
        if kind == b"meta":
            return stream.read(max(0, min(length, MAX_TEXT_BYTES)))[4:]
        stream.seek(max(0, length), SEEK_CUR)
    return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    begin = 0
    while begin + _HEAD.size <= len(content):
        size, kind = _HEAD.unpack_from(content, begin)
        yield kind, content[begin + _HEAD.size : begin + size]
        begin += max(size, _HEAD.size)


def _kinds(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    """The items that hold texts, by number."""
    for kind, body in _boxes(iinf[6 if iinf[0] == 0 else 8 :]):
        wide = 4 if body[0] == 3 else 2  # bytes of a number
        number, item_type = int.from_bytes(body[4 : 4 + wide], "big"), body[6 + wide : 10 + wide]
        named = body[10 + wide :].split(b"\0")
        if kind == b"infe" and item_type == b"Exif":
            yield number, item_type
        elif kind == b"infe" and item_type == b"mime" and named[1] == _XMP:
            yield number, _XMP


def _bodies(
    iloc: bytes, stream: BinaryIO, idat: bytes, wanted: set[int]
) -> Iterator[tuple[int, bytes]]:
    """The items that are wanted, put together of their pieces."""
    version, places = iloc[0], BytesIO(iloc[4:])

    def number(size: int) -> int:
        return int.from_bytes(places.read(size), "big")

    sizes = number(2)
    of_offset, of_length, of_base = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    of_index = sizes & 15 if version else 0
    wide = 4 if version == 2 else 2
    for _ in range(min(number(wide), _MAX_ITEMS)):
        item, method = number(wide), number(2) & 15 if version else 0
        number(2)  # whether it lies in another file; then what is read here says nothing
        base, pieces, body = number(of_base), number(2), b""
        if item not in wanted or pieces > _MAX_PIECES:
            places.seek(pieces * (of_index + of_offset + of_length), SEEK_CUR)
            continue
        wanted.discard(item)
        source = BytesIO(idat) if method else stream
        for _ in range(pieces):
            number(of_index)
            source.seek(base + number(of_offset))
            body += source.read(min(number(of_length), MAX_TEXT_BYTES))
        yield item, body
