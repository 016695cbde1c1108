"""The table of shots, beside those of anime/db/models.py."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from anime.db.models import UnsignedBigInteger
from anime.db.server_models import Base

__all__ = ["Base", "Shot"]


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
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
