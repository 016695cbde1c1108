"""The environment variables of the stack's programs."""

import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from anime.settings import Settings
from anime.settings.secret_references import has_references
from anime.settings.variables import variable_of
from anime.settings.vault import VaultConfig

SHARED_SETTINGS = (
    "database_url",
    "redis_url",
    "comfyui_url",
    "sweep_dir",
    "prefect_api_url",
    "prefect_api_auth_string",
    "public_url",
    "ws_url",
)
LOOPBACK = "127.0.0.1,localhost,::1"


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment of this process, with every setting as resolved here.

    So a child has the same settings, whatever is changed meanwhile.
    """
    environment = dict(os.environ)  # inherited as it is, not read
    environment |= settings_environment(settings)
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, (environment.get(name), LOOPBACK)))
    # "python" in a work pool's command is to be the one that runs us.
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join(filter(None, (programs, environment.get("PATH"))))
    return environment | {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYTHONUNBUFFERED": "1",
    }


def settings_environment(settings: Settings) -> dict[str, str]:
    """The values of the settings that are set, by name of variable."""
    values = {variable_of(name): getattr(settings, name) for name in type(settings).model_fields}
    if (vault := values.pop(variable_of("vault"))) is not None:
        values |= {f"ANIME_VAULT_{n.upper()}": value for n, value in _vault_values(vault).items()}
    headers = variable_of("comfyui_headers")
    if has_references(given := os.environ.get(headers, "")):
        values[headers] = given  # secrets, which others could read in the environment of a process
    return {name: _as_text(value) for name, value in values.items() if value is not None}


def shared_values(settings: Settings) -> dict[str, str]:
    """The settings by which others find the stack, by name; unset ones are left out."""
    values = {name: getattr(settings, name) for name in SHARED_SETTINGS}
    if settings.vault is not None:
        values["vault"] = json.dumps(_vault_values(settings.vault))
    return {name: _as_text(value) for name, value in values.items() if value is not None}


def _vault_values(vault: VaultConfig) -> dict[str, str]:
    values = {name: getattr(vault, name) for name in type(vault).model_fields}
    return {name: _as_text(value) for name, value in values.items() if value is not None}


def prefect_home(settings: Settings) -> Path:
    """Where our Prefect server and its clients keep their files."""
    return settings.home / "prefect"


def _as_text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return ",".join(map(str, value))
        case dict():
            return json.dumps({name: _as_text(each) for name, each in value.items()})
        case _:
            return str(value)
