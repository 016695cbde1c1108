"""The one place that reads the environment.

Order: what the code passes, the environment (`ANIME_…`), the record of a running stack
(`$ANIME_HOME/run/stack.json`), the defaults below.
"""

from datetime import tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import platformdirs
from pydantic import (
    AliasChoices,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from tzlocal import get_localzone

from anime.errors import ConfigurationError
from anime.settings.references import resolve_reference
from anime.settings.serving import Port, ServingSettings
from anime.settings.stack_record import RunningStackSource
from anime.settings.upkeep import UpkeepSettings
from anime.settings.working import WorkingSettings

__all__ = ["PROJECT_DIR", "Settings", "get_settings", "load_settings", "resolve_reference"]

PROJECT_DIR = Path(__file__).resolve().parents[2]


class Settings(ServingSettings, WorkingSettings, UpkeepSettings, BaseSettings):
    """Every setting, with its unit. The variable is the name in capitals after `ANIME_`."""

    model_config = SettingsConfigDict(
        env_prefix="ANIME_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("anime-production"),
        description="Data folder: logs, embedded services and, by default, the library.",
    )
    library_dir: Path | None = Field(
        default=None, description="Where finished files go; `library` in the data folder if unset."
    )
    workflows_dir: Path = Field(
        default=PROJECT_DIR / "workflows", description="Folder of workflow templates."
    )
    timezone: str | None = Field(
        default=None, description="IANA name of the studio's time zone; the machine's if unset."
    )

    comfyui_url: str | None = Field(
        default=None, description="ComfyUI servers, comma-separated; unset means a rehearsal."
    )
    comfyui_output_dir: Path | None = Field(
        default=None, description="ComfyUI's output folder, when it is reachable from here."
    )
    comfyui_wait_seconds: float = Field(
        default=120, gt=0, description="How long to wait for a server that does not answer."
    )
    stall_timeout_seconds: float = Field(
        default=600,
        gt=0,
        description="A render has failed when it stops for so long between two steps of a node, or "
        "waits for so long although nothing runs.",
    )
    silence_timeout_seconds: float = Field(
        default=21600,
        gt=0,
        description="How long a render may run of whose progress nothing can be heard: its node "
        "counts no steps, or there is no WebSocket.",
    )
    poll_seconds: float = Field(
        default=1.0, gt=0, description="How often /history is asked while a prompt renders."
    )
    default_model: str | None = Field(
        default=None, description="Checkpoint taken when a request names none."
    )
    min_vram_mb: int = Field(
        default=8000, ge=0, description="VRAM need in MB where neither request nor workflow says."
    )
    vram_wait_seconds: float = Field(
        default=300, ge=0, description="How long to wait for VRAM to come free."
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="How often a prompt is sent in all when the server loses it or somebody stops "
        "it there.",
    )
    lease_seconds: float = Field(
        default=60, ge=5, description="How long a job stays with a run that shows no life."
    )
    in_flight: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Prompts a ComfyUI server has at a time: one runs, others wait.",
    )

    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL; unset means the one `anime up` brings."
    )
    prefect_database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL for Prefect's own tables; unset means NAME_prefect beside ours.",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="Redis or Valkey; unset means the one `anime up` brings."
    )
    prefect_api_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("PREFECT_API_URL", "prefect_api_url"),
        description="A Prefect server of your own; unset means the one `anime up` brings.",
    )
    prefect_api_auth_string: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PREFECT_API_AUTH_STRING", "prefect_api_auth_string"),
        description="user:password of that Prefect server.",
    )

    prefect_port: Port = Field(default=4200, description="Port of the embedded Prefect server.")
    rehearsal_port: Port = Field(default=8188, description="Port of the rehearsal server.")
    rehearsal_step_seconds: float = Field(
        default=0.05, ge=0, description="Seconds the rehearsal server takes for a sampler step."
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name:
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError):
                raise ValueError(f"{name!r} is no IANA time zone such as Asia/Tokyo") from None
        return name

    @field_validator("comfyui_url")
    @classmethod
    def _http_addresses(cls, value: str | None) -> str | None:
        for url in (value or "").split(","):
            if url.strip():
                TypeAdapter(HttpUrl).validate_python(url.strip())
        return value

    @field_validator(
        "home",
        "library_dir",
        "workflows_dir",
        "comfyui_output_dir",
        "sweep_dir",
        "archive_dir",
        "caption_font",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  named by the base class
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Code, environment, running stack: first come, first served."""
        return init_settings, env_settings, RunningStackSource(settings_cls)

    @property
    def library(self) -> Path:
        """Where finished files go."""
        return self.library_dir or self.home / "library"

    @property
    def swept_folder(self) -> Path | None:
        """What sweeps look through; None where no folder of ComfyUI's is in reach."""
        return self.sweep_dir or self.comfyui_output_dir

    @property
    def logs(self) -> Path:
        """Where the parts of the stack and unexpected errors are logged."""
        return self.home / "logs"

    @property
    def comfyui_urls(self) -> tuple[str, ...]:
        """The ComfyUI servers, without a trailing slash; empty when none is set."""
        urls = (url.strip().rstrip("/") for url in (self.comfyui_url or "").split(","))
        return tuple(url for url in urls if url)

    @property
    def zone(self) -> tzinfo:
        """The studio's time zone: dates of folders are dates there."""
        return ZoneInfo(self.timezone) if self.timezone else get_localzone()

    @property
    def zone_name(self) -> str:
        """The zone's IANA name; UTC where the machine has its zone without a name."""
        return str(getattr(self.zone, "key", None) or "UTC")


def load_settings(**given: Any) -> Settings:  # values of any field, by name
    """Settings from the environment.

    Raises:
        ConfigurationError: a variable holds what it may not; the message names it.
    """
    try:
        return Settings(**given)
    except ValidationError as fault:
        first = fault.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        variable = field if field.startswith("PREFECT_") else f"ANIME_{field.upper()}"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigurationError(
            f"{variable} cannot be used: {reason}.", f"Correct or unset {variable}."
        ) from None


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
