"""The environment variable of each setting."""

from pydantic import AliasChoices

from anime.settings import Settings


def variable_of(name: str) -> str:
    """The variable that sets that setting.

    >>> variable_of("database_url"), variable_of("prefect_api_url")
    ('ANIME_DATABASE_URL', 'PREFECT_API_URL')
    """
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"ANIME_{name.upper()}"
