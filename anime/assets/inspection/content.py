"""Looking into one new file. It blocks, and hostile files may take the process down with them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from anime.assets.importer.walk import look_again
from anime.assets.inspection import inspect_file
from anime.assets.metadata.recipe import Recipe
from anime.assets.store import sha256_of
from anime.core.assets import Asset
from anime.core.png_metadata import read_stamp
from anime.core.sweep_plan import Found, Reason, ScannedFile, Unusable
from anime.errors import StorageError, UnusableFile

_ENCODER = json.JSONEncoder(allow_nan=False)  # made once: `json.dumps` would make one each time


def read_file(sighting: ScannedFile) -> Found:
    """What is in the file, if it is all the while the one that was seen."""
    path = path_of(sighting)
    try:
        examined = inspect_file(path)
        content = Asset(
            sha256=examined.sha256,
            media_type=examined.media_type,
            kind=examined.kind,
            width=examined.width,
            height=examined.height,
            frames=examined.frames,
            inode=inode_of(os.lstat(path)),
            recipe=recipe_text(examined.recipe()),
            stamp=read_stamp(examined.texts),
        )
    except UnusableFile as fault:
        found: Found = Unusable(fault.reason.value, fault.what, hash_of(path))
    except (StorageError, OSError):  # it may not be read, or it changed meanwhile
        return Reason.GONE if look_again(sighting) != sighting else Reason.UNREADABLE
    else:
        found = content
    return found if look_again(sighting) == sighting else Reason.GONE


def read_files(sightings: Sequence[ScannedFile]) -> list[Found]:
    """The same of several, in their order."""
    return [read_file(sighting) for sighting in sightings]


def name_of(sighting: ScannedFile) -> str:
    """Where the file lies, as a text that the file system takes."""
    return os.fsdecode(sighting.folder + b"/" + sighting.name)


def path_of(sighting: ScannedFile) -> Path:
    """Where the file lies."""
    return Path(name_of(sighting))


def inode_of(status: os.stat_result) -> tuple[int, int]:
    """Device and number: two names with the same are one file."""
    return status.st_dev, status.st_ino


def recipe_text(recipe: Recipe) -> str:
    """The recipe as JSON; by pydantic's own writer, which takes a fifth of the time."""
    try:
        text = recipe.metadata_text()
    except ValueError:  # a text that is no Unicode
        return json_text(recipe.metadata())
    return json_text(recipe.metadata()) if "\\u0000" in text else text


def json_text(value: JsonValue) -> str:
    """The value as PostgreSQL takes it: without NUL, lone surrogates and numbers that are none."""
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        return json.dumps(_cleaned(value))
    return json.dumps(_cleaned(value)) if "\\u0000" in text or "\\ud" in text else text


def with_fields(text: str, fields: Mapping[str, JsonValue]) -> str:
    """The text of a JSON object with further fields; PostgreSQL keeps the last of a name.

    >>> with_fields('{"seed": "5"}', {"owner_by": "name"})
    '{"seed": "5", "owner_by": "name"}'
    """
    if not fields:
        return text
    more = json_text(dict(fields))
    return more if text == "{}" else f"{text[:-1]}, {more[1:]}"


def _cleaned(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return value.replace("\x00", "").encode("utf-8", "replace").decode()
        case float() if value != value or abs(value) == float("inf"):
            return None
        case list():
            return [_cleaned(part) for part in value]
        case dict():
            return {str(_cleaned(key)): _cleaned(part) for key, part in value.items()}
        case _:
            return value


def hash_of(path: Path) -> str | None:
    """The SHA-256 of the file; None where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return None
