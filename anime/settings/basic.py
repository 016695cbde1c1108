"""The settings that must be known before any reference can be resolved."""

from pathlib import Path

import platformdirs
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from anime.settings.secret_references import resolve_without_vault
from anime.settings.stack_record import RunningStackSource
from anime.settings.vault import VaultConfig, resolved_fields


class BasicSettings(BaseSettings):
    """Where the data folder and Vault are; and from where all settings come."""

    model_config = SettingsConfigDict(
        env_prefix="ANIME_",
        env_ignore_empty=True,
        env_nested_delimiter="_",
        env_nested_max_split=1,  # ANIME_VAULT_CA_FILE is ca_file of vault
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
        populate_by_name=True,
    )

    home: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("anime-production"),
        description="Data folder: logs, embedded services and, by default, the library.",
    )
    vault: VaultConfig | None = Field(
        default=None, description="Vault or OpenBao, where references vault:MOUNT/PATH#KEY lead."
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve_what_leads_to_vault(cls, values: dict[str, object]) -> dict[str, object]:
        home, vault = values.get("home"), values.get("vault")
        resolved: dict[str, object] = {}
        if isinstance(home, str):
            resolved["home"] = resolve_without_vault("ANIME_HOME", home)
        if isinstance(vault, dict):
            resolved["vault"] = resolved_fields(vault)
        return values | resolved

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  named by the base class
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, running stack; the first that has a value counts."""
        return init_settings, env_settings, RunningStackSource(settings_cls)
