"""What a file is by its first bytes: names can say anything."""

HEAD_BYTES = 64
_QUICKTIME_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"})
_SOUND_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P "})


def media_type_by_content(head: bytes) -> str | None:
    """The media type of a file that begins with `head`; None for what is no media we know.

    Source: the signatures in the specifications of the formats.

    >>> media_type_by_content(b"GIF89a...")
    'image/gif'
    """
    for signature, media_type in _SIGNATURES.items():
        if head.startswith(signature):
            return media_type
    if head.startswith((b"RIFF", b"RF64")):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head.startswith(b"BM") and head[6:10] == bytes(4) and len(head) > 10:  # reserved bytes
        return "image/bmp"
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[4:8] in _QUICKTIME_ATOMS:
        return "video/quicktime"
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # EBML, which names the kind of document
        if b"webm" in head:
            return "video/webm"
        return "video/x-matroska" if b"matroska" in head else None
    return "audio/mpeg" if _is_mpeg_layer_3(head) else None


def _by_brand(head: bytes) -> str:
    """The type of a file of the MP4 family: the brands it claims decide."""
    length = int.from_bytes(head[:4], "big")
    claimed = head[8 : min(length, HEAD_BYTES)]
    brands = {claimed[at : at + 4] for at in range(0, len(claimed), 4)}
    if brands & {b"avif", b"avis"}:
        return "image/avif"
    if brands & _HEIF_BRANDS:
        return "image/heic"
    if claimed.startswith(b"qt  "):
        return "video/quicktime"
    return "audio/mp4" if claimed[:4] in _SOUND_BRANDS else "video/mp4"


def _is_mpeg_layer_3(head: bytes) -> bool:
    """Whether a frame of MP3 begins here: eleven set bits, layer III, a bit rate that exists."""
    return (
        len(head) >= 4
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[2] & 0xF0 != 0xF0
        and head[2] & 0x0C != 0x0C
    )


_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"\x76\x2f\x31\x01": "image/x-exr",
    b"glTF": "model/gltf-binary",
    b"OggS": "audio/ogg",
    b"fLaC": "audio/flac",
    b"ID3": "audio/mpeg",
}
