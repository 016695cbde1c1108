"""The tables of ComfyUI servers, of what was sent to them, and of jobs' timelines."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from anime.core.server_health import ServerHealth
from anime.core.timeline import TimelineKind
from anime.db.counter_models import Base
from anime.db.models import words

__all__ = ["Base", "JobEvent", "Pause", "RegisteredServer", "RenderCost", "SentPrompt"]


class RegisteredServer(Base):
    """A ComfyUI server that the studio knows.

    `url` is its canonical address without a login: one server, however people spell it.
    `fingerprint` has its version, devices, packages and features, `offers` the names of its
    models by folder; both are empty until it has answered. `is_drained`: it finishes what it
    has and is given nothing more, until somebody resumes it.
    """

    __tablename__ = "comfyui_servers"

    url: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    labels: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    from_settings: Mapped[bool] = mapped_column(server_default=text("false"))
    is_drained: Mapped[bool] = mapped_column(server_default=text("false"))
    health: Mapped[ServerHealth] = mapped_column(
        words(ServerHealth, "health"), server_default=ServerHealth.UNKNOWN.value
    )
    health_reason: Mapped[str] = mapped_column(server_default="")
    health_since: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    last_seen_at: Mapped[datetime | None]  # its last answer
    checked_at: Mapped[datetime | None]  # the last look at it, answered or not
    fingerprint: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    offers: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    loaded_model: Mapped[str | None]  # of the last prompt that it was given


class SentPrompt(Base):
    """A prompt that may be at a server. `settled_at`: it is known that it no longer is.

    `client_id`: which WebSocket client hears of it; None for prompts of releases before that.
    Written before it is sent. When a server returns, what it still has and a job no longer waits
    for is cancelled there.
    """

    __tablename__ = "sent_prompts"
    __table_args__ = (
        Index(None, "server", postgresql_where=text("settled_at IS NULL")),
        Index(None, "job_id"),
    )

    prompt_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID]
    server: Mapped[str]
    attempt: Mapped[int]
    sent_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    settled_at: Mapped[datetime | None]
    client_id: Mapped[str | None]


class RenderCost(Base):
    """What renders of a workflow with a model, in a size and with so many steps, have cost.

    `size` is WIDTHxHEIGHTxFRAMES; `steps` are those of all samplers, 0 where they were not told
    apart. The means give new renders more weight than old ones.
    """

    __tablename__ = "render_costs"
    __table_args__ = (CheckConstraint("renders > 0", name="renders"),)

    workflow: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[str] = mapped_column(primary_key=True)
    steps: Mapped[int] = mapped_column(primary_key=True, server_default=text("0"))
    server: Mapped[str] = mapped_column(primary_key=True)
    renders: Mapped[int]
    mean_seconds: Mapped[float]
    load_seconds: Mapped[float | None]  # how much longer it takes while the model is not loaded
    peak_vram_mb: Mapped[int | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Pause(Base):
    """No new render begins within that scope: `all`, `project:SLUG` or `server:URL`."""

    __tablename__ = "pauses"

    scope: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    is_automatic: Mapped[bool] = mapped_column(server_default=text("false"))
    since: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class JobEvent(Base):
    """An entry in a job's timeline: one sentence on what happened, and why."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    kind: Mapped[TimelineKind] = mapped_column(words(TimelineKind, "kind"))
    message: Mapped[str]
