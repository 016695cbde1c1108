"""Secrets that are looked for: as they are, and in the encodings in which they may be written."""

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from secrets import token_hex

from PIL import Image

# Passwords that OpenBao makes have no other letters, so that each is found wherever it is.
LEASED_LETTERS = "QX"
LEASED_LENGTH = 40
_GROUPS = b"|".join(b64encode(bytes(each)) for each in product(b"QX", repeat=3))
LEASED = re.compile(
    rb"[QX]{40}|(?:51|58){40}|(?:%s){12}" % _GROUPS  # in hex, and in base64 wherever it begins
)
# Of Vault: a process's own, and those that wrap something.
TOKEN = re.compile(rb"\bs\.[A-Za-z0-9]{24}\b")


def canary(name: str) -> str:
    """A secret that nothing else is; it has to be quoted in URLs, JSON and HTML.

    Each part of it tells it, as errors about an address that was not quoted may say only one.
    """
    core = token_hex(8)
    return f'{name}-{core}"/%{core}'


@cache
def traces_of(secret: str) -> tuple[bytes, ...]:
    """What tells the secret however it was quoted: its longest run of letters and digits."""
    core = max(re.findall(r"[A-Za-z0-9]+", secret), key=len).encode()
    return core, core.hex().encode(), core.hex().upper().encode(), *_in_base64(core)


def _in_base64(core: bytes) -> Iterator[bytes]:
    """What base64 makes of it, whatever stands before and after."""
    for before in range(3):
        packed = b64encode(bytes(before) + core)
        yield packed[(before * 8 + 5) // 6 : (before + len(core)) * 8 // 6]


def secrets_in(content: bytes, secrets: dict[str, str]) -> set[str]:
    """The names of the secrets that the content has."""
    found = {
        name
        for name, secret in secrets.items()
        if any(each in content for each in traces_of(secret))
    }
    found |= {"a leased password"} if LEASED.search(content) else set()
    return found | ({"a token of Vault"} if TOKEN.search(content) else set())


def files_below(folder: Path) -> Iterator[Path]:
    """All files there, but links."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def content_of(path: Path) -> bytes:
    """The bytes of the file, and what is packed in it: texts of a PNG, tables of a dump."""
    content = path.read_bytes()
    if path.suffix == ".png":
        with Image.open(path) as picture:
            content += json.dumps(getattr(picture, "text", {})).encode()
    if path.suffix == ".gz":
        content += gzip.decompress(content)
    return content
