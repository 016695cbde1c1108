"""The settings of the installed services: variables in `$ANIME_HOME/services.env`.

systemd reads the file for each service, and every command with that data folder reads it, too.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

from anime.errors import ConfigurationError

OWN_SERVICES = "ANIME_OWN_SERVICES"  # names of the services of ours that others' addresses replace
_HEAD = "# Written by `anime services install`, which keeps what you change here.\n"


def services_path(home: Path) -> Path:
    """The file in that data folder."""
    return home / "services.env"


def read_services(home: Path) -> dict[str, str]:
    """The variables by name; empty where no services are installed."""
    path = services_path(home)
    try:
        text = path.open()
    except OSError:
        return {}
    with text:
        found = dotenv_values(stream=text, interpolate=False)
    return {name: value for name, value in found.items() if value}


def write_services(home: Path, variables: Mapping[str, str]) -> Path:
    """Write the file atomically, readable by its owner alone.

    Raises:
        ConfigurationError: a value has a line break or another control character.
    """
    target = services_path(home)
    temporary = target.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(_HEAD + "".join(map(_line, variables, variables.values())))
    temporary.replace(target)
    return target


def retire_services(home: Path) -> None:
    """Rename the file, so that no command takes the addresses in it for those of a server."""
    with suppress(FileNotFoundError):
        services_path(home).rename(retired_path(home))


def retired_path(home: Path) -> Path:
    """The file of services that were removed."""
    return services_path(home).with_suffix(".env.removed")


def _line(name: str, value: str) -> str:
    r"""A line that systemd and python-dotenv read alike.

    >>> _line("ANIME_REDIS_URL", 'a"b\\c$d')
    'ANIME_REDIS_URL="a\\"b\\\\c$d"\n'
    """
    if not value.isprintable():
        raise ConfigurationError(
            f"{name} has a line break or another character that no service can be given.",
            f"Correct {name}.",
        )
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"\n'
