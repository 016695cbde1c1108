"""One look into a file: hash and facts come from the same bytes. It blocks: call it in a thread."""

import hashlib
import os
import re
import stat
from dataclasses import dataclass, fields, replace
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from pydantic import JsonValue

from anime.assets.inspection.container_length import refuse_cut_short
from anime.assets.inspection.facts import Inspection, MediaFacts
from anime.assets.inspection.limits import unusable
from anime.assets.inspection.meshes import read_glb, read_mesh
from anime.assets.inspection.png import read_png
from anime.assets.limited_process import LimitedFunction, ask_kept, call_kept, call_limited
from anime.assets.metadata.json_fields import fields_of, objects_in
from anime.assets.metadata.recipe import Recipe
from anime.core.foreign_json import read_json
from anime.core.media_types import HEAD_BYTES, media_type_by_content
from anime.errors import StorageError, UnusableFile, UnusableReason

_IN_MEMORY_BYTES = 16 * 1024 * 1024  # larger files are hashed in passing, and not held
_BLOCK_BYTES = 1024 * 1024
_STILLS_FOR_FFMPEG = frozenset({"image/heic", "image/x-exr"})  # Pillow does not read them
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe without a writer would block
_COMBINERS = frozenset({"VHS_VideoCombine", "ADE_AnimateDiffCombine"})
_COMBINED = re.compile(r"(?P<stem>.+_\d{5})(-audio)?(\.\d+)?\.\w+")
_FACTS = tuple(field.name for field in fields(MediaFacts))


def inspect_file(path: Path | str, *, name: str | None = None) -> Inspection:
    """What the file is: its content decides, not its name.

    Args:
        path: The file; a link is followed.
        name: What messages call it, where its path is not what people know it by.

    Raises:
        UnusableFile: it is empty, cut short, damaged, too large, or no media; `reason` says which.
        StorageError: it cannot be read, or changes while it is.
    """
    shown = os.path.basename(path) if name is None else name  # noqa: PTH119  10,000 times
    try:
        with FileIO(os.open(path, _FLAGS)) as stream:
            return _examine(stream, shown)
    except (OSError, ValueError) as fault:  # ValueError: a path with a NUL byte
        raise StorageError(
            f"{shown} cannot be read: {getattr(fault, 'strerror', None) or fault}.",
            "Look at the disk it is on and at the rights of this user.",
        ) from fault


async def inspect_upload(path: Path, *, name: str) -> Inspection:
    """The same of what somebody has sent, looked at in a process with limits.

    Raises as `inspect_file`.
    """
    return await call_limited(_died(name), _INSPECT, path, name=name)


@dataclass(frozen=True, slots=True)
class Description:
    """What a file is, and the keys of a recipe: how it was made, as it says itself."""

    facts: Inspection
    made: dict[str, JsonValue]


def describe_file(path: Path, name: str) -> Description:
    """What `inspect_file` finds, and how the file was made; raises the same."""
    facts = inspect_file(path, name=name)
    recipe, _is_told_beside = recipe_of_file(path, facts)
    return Description(facts, recipe.metadata())


def recipe_of_file(path: Path | str, facts: Inspection) -> tuple[Recipe, bool]:
    """How the file was made, and whether only a file beside it tells."""
    recipe = facts.recipe()
    beside = None if recipe.source else _recipe_beside(path, facts)
    return beside or recipe, beside is not None


def _recipe_beside(path: Path | str, facts: Inspection) -> Recipe | None:
    """How a film or a frame of one was made that cannot say so itself, by the PNG beside it.

    VideoHelperSuite saves the graph of each film in a PNG of its first frame. None if there is no
    such PNG. Source: VideoHelperSuite 1.7 (`combine_video`).
    """
    named = _COMBINED.fullmatch(os.path.basename(path))  # noqa: PTH119  10,000 times
    if named is None:
        return None
    try:
        first = inspect_file(os.path.join(os.path.dirname(path), f"{named['stem']}.png"))  # noqa: PTH118, PTH120
    except (StorageError, UnusableFile):
        return None
    graph = fields_of(read_json(first.texts.get("prompt", "")))
    classes = {str(node.get("class_type")) for node in objects_in([*graph.values()])}
    is_its = first.sha256 != facts.sha256 and classes & _COMBINERS
    return replace(facts, texts=first.texts).recipe() if is_its else None


async def describe_upload(path: Path, *, name: str) -> Description:
    """The same of what somebody has sent, in a process with limits; raises as `inspect_file`."""
    return await call_limited(_died(name), _DESCRIBE, path, name)


def describe_foreign(path: Path) -> Description:
    """The same of any file, in the process with limits that is kept. It blocks."""
    return ask_kept(_died(path.name), _DESCRIBE, path, path.name)


async def inspect_output(path: Path, *, name: str) -> Inspection:
    """The same of what a server has made, in the process that is kept for it.

    Raises as `inspect_file`.
    """
    return await call_kept(_died(name), _INSPECT, path, name=name)


def _died(name: str) -> UnusableFile:
    return UnusableFile(
        f"{name} cannot be read: its decoder crashed, or took too much time or memory.",
        "Save it again with another program.",
    )


_INSPECT = LimitedFunction(inspect_file, Inspection)
_DESCRIBE = LimitedFunction(describe_file, Description)


def _examine(stream: FileIO, name: str) -> Inspection:
    before = os.fstat(stream.fileno())
    if not stat.S_ISREG(before.st_mode):
        raise unusable(UnusableReason.NOT_MEDIA, f"{name} is not a file.")
    if not before.st_size:
        raise unusable(UnusableReason.EMPTY, f"{name} is empty.")
    sha256, content = _hashed(stream, before.st_size)
    _refuse_changing(before, os.fstat(stream.fileno()), name)
    facts = _facts(content, before.st_size, name)
    return Inspection(
        sha256=sha256,
        size_bytes=before.st_size,
        name=os.path.basename(name),  # noqa: PTH119
        **{field: getattr(facts, field) for field in _FACTS},
    )


def _hashed(stream: FileIO, size: int) -> tuple[str, BinaryIO]:
    """The hash of the whole file, and its content to be read from the beginning."""
    if size > _IN_MEMORY_BYTES:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        return sha256, BufferedReader(stream)
    content = stream.read(size)
    return hashlib.sha256(content).hexdigest(), BytesIO(content)


def _refuse_changing(before: os.stat_result, after: os.stat_result, name: str) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise StorageError(
            f"{name} changed while it was read.", "Wait until it is written, and look again."
        )


def _facts(content: BinaryIO, size: int, name: str) -> MediaFacts:
    head = content.read(HEAD_BYTES)
    content.seek(0)
    media_type = media_type_by_content(head)
    if media_type is None:
        mesh = read_mesh(content, name, size=size)
        if mesh is not None:
            return mesh
        raise unusable(UnusableReason.NOT_MEDIA, f"{name} is no picture, film or sound we know.")
    if media_type == "image/png":
        return read_png(content, name)
    refuse_cut_short(content, size, name, media_type)
    if media_type == "model/gltf-binary":
        return read_glb(content, name, size=size)
    if media_type.startswith("image/") and media_type not in _STILLS_FOR_FFMPEG:
        from anime.assets.inspection.pictures import read_picture

        return read_picture(content, name, media_type, size=size)
    from anime.assets.inspection.clips import (  # FFmpeg is large: only where there is a clip
        read_clip,
        read_still,
    )

    read = read_still if media_type in _STILLS_FOR_FFMPEG else read_clip
    return read(content, name, media_type)
