"""The texts in EXIF, XMP, comments and tags, by the names that the readers know them by.

All of it may be foreign, forged or damaged: reading never raises, and is bounded.
Sources: Exif 2.32 and the tags XP… of Windows; XMP part 1 (2012); ComfyUI 0.33 and VideoHelperSuite
1.7, which keep JSON in tags of any name; piexif 1.1.3, ImageSharp 3.1 and stable-diffusion.cpp of
August 2026, the writers of comments.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from xml.etree import ElementTree as ET

from anime.core.foreign_json import read_json
from anime.core.png_metadata import KEY, MAX_TEXT_BYTES

USER_COMMENT = 0x9286  # EXIF tag, in the Exif directory
_DESCRIPTION = 0x010E
_COMMENT_TAGS = {
    _DESCRIPTION: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
}
_DEVICE_TAGS = frozenset({0x010F, 0x0110})
_TEXTS_OF_JSON = ("prompt", "workflow", "parameters", KEY)
_MAX_TEXTS = 64
_MAX_XMP_BYTES = 1024 * 1024
_MAX_XMP_PARTS = 2_000
_MAX_NAME_CHARS = 79


def exif_texts(exif: Mapping[int, object]) -> dict[str, str]:
    """The texts of a picture's EXIF by name.

    ComfyUI and its savers write `name:{…}` into a tag of any kind; the user comment has the
    `parameters` of AUTOMATIC1111 and of tools after its fashion, or JSON with several texts.

    >>> exif_texts({0x0110: 'prompt:{"1": {}}', 0x0112: 1})
    {'prompt': '{"1": {}}'}
    """
    texts: dict[str, str] = {}
    for tag, value in exif.items():
        found = comment_texts(value) if tag == USER_COMMENT else dict(_named(tag, value))
        for name, text in found.items():
            if len(texts) < _MAX_TEXTS:
                texts.setdefault(name, text)
    return texts


def comment_texts(value: object) -> dict[str, str]:
    r"""The texts of a comment: those of a JSON object singly, anything else as `parameters`.

    >>> comment_texts(b"ASCII\0\0\0a cat")
    {'parameters': 'a cat'}
    """
    text = _decoded_comment(value).removeprefix("parameters\0")  # of stable-diffusion.cpp
    text = text.removeprefix("parameters: ")  # of converters that name a PNG's text
    together = _labelled(text, is_free=True) or texts_in_json(text)
    return together or ({"parameters": text} if text else {})


def tag_texts(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a film or sound by name in lower case, as some containers shout them.

    Some nodes save all texts as one JSON object in the tag `comment`: those come out singly.

    >>> tag_texts({"PROMPT": "{}", "comment": '{"workflow": {"nodes": []}}'})["workflow"]
    '{"nodes": []}'
    """
    texts: dict[str, str] = {}
    for name, text in tags.items():
        if len(texts) < _MAX_TEXTS and len(text) <= MAX_TEXT_BYTES:
            texts.setdefault(name.lower(), text)
    for name in ("comment", "description", "synopsis"):
        for key, text in texts_in_json(texts.get(name, "")).items():
            texts.setdefault(key, text)
    return texts


def xmp_texts(packet: object) -> dict[str, str]:
    """The texts of an XMP packet by the local names of their elements and attributes."""
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if not isinstance(packet, bytes) or len(packet) > _MAX_XMP_BYTES:
        return {}
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:  # XMP has neither, and they can explode
        return {}
    begin, end = packet.find(b"<"), packet.rfind(b">") + 1
    try:
        tree = ET.fromstring(packet[begin:end])  # noqa: S314  no entities: see above
    except (ET.ParseError, ValueError, LookupError):  # LookupError: an unknown encoding
        return {}
    texts: dict[str, str] = {}
    for name, text in islice(_parts(tree), _MAX_XMP_PARTS):
        if len(texts) < _MAX_TEXTS:
            texts.setdefault(name[:_MAX_NAME_CHARS], text)
    return texts


def _parts(tree: ET.Element) -> Iterator[tuple[str, str]]:
    """Name and text of each property; of a list of alternatives, under its property's name."""
    waiting = [("", tree)]
    while waiting:
        above, element = waiting.pop()
        name = element.tag.rpartition("}")[2]
        shown = above if name in {"li", "Alt", "Seq", "Bag"} else name
        for key, value in element.attrib.items():
            if "}" in key and value:
                yield key.rpartition("}")[2], value
        if element.text and element.text.strip():
            yield shown, element.text.strip()
        waiting += [(shown, child) for child in reversed(element)]


