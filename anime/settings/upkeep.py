"""Settings of sweeps, watching, retention and contact sheets."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field
from pydantic_settings import NoDecode

from anime.core.sweep_plan import Mode


class UpkeepSettings(BaseModel):
    """Part of the settings; `anime.settings` reads them."""

    sweep_dir: Path | None = Field(
        default=None, description="Folder to sweep; ComfyUI's output folder if unset."
    )
    sweep_mode: Mode = Field(
        default=Mode.LINK, description="How swept files come into the library: link, copy or move."
    )
    sweep_settle_seconds: float = Field(
        default=5,
        ge=0,
        description="Seconds for which a file must be unchanged before it is swept.",
    )
    sweep_ignore: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Patterns of files and folders that sweeps and watching pass over, "
        "comma-separated, such as `*_preview.*`, beside what shares leave behind (`@eaDir` …).",
    )
    watch: bool = Field(
        default=False, description="Whether a warm worker sweeps new files within seconds."
    )
    watch_polling: bool | None = Field(
        default=None,
        description="Whether to watch by polling; if unset, the file system decides.",
    )
    watch_seconds: float = Field(
        default=5,
        ge=1,
        le=3600,
        description="Watching starts at most one sweep in so many seconds.",
    )

    keep_runs_days: int = Field(
        default=14,
        ge=1,
        description="Days after which Prefect's runs, logs and artifacts are deleted.",
    )
    keep_webhooks_days: int = Field(
        default=30, ge=2, description="Days after which ended webhook deliveries are deleted."
    )
    keep_thumbnails_days: int = Field(
        default=0, ge=0, description="Days after which an unused thumbnail is removed; 0: never."
    )
    keep_quarantine_days: int = Field(
        default=0, ge=0, description="Days after which quarantined files are removed; 0: never."
    )
    keep_rejected_days: int = Field(
        default=0, ge=0, description="Days after which rejected files are archived; 0: never."
    )
    archive_dir: Path | None = Field(
        default=None, description="Archive for rejected files; an absolute path on any disk."
    )

    backup_dir: Path | None = Field(
        default=None,
        description="Folder for backups, best on another disk; if unset, none are made at night.",
    )
    keep_backups: int = Field(
        default=14, ge=1, description="How many backups are kept; older ones are removed."
    )

    rejection_reasons: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Why takes may be rejected, comma-separated, such as `hands,off model`; "
        "any reason if unset.",
    )
    max_retakes: int = Field(
        default=3, ge=1, le=100, description="How many retakes a shot may have by rejections."
    )

    caption_font: Path | None = Field(
        default=None, description="Font file for captions in scripts such as 日本語."
    )
