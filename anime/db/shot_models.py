"""The tables of shots, takes and reviews, beside those of anime/db/models.py."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from anime.core.takes import ReviewAction, Verdict
from anime.db.models import UnsignedBigInteger, words
from anime.db.server_models import Base

__all__ = ["Base", "Review", "Shot", "Take"]


class Shot(Base):
    """A shot of a project. Its takes are the jobs of the project that name its code.

    `code_key` is the code as it is compared; `sort_key` sorts, byte by byte, as people count.
    """

    __tablename__ = "shots"
    __table_args__ = (
        CheckConstraint("seed BETWEEN 0 AND 18446744073709551615", name="seed"),
        CheckConstraint("frames >= 1", name="frames"),
        CheckConstraint("frames IS NULL OR seconds IS NULL", name="length"),
        Index("shots_project_id_code_key_key", "project_id", "code_key", unique=True),
        Index("shots_project_id_sort_key_idx", "project_id", "sort_key", "code_key"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    code: Mapped[str]
    code_key: Mapped[str] = mapped_column(Text(collation="C"))
    sort_key: Mapped[str] = mapped_column(Text(collation="C"))
    episode: Mapped[str | None]
    scene: Mapped[str | None]
    description: Mapped[str] = mapped_column(server_default="")
    characters: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    prompt: Mapped[str | None]
    negative_prompt: Mapped[str | None]
    workflow: Mapped[str | None]
    model: Mapped[str | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    frames: Mapped[int | None]
    seconds: Mapped[float | None]
    seed: Mapped[int | None] = mapped_column(UnsignedBigInteger)
    notes: Mapped[str] = mapped_column(server_default="")
    status: Mapped[str | None]
    takes_given: Mapped[int] = mapped_column(server_default=text("0"))  # numbers, so far
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Take(Base):
    """A file of a shot, by its number, and what reviews have left it as."""

    __tablename__ = "takes"
    __table_args__ = (
        Index("takes_shot_id_key", "shot_id", unique=True, postgresql_where=text("is_picked")),
        CheckConstraint("number >= 1", name="number"),
    )

    shot_id: Mapped[UUID] = mapped_column(ForeignKey("shots.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    file_id: Mapped[int] = mapped_column(unique=True)
    job_id: Mapped[UUID]
    verdict: Mapped[Verdict | None] = mapped_column(words(Verdict, "verdict"))
    is_picked: Mapped[bool] = mapped_column(server_default=text("false"))
    reason: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")
    reviewed_by: Mapped[str | None]
    reviewed_at: Mapped[datetime | None]
    retake_job_id: Mapped[UUID | None]  # that renders another one, as this one is rejected


class Review(Base):
    """What somebody has said of a take. Rows stay; an undone one says so.

    `changes` has the states before it of the takes that it changed, by number.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        ForeignKeyConstraint(["shot_id", "number"], ["takes.shot_id", "takes.number"]),
        Index("reviews_shot_id_number_idx", "shot_id", "number", "id"),
        CheckConstraint("(point_x IS NULL) = (point_y IS NULL)", name="point"),
        CheckConstraint("point_x BETWEEN 0 AND 1 AND point_y BETWEEN 0 AND 1", name="point_range"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    shot_id: Mapped[UUID]
    number: Mapped[int]
    action: Mapped[ReviewAction] = mapped_column(words(ReviewAction, "action"))
    reason: Mapped[str | None]
    note: Mapped[str | None]
    point_x: Mapped[float | None]  # where in the picture the note is about, 0 to 1
    point_y: Mapped[float | None]
    reviewed_by: Mapped[str]
    reviewed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    changes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    is_undone: Mapped[bool] = mapped_column(server_default=text("false"))
