"""The workflow templates in folders: NAME.json with NAME.toml beside it.

Of several folders the first that has a name counts: a studio's own goes before the shipped one.
"""

import difflib
import errno
import logging
from functools import lru_cache
from pathlib import Path

from anime.core.template_format import parse_template
from anime.core.workflow_build import Template
from anime.errors import InvalidWorkflow, StorageUnavailable

# What stays so until somebody changes the folder or the file.
_PERMANENT = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
        *(errno.ELOOP, errno.ENAMETOOLONG),
    }
)
_log = logging.getLogger(__name__)


def load_template(name: str, *folders: Path) -> Template:
    """The template of that name.

    Raises:
        InvalidWorkflow: there is none, a file cannot be read, or the two do not fit.
        StorageUnavailable: the disk or mount does not answer for now.
    """
    # The name is compared with what is there, never joined to a folder: it cannot lead out of it.
    found = _folders_by_name(folders)
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f'Did you mean "{near[0]}"? ' if near else ""
        raise InvalidWorkflow(
            f'There is no workflow "{name}" in {" or ".join(map(str, folders))}.',
            f"{hint}The workflows are: {', '.join(found) or 'none'}.",
        )
    folder = found[name]
    return _template(name, folder, _stamp(folder / f"{name}.json"), _stamp(folder / f"{name}.toml"))


def list_templates(*folders: Path) -> tuple[Template, ...]:
    """Every template in the folders, by name.

    Raises:
        InvalidWorkflow: one of them is broken, or a folder cannot be read.
        StorageUnavailable: a disk or mount does not answer for now.
    """
    return tuple(load_template(name, *folders) for name in template_names(*folders))


def template_names(*folders: Path) -> tuple[str, ...]:
    """The names of the templates in the folders, sorted: those of their binding files.

    Raises:
        InvalidWorkflow: a folder cannot be read.
        StorageUnavailable: its disk or mount does not answer for now.
    """
    return tuple(_folders_by_name(folders))


def _folders_by_name(folders: tuple[Path, ...]) -> dict[str, Path]:
    """The folder of each template, by name."""
    found = {name: folder for folder in reversed(folders) for name in _names_in(folder)}
    return dict(sorted(found.items()))


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.stem for path in folder.iterdir() if path.suffix == ".toml"]
    except OSError as fault:
        raise _unreadable(
            f"The workflow folder {folder}",
            fault,
            "Point ANIME_WORKFLOWS_DIR to the folder with your workflows.",
        ) from fault


@lru_cache(maxsize=64)
def _template(name: str, folder: Path, *stamps: tuple[int, ...]) -> Template:
    """The template, parsed once for as long as its files have these stamps."""
    del stamps
    template = parse_template(name, *read_workflow_files(name, folder))
    if template.was_edited:
        _log.warning(
            "%s is not the graph that the bindings in %s.toml were confirmed for. All that they"
            " name is still there; see whether it is still meant, and correct graph_sha256.",
            folder / f"{name}.json",
            name,
        )
    return template


def read_workflow_files(name: str, folder: Path) -> tuple[str, str]:
    """The texts of NAME.json and NAME.toml.

    Raises:
        InvalidWorkflow: one of them cannot be read.
        StorageUnavailable: the disk or mount does not answer for now.
    """
    return _read(folder / f"{name}.json"), _read(folder / f"{name}.toml")


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
        raise _unreadable(str(path), fault, "Give this user the right to read it.") from fault
    except UnicodeDecodeError as fault:
        raise InvalidWorkflow(f"{path} is not UTF-8.", "Save it as UTF-8.") from fault


def _unreadable(what: str, fault: OSError, todo: str) -> InvalidWorkflow | StorageUnavailable:
    """The error of what cannot be read: a mount that is sick may be well again later."""
    said = f"{what} cannot be read: {fault.strerror}."
    if fault.errno in _PERMANENT:
        return InvalidWorkflow(said, todo)
    return StorageUnavailable(said, "Look at the disk or mount that it is on.")
