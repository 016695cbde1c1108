"""Settings of who runs the flows."""

from typing import Literal

from pydantic import BaseModel, Field


class WorkingSettings(BaseModel):
    """Part of the settings; `anime.settings` reads them."""

    work_pool: str = Field(default="anime", description="Prefect work pool of the deployments.")
    worker_type: Literal["anime-warm", "process"] = Field(
        default="anime-warm",
        description="How runs are run: in one warm process, or each in a process of its own.",
    )
    worker_limit: int = Field(
        default=4,
        ge=1,
        description="Runs of people, and as many of batches, that one worker has at a time.",
    )
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
