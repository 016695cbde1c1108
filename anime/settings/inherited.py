"""The environment of programs that need none of our settings, and so none of our secrets."""

import os
from collections.abc import Mapping

_NEEDED = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
# Of Python, of the system's loader and allocator, and of the language.
_NEEDED_PREFIXES = ("PYTHON", "LD_", "DYLD_", "MALLOC_", "LC_")


def environment_without_secrets(
    *prefixes: str, among: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What any program needs of our environment, and what begins like one of these.

    `among`: another environment than that of this process.
    """
    wanted = (*_NEEDED_PREFIXES, *prefixes)
    found = os.environ if among is None else among
    return {name: found[name] for name in found if name in _NEEDED or name.startswith(wanted)}
