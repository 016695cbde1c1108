"""The one place that reads the environment.

Order: what the code passes, the environment (`ANIME_…`), the record of a running stack
(`$ANIME_HOME/run/stack.json`), the defaults below.
"""

import ipaddress
import os
from collections.abc import Iterator
from datetime import tzinfo
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
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
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from tzlocal import get_localzone

from anime.core.sweep_plan import Mode
from anime.errors import ConfigurationError
from anime.stack_record import read_record
from anime.upkeep_settings import UpkeepSettings

PROJECT_DIR = Path(__file__).resolve().parents[1]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(UpkeepSettings, BaseSettings):
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
    sweep_dir: Path | None = Field(
        default=None, description="Folder that sweeps look through; ComfyUI's output if unset."
    )
    sweep_mode: Mode = Field(
        default=Mode.LINK, description="How swept files come into the library: link, copy or move."
    )
    sweep_settle_seconds: float = Field(
        default=5, ge=0, description="Seconds for which a file has to rest before it is swept."
    )
    comfyui_wait_seconds: float = Field(
        default=120, gt=0, description="How long to wait for a server that does not answer."
    )
    stall_timeout_seconds: float = Field(
        default=600, gt=0, description="A render without any progress for so long has failed."
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
        default=3, ge=1, description="How often a prompt the server lost is sent in all."
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

    api_host: str = Field(
        default="127.0.0.1",
        description="Address the API listens on; any but a loopback one needs a token.",
    )
    api_ports: Annotated[tuple[Port, ...], NoDecode] = Field(
        default=(8328, 8330), min_length=1, description="Ports of the API; 0 takes a free one."
    )
    ws_port: Port = Field(
        default=8765,
        description="Port where clients of old find the WebSocket; 0 takes a free one.",
    )
    ws_url: str | None = Field(
        default=None, description="The WebSocket's address as clients reach it."
    )
    api_token: SecretStr | None = Field(
        default=None,
        description="Tokens that open the API, comma-separated; each may be a reference env:NAME.",
    )
    api_cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins whose pages may use the API, comma-separated."
    )
    api_max_body_bytes: int = Field(
        default=2**20, ge=1024, description="Bytes that the body of a request may have."
    )
    public_url: str | None = Field(
        default=None, description="The API's address as browsers reach it; used in Prefect's pages."
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Signs webhooks: whsec_ and base64 of 24 to 64 bytes; unset, none are sent.",
    )
    webhook_allow_private: bool = Field(
        default=False, description="Whether webhooks may go to addresses of a private network."
    )
    prefect_port: Port = Field(default=4200, description="Port of the embedded Prefect server.")
    rehearsal_port: Port = Field(default=8188, description="Port of the rehearsal server.")
    rehearsal_step_seconds: float = Field(
        default=0.05, ge=0, description="Seconds the rehearsal server takes for a sampler step."
    )

    keep_runs_days: int = Field(
        default=14, ge=1, description="Days after which Prefect's runs, logs and artifacts go."
    )
    keep_webhooks_days: int = Field(
        default=30, ge=2, description="Days after which what became of a webhook is forgotten."
    )
    queue_limit: int = Field(
        default=1000,
        ge=1,
        description="Jobs that may wait for their turn, those of batches aside; more are refused.",
    )
    takes_old_queue: bool = Field(
        default=True,
        description="Whether the API also takes jobs from Redis; false when `anime intake` does.",
    )

    work_pool: str = Field(default="anime", description="Prefect work pool of the deployments.")
    worker_type: Literal["anime-warm", "process"] = Field(
        default="anime-warm",
        description="How runs are run: in one warm process, or each in a process of its own.",
    )
    worker_limit: int = Field(default=4, ge=1, description="Generations one worker runs at a time.")
    worker_grace_seconds: float = Field(
        default=10, ge=0, description="How long runs may go on when their warm worker stops."
    )
    worker_max_runs: int | None = Field(
        default=None,
        ge=1,
        description="Runs after which a warm worker begins anew.",
    )
    worker_max_mb: int | None = Field(
        default=None, ge=256, description="Memory in MB at which a warm worker begins anew."
    )

    @field_validator("api_ports", mode="before")
    @classmethod
    def _ports_from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("api_cors_origins", mode="before")
    @classmethod
    def _origins_from_text(cls, value: object) -> object:
        return tuple(_origins_in(value)) if isinstance(value, str) else value

    @field_validator("api_host")
    @classmethod
    def _address_of_ours(cls, host: str) -> str:
        if host != "localhost":
            ipaddress.ip_address(host)
        return host

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
    def api_urls(self) -> tuple[str, ...]:
        """The API's addresses, by port, as this machine reaches them."""
        # What listens on every address is reached on loopback, too.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.api_host, self.api_host)  # noqa: S104
        authority = f"[{host}]" if ":" in host else host
        return tuple(f"http://{authority}:{port}" for port in self.api_ports)

    @property
    def browser_url(self) -> str:
        """The API's address as a browser reaches it, without a trailing slash."""
        return (self.public_url or self.api_urls[-1]).rstrip("/")


def _origins_in(text: str) -> Iterator[str]:
    """Each origin in a comma-separated list, as browsers write it."""
    for part in filter(None, (each.strip().rstrip("/").lower() for each in text.split(","))):
        url = urlsplit(part)
        if url.scheme not in {"http", "https"} or part != f"{url.scheme}://{url.netloc}":
            raise ValueError(f"{part!r} is no origin such as https://studio.example:3000")
        yield part


class RunningStackSource(PydanticBaseSettingsSource):
    """What the stack that runs at `home` wrote down: its database, Redis, ComfyUI, Prefect."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface; the whole record is read at once instead."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The record's values by field name; empty when no stack runs there."""
        home = self.current_state.get("home") or platformdirs.user_data_path("anime-production")
        record = read_record(Path(home).expanduser().absolute())
        return dict(record.settings) if record else {}


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


def resolve_reference(text: str) -> str:
    """The value a setting stands for: `env:NAME` is that variable, anything else is itself.

    Raises:
        ConfigurationError: the variable is not set.
    """
    scheme, _, name = text.partition(":")
    if scheme != "env":
        return text
    if name not in os.environ:
        raise ConfigurationError(
            f"{text} refers to the variable {name}, which is not set here.",
            f"Set {name} for this process.",
        )
    return os.environ[name]


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
