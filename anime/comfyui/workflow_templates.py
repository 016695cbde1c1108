"""The workflow templates in a folder: NAME.json with NAME.toml beside it."""

import difflib
from functools import lru_cache
from pathlib import Path

from anime.core.template_format import parse_template
from anime.core.workflow_build import Template
from anime.errors import InvalidWorkflow


def load_template(name: str, folder: Path) -> Template:
    """The template of that name.

    Raises:
        InvalidWorkflow: there is none, a file cannot be read, or the two do not fit.
    """
    # The name is compared with what is there, never joined to the folder: it cannot lead out of it.
    names = template_names(folder)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f'Did you mean "{near[0]}"? ' if near else ""
        raise InvalidWorkflow(
            f'There is no workflow "{name}" in {folder}.',
            f"{hint}The workflows are: {', '.join(names) or 'none'}.",
        )
    return _template(name, folder, _stamp(folder / f"{name}.json"), _stamp(folder / f"{name}.toml"))


def list_templates(folder: Path) -> tuple[Template, ...]:
    """Every template in the folder, by name.

    Raises:
        InvalidWorkflow: one of them is broken, or the folder cannot be read.
    """
    return tuple(load_template(name, folder) for name in template_names(folder))


def template_names(folder: Path) -> tuple[str, ...]:
    """The names of the templates in the folder, sorted: those of its binding files.

    Raises:
        InvalidWorkflow: the folder cannot be read.
    """
    try:
        return tuple(sorted(path.stem for path in folder.iterdir() if path.suffix == ".toml"))
    except OSError as fault:
        raise InvalidWorkflow(
            f"The workflow folder {folder} cannot be read: {fault.strerror}.",
            "Point ANIME_WORKFLOWS_DIR to the folder with your workflows.",
        ) from fault


@lru_cache(maxsize=64)
def _template(name: str, folder: Path, *stamps: tuple[int, ...]) -> Template:
    """The template, parsed once for as long as its files have these stamps."""
    del stamps
    return parse_template(name, _read(folder / f"{name}.json"), _read(folder / f"{name}.toml"))


def _stamp(path: Path) -> tuple[int, ...]:
    """What differs once the file was changed; empty for a file that cannot be inspected."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except FileNotFoundError as fault:
        raise InvalidWorkflow(
            f"{path} is missing.", "A workflow is two files of one name: .json and .toml."
        ) from fault
    except OSError as fault:
        raise InvalidWorkflow(
            f"{path} cannot be read: {fault.strerror}.", "Give this user the right to read it."
        ) from fault
    except UnicodeDecodeError as fault:
        raise InvalidWorkflow(f"{path} is not UTF-8.", "Save it as UTF-8.") from fault