def may_tell(texts: Mapping[str, str]) -> bool:
    """Whether any text looks like a graph or settings, so that one need not search further."""
    return any(
        text.lstrip("\ufeff ").startswith(("{", "[", '"')) or "Steps: " in text
        for text in texts.values()
    )


def texts_in_json(text: str) -> dict[str, str]:
    """The texts of ours and ComfyUI's that a JSON object holds by name, whatever their case."""
    value = read_json(text) if text.lstrip().startswith("{") else None
    if not isinstance(value, dict):
        return {}
    parts = {str(name).lower(): part for name, part in value.items() if part is not None}
    prompt = parts.get("prompt")
    if isinstance(prompt, str) and not isinstance(read_json(prompt), dict):
        return {}  # another tool's settings, of which the prompt is but one
    return {
        name: part if isinstance(part, str) else json.dumps(part)
        for name, part in parts.items()
        if name in _TEXTS_OF_JSON
    }


def _named(tag: int, value: object) -> Iterator[tuple[str, str]]:
    """The text of a tag: in the form that ComfyUI gives it, else by the name of the tag."""
    if tag in _COMMENT_TAGS and isinstance(value, bytes | tuple):  # Windows keeps UTF-16
        raw = bytes(value) if isinstance(value, bytes) or _is_octets(value) else b""
        value = raw.decode("utf-16-le", "replace")
    if not isinstance(value, str) or len(value) > MAX_TEXT_BYTES:
        return
    text = _in_utf_8(value).strip("\x00 ")
    if labelled := _labelled(text, is_free=tag in _COMMENT_TAGS and tag not in _DEVICE_TAGS):
        yield from labelled.items()
    elif tag in _COMMENT_TAGS and (together := texts_in_json(text)):
        yield from together.items()
    elif tag in _COMMENT_TAGS and text:
        yield _COMMENT_TAGS[tag], text


def _labelled(text: str, *, is_free: bool) -> dict[str, str]:
    """The JSON that stands behind its name, by that name in lower case.

    Where texts are free, such as in comments, it could as well be a prompt with brackets.
    """
    name, colon, rest = text.partition(":")
    is_label = colon and name.strip().isidentifier() and rest.lstrip().startswith(("{", "["))
    if is_label and (not is_free or read_json(rest) is not None):
        return {name.strip().lower(): rest.strip()}
    return {}


def _in_utf_8(text: str) -> str:
    """The text, of which Pillow took each byte for a character, in UTF-8 if it is that."""
    with suppress(UnicodeError):
        return text if text.isascii() else text.encode("latin-1").decode("utf-8")
    return text


def _is_octets(value: tuple[object, ...]) -> bool:
    return all(isinstance(part, int) and 0 <= part < 256 for part in value)


def _decoded_comment(value: object) -> str:
    """A user comment: eight bytes name its encoding, and UTF-16 comes in either order of bytes."""
    if isinstance(value, str):
        value = _in_utf_8(value).encode("utf-8", "replace")
    if not isinstance(value, bytes) or len(value) > MAX_TEXT_BYTES:
        return ""
    encoding, body = value[:8].rstrip(b"\x00").upper(), value[8:]
    if encoding == b"UNICODE" or (encoding in {b"ASCII", b""} and 0 in body[:2]):
        text = _decoded_utf_16(body)
    elif encoding in {b"ASCII", b""}:
        text = body.decode("utf-8", "replace")
    elif encoding == b"JIS":
        text = body.decode("iso2022_jp" if body.isascii() else "shift_jis", "replace")  # piexif's
    else:
        text = value.decode("utf-8", "replace")
    return text.strip("\x00\ufeff ")


def _decoded_utf_16(body: bytes) -> str:
    """The text, though its order of bytes is not said; some write UTF-8 under that name."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", "replace")
    if 0 not in body.rstrip(b"\0"):
        with suppress(UnicodeDecodeError):
            return body.decode("utf-8")
    is_little = body[1::2].count(0) > body[::2].count(0)
    return body.decode("utf-16-le" if is_little else "utf-16-be", "replace")
