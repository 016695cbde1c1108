"""Whether a file is as long as its container says, for those that say so at the beginning.

FFmpeg and Pillow call a file cut short by many names, or nothing at all; this is what tells one
that is still being written from one that is damaged.
"""

from typing import BinaryIO

from anime.assets.inspection.limits import unusable
from anime.errors import UnusableReason

_MAX_BOXES = 100_000
_UNKNOWN_RIFF_SIZES = frozenset({0, 2**32 - 1})  # of recordings that could not be rewound
_EBML_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067


def refuse_cut_short(stream: BinaryIO, size: int, name: str, media_type: str) -> None:
    """Make sure that a file of `size` bytes has all its container promises; rewinds the stream.

    Raises:
        UnusableFile: it ends before.
    """
    promised = _PROMISES.get(media_type)
    if promised is None:
        return
    end = promised(stream, size)
    stream.seek(0)
    if end > size:
        raise unusable(
            UnusableReason.TRUNCATED, f"{name} has {size:,} bytes and should have {end:,} or more."
        )


def _end_of_riff(stream: BinaryIO, size: int) -> int:
    """Source: RIFF, as WEBP and WAV use it."""
    declared = int.from_bytes(stream.read(8)[4:], "little")
    return size if declared in _UNKNOWN_RIFF_SIZES else declared + 8


def _end_of_boxes(stream: BinaryIO, size: int) -> int:
    """Source: ISO/IEC 14496-12, as MP4, MOV, M4A and AVIF use it."""
    at = 0
    for _ in range(_MAX_BOXES):
        stream.seek(at)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if len(head) < 8 or length < 8:  # 0: the last box, to the end of the file
            return at + 8 if 0 < len(head) < 8 else size
        at += length
        if at >= size:
            return at
    return size


def _end_of_segment(stream: BinaryIO, size: int) -> int:
    """Source: RFC 8794 and RFC 9559, as Matroska and WEBM use them."""
    at = 0
    for expected in (_EBML_HEADER, _SEGMENT):
        stream.seek(at)
        head = stream.read(12)
        length, width = _vint(head[4:])
        if int.from_bytes(head[:4], "big") != expected or length is None:
            return size
        at += 4 + width + length
    return at


def _vint(head: bytes) -> tuple[int | None, int]:
    """A number of variable width, and the width in bytes; None when it is left open."""
    if not head or not head[0]:
        return None, 0
    width = 9 - head[0].bit_length()
    bits = 7 * width
    number = int.from_bytes(head[:width], "big") & ((1 << bits) - 1)
    return (None if number == (1 << bits) - 1 else number), width


_PROMISES = {
    "image/webp": _end_of_riff,
    "audio/wav": _end_of_riff,
    "image/avif": _end_of_boxes,
    "video/mp4": _end_of_boxes,
    "audio/mp4": _end_of_boxes,
    "video/quicktime": _end_of_boxes,
    "video/webm": _end_of_segment,
    "video/x-matroska": _end_of_segment,
}
