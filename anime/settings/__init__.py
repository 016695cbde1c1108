"""The one place that reads the environment.

In order of precedence: arguments, the environment (`ANIME_…`), the record of a running stack
(`$ANIME_HOME/run/stack.json`), the defaults below.
"""

from datetime import tzinfo
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AliasChoices,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode
from tzlocal import get_localzone

from anime.core.character_policies import CharacterPolicies, CharacterPolicy
from anime.core.node_classes import NodeClassPolicy
from anime.core.paths import RECORDED_FOLDER, is_recorded
from anime.core.recovery import SilentServerPolicy
from anime.errors import ConfigurationError
from anime.settings.basic import BasicSettings
from anime.settings.secret_references import (
    has_references,
    resolve_reference,
    resolve_setting,
    value_in,
)
from anime.settings.serving import Port, ServingSettings
from anime.settings.upkeep import UpkeepSettings

__all__ = [
    "PROJECT_DIR",
    "SHIPPED_WORKFLOWS",
    "Settings",
    "get_settings",
    "load_settings",
    "resolve_reference",
]

# By what connects, each time: these may change. All others are resolved when they are read.
RESOLVED_LATER = frozenset(
    {
        *("database_url", "prefect_database_url", "redis_url", "comfyui_url"),
        *("prefect_api_auth_string", "api_token", "api_users", "webhook_secret"),
    }
)
_NO_ZONE = (ZoneInfoNotFoundError, ValueError, OSError)  # a folder of zones is an OSError
PROJECT_DIR = Path(__file__).resolve().parents[2]
SHIPPED_WORKFLOWS = PROJECT_DIR / "workflows"


