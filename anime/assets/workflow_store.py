"""The studio's own workflows: NAME.json and NAME.toml in a folder, whole or not at all."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from anime.assets.store import draft_in, link_or_copy, write_file
from anime.errors import AlreadyExists, ConfigurationError, InvalidWorkflow, NotFound

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SUFFIXES = (".json", ".toml")  # in the order of writing: with the last one it is there
_TODO = "Point ANIME_WORKFLOWS_DIR to a folder that this user may write."


def checked_name(name: str) -> str:
    """The name, once it is known to be one.

    Raises:
        InvalidWorkflow: it could lead out of a folder, or is no name for a request.
    """
    if not _NAME.fullmatch(name):
        raise InvalidWorkflow(
            f'"{name[:80]}" cannot be the name of a workflow.',
            "Take up to 64 small letters, digits, - and _, such as my-look.",
        )
    return name


def name_from_file(stem: str) -> str:
    """The name that a file's name suggests; empty if nothing of it can be used.

    >>> name_from_file("My Look (final)")
    'my-look-final'
    """
    return re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-_")[:64]


@dataclass(frozen=True, slots=True)
class WorkflowStore:
    """A folder of workflows that people and programs add to.

    Unless it `may_create` the folder, that must be there: a lost mount is not a new studio.
    """

    folder: Path
    may_create: bool = False

    def has(self, name: str) -> bool:
        """Whether the folder has a workflow of that name."""
        return self._path(checked_name(name), ".toml").exists()

    def refuse_taken(self, name: str, *, may_replace: bool) -> None:
        """Make sure that the name can be taken.

        Raises:
            InvalidWorkflow: the name is none.
            AlreadyExists: there is one, which must not be replaced.
        """
        if self.has(name) and not may_replace:
            raise AlreadyExists(
                f"There is a workflow {name} already.", "Take another name, or replace it."
            )

    def save(self, name: str, graph: str, binding: str, *, may_replace: bool) -> None:
        """Write both files.

        Raises:
            InvalidWorkflow: the name is none.
            AlreadyExists: there is one, which must not be replaced.
            ConfigurationError: the folder cannot take them; what was there stays.
        """
        with self._locked():
            self.refuse_taken(name, may_replace=may_replace)
            self._write(checked_name(name), graph, binding)

    def rename(self, name: str, new_name: str) -> None:
        """Give a workflow another name.

        Raises:
            NotFound: there is no such workflow in the folder.
            AlreadyExists: the other name is taken.
        """
        with self._locked():
            graph, binding = self._texts(name)
            self.refuse_taken(new_name, may_replace=False)
            self._write(checked_name(new_name), graph, binding)
            self._unlink(name)

    def remove(self, name: str) -> None:
        """Delete a workflow; jobs that are done keep their graphs.

        Raises:
            NotFound: there is no such workflow in the folder.
        """
        with self._locked():
            self._texts(name)
            self._unlink(name)

    def _texts(self, name: str) -> list[str]:
        if not self.has(name):
            raise NotFound(
                f"There is no workflow {name} in {self.folder}.",
                "`anime workflow list` shows them; those that are shipped stay as they are.",
            )
        try:
            return [self._path(name, each).read_text(encoding="utf-8") for each in _SUFFIXES]
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigurationError(
                f"The workflow {name} in {self.folder} cannot be read: {fault}.",
                "Look at its two files there.",
            ) from None

    def _write(self, name: str, graph: str, binding: str) -> None:
        """Put both files in place; what was there comes back if one of them fails."""
        with (
            _refusal_told(f"The workflow {name} cannot be written to {self.folder}"),
            draft_in(self.folder) as new_graph,
            draft_in(self.folder) as new_binding,
        ):
            write_file(new_graph, graph.encode(), replaces=True)
            write_file(new_binding, binding.encode(), replaces=True)
            self._put(name, new_graph, new_binding)

    def _put(self, name: str, new_graph: Path, new_binding: Path) -> None:
        graph, binding = (self._path(name, suffix) for suffix in _SUFFIXES)
        before = graph.with_name(f".{name}.before.tmp")
        with suppress(FileNotFoundError):
            before.unlink()
        with suppress(FileNotFoundError):
            link_or_copy(graph, before)
        new_graph.replace(graph)
        try:
            new_binding.replace(binding)
        except OSError:
            if before.exists():
                before.replace(graph)
            else:
                graph.unlink(missing_ok=True)
            raise
        before.unlink(missing_ok=True)

    def _unlink(self, name: str) -> None:
        with _refusal_told(f"The workflow {name} cannot be removed"):
            for suffix in reversed(_SUFFIXES):  # without its binding it is gone
                self._path(name, suffix).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out: a graph and its binding belong together."""
        with ExitStack() as held:
            with _refusal_told(f"The workflow folder {self.folder} cannot be written"):
                if self.may_create:
                    self.folder.mkdir(parents=True, exist_ok=True)
                # Whoever may write the folder may lock it, not only who did so first.
                lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
                held.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)  # for as long as another one writes two files
            yield

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"


@contextmanager
def _refusal_told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise ConfigurationError(f"{what}: {fault.strerror}.", _TODO) from None
