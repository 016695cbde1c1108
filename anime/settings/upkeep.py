"""Settings of what keeps the library in order: sweeps, watching, retention, sheets."""

from pathlib import Path

from pydantic import BaseModel, Field

from anime.core.sweep_plan import Mode


class UpkeepSettings(BaseModel):
    """Part of the settings; `anime.settings` reads them. Watching and retention are off first."""

    sweep_dir: Path | None = Field(
        default=None, description="Folder that sweeps look through; ComfyUI's output if unset."
    )
    sweep_mode: Mode = Field(
        default=Mode.LINK, description="How swept files come into the library: link, copy or move."
    )
    sweep_settle_seconds: float = Field(
        default=5, ge=0, description="Seconds for which a file has to rest before it is swept."
    )
    watch: bool = Field(
        default=False, description="Whether a warm worker has new files swept within seconds."
    )
    watch_polling: bool | None = Field(
        default=None,
        description="Whether to look again and again instead; the file system decides if unset.",
    )
    watch_seconds: float = Field(
        default=5, ge=1, le=3600, description="In so many seconds at most one sweep is ordered."
    )

    keep_runs_days: int = Field(
        default=14, ge=1, description="Days after which Prefect's runs, logs and artifacts go."
    )
    keep_webhooks_days: int = Field(
        default=30, ge=2, description="Days after which what became of a webhook is forgotten."
    )
    keep_thumbnails_days: int = Field(
        default=0, ge=0, description="Days after which a thumbnail nobody asked for goes; 0 never."
    )
    keep_quarantine_days: int = Field(
        default=0, ge=0, description="Days after which what is in quarantine goes; 0 never."
    )
    keep_rejected_days: int = Field(
        default=0, ge=0, description="Days after which rejected takes are archived; 0 never."
    )
    archive_dir: Path | None = Field(
        default=None, description="Where rejected takes go; an absolute path on any disk."
    )

    caption_font: Path | None = Field(
        default=None, description="Font file for captions in a writing such as 日本語."
    )
