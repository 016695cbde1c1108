"""What references stand for: variables, files, and what other programs keep.

The resolver of a scheme that needs a network is found by its entry point in the group
`anime.secret_references`, and imported when the first such reference is resolved: settings know no
network, and who has no Vault loads nothing for it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import quote

from anime.core.secret_references import SecretReference, references_in, with_values
from anime.errors import AnimeError, ConfigurationError

ENTRY_POINTS = "anime.secret_references"
MAX_FILE_BYTES = 64 * 1024


class ReferenceResolver(Protocol):
    """Resolves the references of one scheme."""

    def values(self, names: Sequence[str]) -> Mapping[str, str]:
        """The value of each name, all of one moment; it may wait for a network.

        Raises:
            AnimeError: one has no value.
        """
        ...

    def known_values(self, names: Sequence[str]) -> Mapping[str, str] | None:
        """The same without waiting; None if one is not known yet."""
        ...

    def refresh(self, names: Sequence[str]) -> None:
        """Ask for values anew, as those that are known were refused; it may wait."""
        ...


def resolve_reference(text: str) -> str:
    """The text with the value of each reference; without any, the text itself.

    What it needs of a network is remembered: only the first time waits for it.

    Raises:
        ConfigurationError: a reference has no value here.
        VaultUnavailable: it is in Vault, which does not answer.
    """
    references = references_in(text)
    if not references:
        return text
    values: dict[SecretReference, str] = {}
    for scheme, names in _by_scheme(references).items():
        found = _resolver(scheme).values(names)
        values |= {SecretReference(scheme, name): found[name] for name in names}
    return with_values(text, values, _quoted)


def known_value(text: str) -> str | None:
    """What `resolve_reference` returns, without waiting; None if it would have to, or would raise.

    So a file that is not there while it is being replaced does no harm to what is open.
    """
    values: dict[SecretReference, str] = {}
    try:
        for scheme, names in _by_scheme(references_in(text)).items():
            found = _resolver(scheme).known_values(names)
            if found is None:
                return None
            values |= {SecretReference(scheme, name): found[name] for name in names}
    except AnimeError:
        return None
    return with_values(text, values, _quoted)


def refresh_references(text: str) -> str:
    """The value of the text, asked for anew because somebody has refused the known one.

    Raises:
        ConfigurationError, VaultUnavailable: as `resolve_reference`.
    """
    for scheme, names in _by_scheme(references_in(text)).items():
        _resolver(scheme).refresh(names)
    return resolve_reference(text)


def resolve_setting(name: str, text: str) -> str:
    """What `resolve_reference` returns for the setting of that name, which errors tell.

    Raises:
        ConfigurationError, VaultUnavailable: as `resolve_reference`.
    """
    try:
        return resolve_reference(text)
    except AnimeError as fault:
        raise type(fault)(f"{name} cannot be resolved: {fault.what}", fault.todo) from fault


def resolve_without_vault(name: str, text: str) -> str:
    """The same for what must be known before Vault can be asked.

    Raises:
        ConfigurationError: it refers to Vault, or a reference has no value.
    """
    if any(each.scheme == "vault" for each in references_in(text)):
        raise ConfigurationError(
            f"{name} cannot be in Vault: it must be known before Vault can be asked.",
            "Give its value, or a reference env:NAME or file:/PATH.",
        )
    return resolve_setting(name, text)


def value_in(text: str) -> object:
    """What stands in the text as JSON; if that is none, the text itself.

    >>> value_in('{"X-Token": "env:TOKEN"}'), value_in("fail")
    ({'X-Token': 'env:TOKEN'}, 'fail')
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def has_references(text: str) -> bool:
    """Whether the text is or contains a reference."""
    return bool(references_in(text))


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _by_scheme(references: Sequence[SecretReference]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for each in references:
        names.setdefault(each.scheme, []).append(each.name)
    return names


class LocalResolver:
    """Reads variables or files, each time: so a file that was replaced counts at once."""

    def values(self, names: Sequence[str]) -> Mapping[str, str]:
        """The value of each name.

        Raises:
            ConfigurationError: it is not there.
        """
        return {name: self._value(name) for name in names}

    def known_values(self, names: Sequence[str]) -> Mapping[str, str] | None:
        """The same: nothing is waited for."""
        return self.values(names)

    def refresh(self, names: Sequence[str]) -> None:
        """Nothing is remembered."""

    def _value(self, name: str) -> str:
        raise NotImplementedError


class VariableResolver(LocalResolver):
    """`env:NAME` is that variable of this process."""

    def _value(self, name: str) -> str:
        if name not in os.environ:
            raise ConfigurationError(
                f"env:{name} refers to the variable {name}, which is not set here.",
                f"Set {name} for this process.",
            )
        return os.environ[name]


class FileResolver(LocalResolver):
    """`file:/run/secrets/x` is what that file has, without the line's end."""

    def _value(self, name: str) -> str:
        path = Path(name)
        if not path.is_absolute():
            raise ConfigurationError(
                f"file:{name} is no absolute path.", "Write it as in file:/run/secrets/name."
            )
        try:
            with path.open("rb") as stream:
                read = stream.read(MAX_FILE_BYTES + 1)
        except OSError as fault:
            raise ConfigurationError(
                f"file:{name} cannot be read: {fault.strerror}.",
                "Correct the path, or let this user read the file.",
            ) from None
        if len(read) > MAX_FILE_BYTES:
            raise ConfigurationError(
                f"file:{name} is longer than {MAX_FILE_BYTES} bytes: no secret is.",
                "Correct the path.",
            )
        try:
            return read.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigurationError(f"file:{name} is no text.", "Correct the path.") from None


@cache
def _resolver(scheme: str) -> ReferenceResolver:
    if scheme == "env":
        return VariableResolver()
    if scheme == "file":
        return FileResolver()
    found = entry_points(group=ENTRY_POINTS, name=scheme)
    if not found:
        raise ConfigurationError(
            f"Nothing here resolves references that begin with {scheme}:.",
            "Install this program anew, as with `make install`.",
        )
    return cast("ReferenceResolver", next(iter(found)).load())
