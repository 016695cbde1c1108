"""The files that clients may name: only those in the server's folders."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

ANNOTATION = re.compile(r"(?P<name>.*) \[(?P<folder>output|input|temp)\]", re.DOTALL)


def inside(root: Path, *parts: str) -> Path | None:
    """The path below `root`; None when it is outside of it or not a valid path."""
    if any("\0" in part for part in parts):
        return None
    path = Path(os.path.normpath(root.joinpath(*parts)))
    return path if path.is_relative_to(root) else None


def split_annotation(name: str, default: str) -> tuple[str, str]:
    """The name and its folder: `x.png [temp]` names a folder, `x.png` does not."""
    found = ANNOTATION.fullmatch(name)
    return (found["name"], found["folder"]) if found else (name, default)


def annotated_path(folders: Mapping[str, Path], name: str) -> Path:
    """The file that an input such as LoadImage's names.

    Raises:
        FileNotFoundError: the name is outside of its folder.
    """
    bare, folder = split_annotation(name, "input")
    path = inside(folders[folder], bare)
    if path is None:
        raise FileNotFoundError(f"{name} leads out of the {folder} folder")
    return path


def input_exists(folders: Mapping[str, Path], name: str) -> bool:
    """Whether LoadImage finds something of that name, be it a folder."""
    try:
        return annotated_path(folders, name).exists()
    except FileNotFoundError:
        return False


def listed_files(folders: Mapping[str, Path], ui: Mapping[str, object]) -> Iterator[Path]:
    """The files that a node's outputs name."""
    for listed in ui.values():
        for file in listed if isinstance(listed, list) else ():
            if isinstance(file, dict) and "filename" in file:
                yield folders[file["type"]] / file["subfolder"] / file["filename"]


def content_hash(path: Path) -> str:
    """The hash of a file, so that an overwritten input is noticed; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def store_upload(folder: Path, name: str, content: bytes, *, overwrite: bool) -> str:
    """The path in the folder at which the content is stored: a new one if another file is there.

    Raises:
        FileNotFoundError: the name has a folder in it that is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, path = PurePosixPath(name), PurePosixPath(name)
    number = 1
    while not overwrite and (folder / path).exists():
        if (folder / path).read_bytes() == content:
            return str(path)
        path = first.with_name(f"{first.stem} ({number}){first.suffix}")
        number += 1
    (folder / path).write_bytes(content)
    return str(path)
