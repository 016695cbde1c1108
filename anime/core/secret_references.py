"""References: what a setting has in place of a secret, such as `vault:kv/anime/db#password`.

A whole text may be a reference. Within a text, such as a URL, references stand in braces:
`postgresql://{vault:database/creds/anime#username}:{vault:…#password}@db/anime`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anime.errors import ConfigurationError

SCHEMES = ("env", "file", "vault")
_WHOLE = re.compile(rf"({'|'.join(SCHEMES)}):(.*)", re.DOTALL)
_WITHIN = re.compile(rf"\{{({'|'.join(SCHEMES)}):([^{{}}]*)\}}")
_OPENED = re.compile(rf"\{{({'|'.join(SCHEMES)}):")
_IS_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a value is: a scheme, and a name that the scheme understands."""

    scheme: str
    name: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


@dataclass(frozen=True, slots=True)
class VaultReference:
    """A key of a secret in Vault; a path that begins with a slash is below the usual mount."""

    path: str
    key: str

    @classmethod
    def parse(cls, name: str, usual_mount: str = "") -> "VaultReference":
        """What follows `vault:` in a reference.

        >>> VaultReference.parse("kv/anime/db#password")
        VaultReference(path='kv/anime/db', key='password')
        >>> VaultReference.parse("/anime/db#password", "studio/kv").path
        'studio/kv/anime/db'

        Raises:
            ConfigurationError: it is none.
        """
        path, _, key = name.partition("#")
        if path.startswith("/") and usual_mount:
            path = f"{usual_mount.strip('/')}{path}"
        parts = path.split("/")
        if len(parts) < 2 or not key or not all(parts) or {".", ".."} & set(parts):
            raise ConfigurationError(
                f"vault:{name} is no reference to a secret.",
                "Write vault:MOUNT/PATH#KEY, such as vault:kv/anime/db#password; vault:/PATH#KEY "
                "needs ANIME_VAULT_MOUNT.",
            )
        return cls(path, key)


def references_in(text: str) -> tuple[SecretReference, ...]:
    """The references of a text, in order.

    >>> references_in("redis://:{env:REDIS_PASSWORD}@db/1")
    (SecretReference(scheme='env', name='REDIS_PASSWORD'),)
    >>> references_in("vault:kv/anime/db#url"), references_in("redis://db/1")
    ((SecretReference(scheme='vault', name='kv/anime/db#url'),), ())

    Raises:
        ConfigurationError: a brace is not closed.
    """
    if ":" not in text:
        return ()
    if whole := _WHOLE.fullmatch(text):
        return (SecretReference(*whole.groups()),)
    found = tuple(SecretReference(*each.groups()) for each in _WITHIN.finditer(text))
    opened = _OPENED.findall(text)
    if len(opened) != len(found):
        raise ConfigurationError(
            f"A reference that begins with {{{opened[-1]}: has no end.",
            "Close its brace, as in redis://:{vault:kv/anime/redis#password}@cache.",
        )
    return found


def is_reference(text: str) -> bool:
    """Whether the whole text is one.

    >>> is_reference("file:/run/secrets/x"), is_reference("redis://:{env:PASSWORD}@db/1")
    (True, False)
    """
    return _WHOLE.fullmatch(text) is not None


def with_values(
    text: str, values: Mapping[SecretReference, str], quote: Callable[[str], str]
) -> str:
    """The text with the value of each reference; within a URL, values are quoted for it.

    >>> values, quote = {SecretReference("env", "PASSWORD"): "a/b"}, lambda value: value.upper()
    >>> with_values("redis://:{env:PASSWORD}@db/1", values, quote)
    'redis://:A/B@db/1'
    >>> with_values("anime:{env:PASSWORD}", values, quote)
    'anime:a/b'
    """
    if whole := _WHOLE.fullmatch(text):
        return values[SecretReference(*whole.groups())]
    is_url = _IS_URL.match(text) is not None

    def value_of(found: re.Match[str]) -> str:
        value = values[SecretReference(*found.groups())]
        return quote(value) if is_url else value

    return _WITHIN.sub(value_of, text)