class Settings(ServingSettings, UpkeepSettings, BasicSettings):
    """Every setting, with its unit. Its variable is `ANIME_` and the name in capitals."""

    library_dir: Path | None = Field(
        default=None, description="Where finished files go; `library` in the data folder if unset."
    )
    workflows_dir: Path | None = Field(
        default=None,
        description="Folder of workflows of your own, beside the shipped ones; `workflows` in the "
        "data folder if unset.",
    )
    timezone: str | None = Field(
        default=None, description="IANA name of the studio's time zone; the machine's if unset."
    )

    comfyui_url: str | None = Field(
        default=None,
        description="ComfyUI servers, comma-separated; if unset, the rehearsal server.",
    )
    comfyui_headers: dict[str, SecretStr] | None = Field(
        default=None,
        description="HTTP headers for the servers of ANIME_COMFYUI_URL, as JSON by name; a value "
        "may be a reference env:NAME.",
    )
    comfyui_ca_file: Path | None = Field(
        default=None, description="Certificates of who has signed those of the servers, in PEM."
    )
    comfyui_client_cert: Path | None = Field(
        default=None, description="Our certificate for servers that ask for one, in PEM."
    )
    comfyui_client_key: Path | None = Field(
        default=None, description="Its key, if that is not in the same file."
    )
    comfyui_output_dir: Path | None = Field(
        default=None, description="ComfyUI's output folder, if it can be read from here."
    )
    comfyui_wait_seconds: float = Field(
        default=120, gt=0, description="How long to wait for a server that does not answer."
    )
    canary_seconds: float = Field(
        default=900,
        ge=0,
        description="A ComfyUI server that has rendered nothing for so long is sent a tiny prompt, "
        "to see whether it renders; 0 for never.",
    )
    silent_server_policy: SilentServerPolicy = Field(
        default="fail",
        description="What becomes of a job whose server has not answered for "
        "ANIME_COMFYUI_WAIT_SECONDS, but may still render it: it fails, or moves to another one.",
    )
    stall_timeout_seconds: float = Field(
        default=600,
        gt=0,
        description="A render fails when it stops for so long between two steps of a node, or "
        "waits for so long while nothing runs.",
    )
    silence_timeout_seconds: float = Field(
        default=21600,
        gt=0,
        description="How long a render may run without known progress: its node counts no steps, "
        "or there is no WebSocket.",
    )
    poll_seconds: float = Field(
        default=1.0,
        gt=0,
        description="Seconds between two reads of /history while a prompt renders.",
    )
    allowed_node_classes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Patterns of the only node classes that graphs may use, comma-separated, "
        "such as `Load*`; all if unset.",
    )
    denied_node_classes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Patterns of node classes that graphs may not use, even if they are allowed.",
    )
    default_model: str | None = Field(
        default=None,
        description="Model for requests that name none, if the server lacks the workflow's.",
    )
    unshown_characters: CharacterPolicy = Field(
        default=CharacterPolicy.WARNING,
        description="error or warning: what becomes of a request with a character that its "
        "workflow cannot show.",
    )
    draft_characters: CharacterPolicy = Field(
        default=CharacterPolicy.WARNING,
        description="error or warning: what becomes of a request with a character of whom no "
        "version is canonical.",
    )
    min_vram_mb: int = Field(
        default=8000,
        ge=0,
        description="VRAM in MB that a workflow needs if neither it nor the request says.",
    )
    vram_wait_seconds: float = Field(
        default=300, ge=0, description="How long to wait for free VRAM."
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="How often a prompt is submitted in all when the server loses it or a person "
        "stops it there.",
    )
    max_server_deaths: int = Field(
        default=3,
        ge=1,
        description="So often a server may die while it renders one prompt; then the prompt is "
        "quarantined. Twice at one point of it suffices.",
    )
    min_free_disk_mb: int = Field(
        default=1024,
        ge=0,
        description="No new render begins while the library's or ComfyUI's disk has fewer MB free; "
        "0: never mind.",
    )
    lease_seconds: float = Field(
        default=20, ge=5, description="Seconds after which a run without heartbeat loses its job."
    )
    in_flight: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Slots of a ComfyUI server: one prompt runs, the others wait.",
    )

    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL; if unset, the one that `anime up` starts."
    )
    prefect_database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL for Prefect's own tables; if unset, NAME_prefect beside ours.",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="Redis or Valkey; if unset, the one that `anime up` starts."
    )
    prefect_api_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("PREFECT_API_URL", "prefect_api_url"),
        description="A Prefect server of your own; if unset, the one that `anime up` starts.",
    )
    prefect_api_auth_string: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PREFECT_API_AUTH_STRING", "prefect_api_auth_string"),
        description="user:password of that Prefect server.",
    )

    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "ANIME_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"
        ),
        description="Where traces go, by OTLP over HTTP, such as http://localhost:4318; if unset, "
        "there are none.",
    )
    trace_prompts: bool = Field(
        default=False,
        description="Whether spans may hold prompts, names of runs and what errors say.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How API, worker and `anime intake` write their logs."
    )

    work_pool: str = Field(default="anime", description="Prefect work pool of the deployments.")
    worker_type: Literal["anime-warm", "process"] = Field(
        default="anime-warm",
        description="How runs are executed: in one warm process, or each in a process of its own.",
    )
    worker_limit: int = Field(
        default=4,
        ge=1,
        description="Interactive runs, and as many of batches, that one worker has at a time.",
    )
    worker_grace_seconds: float = Field(
        default=10,
        ge=0,
        description="Seconds for which runs may go on when their warm worker stops.",
    )
    worker_max_runs: int | None = Field(
        default=None,
        ge=1,
        description="Runs after which a warm worker restarts.",
    )
    worker_max_mb: int | None = Field(
        default=None, ge=256, description="Memory in MB at which a warm worker restarts."
    )

    prefect_host: str = Field(
        default="127.0.0.1",
        description="Address that our Prefect server listens on: another one only in a network of "
        "your own, such as that of containers.",
    )
    prefect_port: Port = Field(default=4200, description="Port of the embedded Prefect server.")
    rehearsal_port: Port = Field(default=8188, description="Port of the rehearsal server.")
    rehearsal_step_seconds: float = Field(
        default=0.05,
        ge=0,
        description="Seconds that the rehearsal server takes for a sampler step.",
    )
    rehearsal_profile: Literal["0.33", "0.3.64"] = Field(
        default="0.33", description="The ComfyUI that the rehearsal server answers as."
    )
    rehearsal_servers: int = Field(
        default=1, ge=1, le=64, description="How many rehearsal servers `anime up` starts."
    )
    rehearsal_shared_output: bool = Field(
        default=False, description="All rehearsal servers write into one output folder."
    )
    rehearsal_faults: str = Field(
        default="",
        description="Errors that the rehearsal servers simulate, comma-separated; `2:lose-history` "
        "is of the second server only.",
    )
    rehearsal_log: Path | None = Field(
        default=None,
        description="File that gets a line for each prompt that the rehearsal servers end.",
    )
    rehearsal_models: str = Field(
        default="",
        description="Models that the rehearsal server has, too, as FOLDER/NAME, comma-separated.",
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve_what_no_connection_does(cls, values: dict[str, object]) -> dict[str, object]:
        resolved = {
            name: _resolved_at_once(name, value)
            for name, value in values.items()
            if isinstance(value, str) and name.lower() not in {*RESOLVED_LATER, "home"}
        }
        return values | resolved

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name and not _is_zone(name):
            raise ValueError(f"{name!r} is no IANA time zone such as Asia/Tokyo")
        return name

    @field_validator(
        *("allowed_node_classes", "denied_node_classes", "sweep_ignore", "rejection_reasons"),
        mode="before",
    )
    @classmethod
    def _patterns_from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _http_address(cls, value: str | None) -> str | None:
        try:
            return None if value is None else str(TypeAdapter(HttpUrl).validate_python(value))
        except ValidationError:
            shown = "it" if "@" in str(value) else repr(value)  # it may have a login
            raise ValueError(
                f"{shown}, perhaps that of OTEL_EXPORTER_OTLP_ENDPOINT, is no address such as "
                "http://localhost:4318"
            ) from None

    @field_validator("comfyui_url")
    @classmethod
    def _http_addresses(cls, value: str | None) -> str | None:
        for url in (value or "").split(","):
            if url.strip() and not has_references(url.strip()):
                TypeAdapter(HttpUrl).validate_python(url.strip())
        return value

    @field_validator(
        "library_dir",
        "workflows_dir",
        *("comfyui_output_dir", "comfyui_ca_file", "comfyui_client_cert", "comfyui_client_key"),
        "sweep_dir",
        "archive_dir",
        "backup_dir",
        "caption_font",
        "rehearsal_log",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @property
    def library(self) -> Path:
        """Where finished files go."""
        return self.library_dir or self.home / "library"

    @property
    def own_workflows(self) -> Path:
        """Folder of the studio's own workflows; need not be there while nothing names it."""
        return self.workflows_dir or self.home / "workflows"

    @property
    def workflow_folders(self) -> tuple[Path, ...]:
        """Where workflows are looked for; the first folder that has a name counts."""
        own = self.own_workflows
        is_expected = self.workflows_dir is not None or own.is_dir()
        return (own, SHIPPED_WORKFLOWS) if is_expected else (SHIPPED_WORKFLOWS,)

    def folders_of_workflow(self, name: str, library: Path | None = None) -> tuple[Path, ...]:
        """Where the workflow of that name is looked for; recorded graphs lie in the library."""
        if is_recorded(name):
            return ((library or self.library) / RECORDED_FOLDER,)
        return self.workflow_folders

    @property
    def swept_folder(self) -> Path | None:
        """The folder that is swept; None if no folder of ComfyUI's can be read from here."""
        return self.sweep_dir or self.comfyui_output_dir

    @property
    def folders_of_comfyui(self) -> tuple[Path, ...]:
        """The folders in which sources of files may lie, as far as they can be read from here."""
        return tuple(
            dict.fromkeys(each for each in (self.comfyui_output_dir, self.sweep_dir) if each)
        )

    @property
    def logs(self) -> Path:
        """Where the parts of the stack and unexpected errors are logged."""
        return self.home / "logs"

    @property
    def comfyui_urls(self) -> tuple[str, ...]:
        """The ComfyUI servers, without a trailing slash; empty when none is set.

        Each has the login that its references stand for now.
        """
        return tuple(resolve_reference(text).rstrip("/") for text in self.comfyui_texts)

    @property
    def comfyui_texts(self) -> tuple[str, ...]:
        """The same as they are set, with their references."""
        texts = (text.strip().rstrip("/") for text in (self.comfyui_url or "").split(","))
        return tuple(text for text in texts if text)

    @property
    def node_class_policy(self) -> NodeClassPolicy:
        """Which node classes graphs may use."""
        return NodeClassPolicy(allowed=self.allowed_node_classes, denied=self.denied_node_classes)

    @property
    def character_policies(self) -> CharacterPolicies:
        """What becomes of characters that cannot be drawn as they should be."""
        return CharacterPolicies(unshown=self.unshown_characters, draft=self.draft_characters)

    @property
    def zone(self) -> tzinfo:
        """The studio's time zone, which decides the dates of folders.

        Raises:
            ConfigurationError: none is set, and the machine's cannot be read.
        """
        if self.timezone:
            return ZoneInfo(self.timezone)
        try:
            return get_localzone()
        except _NO_ZONE as fault:
            raise ConfigurationError(
                "The machine's time zone, from TZ or /etc, is no IANA zone such as Asia/Tokyo.",
                "Set ANIME_TIMEZONE to one.",
            ) from fault

    @property
    def zone_name(self) -> str:
        """The zone's IANA name; UTC if the machine's zone has no name."""
        name = str(getattr(self.zone, "key", None))
        return name if _is_zone(name) else "UTC"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except _NO_ZONE:
        return False
    return True


def _resolved_at_once(name: str, text: str) -> object:
    found = resolve_setting(name if name.isupper() else f"ANIME_{name.upper()}", text)
    return value_in(found) if name == "comfyui_headers" else found


def load_settings(**given: Any) -> Settings:  # values of any field, by name
    """Settings from the environment.

    Raises:
        ConfigurationError: a variable has an invalid value; the message names it.
    """
    try:
        return Settings(**given)
    except ValidationError as fault:
        first = fault.errors()[0]
        parts = 2 if first["loc"][:1] == ("vault",) else 1  # parts of others are no variables
        field = "_".join(map(str, first["loc"][:parts])) or "settings"
        variable = field if field.isupper() else f"ANIME_{field.upper()}"  # an alias, or our name
        if field == "vault":  # its parts are variables of their own
            variable = "ANIME_VAULT_…"
        is_missing = first["type"] == "missing"  # of what belongs together
        told = "it has to be set, too" if is_missing else str(first["msg"])
        reason = told.removeprefix("Value error, ")
        raise ConfigurationError(
            f"{variable} cannot be used: {reason}.", f"Correct or unset {variable}."
        ) from None


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
