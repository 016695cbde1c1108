"""The environment variable of each setting."""

import os
from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import AliasChoices

from anime.settings import RESOLVED_LATER, Settings
from anime.settings.vault import RESOLVED_AT_LOGIN, VaultConfig

_OVERLAP = 0.85  # how alike two names must be for one to be the other misspelt


def texts_resolved_at_once() -> Iterator[tuple[str, str]]:
    """The variables whose references are resolved when settings are read, with their texts."""
    for name in Settings.model_fields.keys() - RESOLVED_LATER - {"vault"}:
        if (text := os.environ.get(variable_of(name))) is not None:
            yield variable_of(name), text
    for name in VaultConfig.model_fields.keys() - RESOLVED_AT_LOGIN:
        if (text := os.environ.get(_vault_variable_of(name))) is not None:
            yield _vault_variable_of(name), text


def misspelt() -> dict[str, str]:
    """Variables of the environment that set nothing, with the one that each resembles."""
    known = {variable_of(name) for name in Settings.model_fields.keys() - {"vault"}}
    known |= set(map(_vault_variable_of, VaultConfig.model_fields))
    unknown = sorted(name for name in os.environ.keys() - known if name.startswith("ANIME_"))
    near = ((name, get_close_matches(name, known, n=1, cutoff=_OVERLAP)) for name in unknown)
    return {name: found[0] for name, found in near if found}


def variable_of(name: str) -> str:
    """The variable that sets that setting.

    >>> variable_of("database_url"), variable_of("prefect_api_url")
    ('ANIME_DATABASE_URL', 'PREFECT_API_URL')
    """
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"ANIME_{name.upper()}"


def _vault_variable_of(name: str) -> str:
    return f"ANIME_VAULT_{name.upper()}"
