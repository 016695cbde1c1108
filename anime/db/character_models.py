"""The tables of characters and of styles, beside those of anime/db/models.py."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from anime.core.references import ReferenceRole
from anime.db.models import Base, UnsignedBigInteger, words

__all__ = ["Base", "Character", "CharacterVersion", "ReferenceRow", "StyleRow"]


class Character(Base):
    """Somebody who is drawn again and again, in one project or in any."""

    __tablename__ = "characters"
    __table_args__ = (
        # Two indexes, as NULLs are all different to one; NULLS NOT DISTINCT needs PostgreSQL 15.
        Index(
            "characters_project_id_slug_key",
            "project_id",
            "slug",
            unique=True,
            postgresql_where=text("project_id IS NOT NULL"),
        ),
        Index(
            "characters_slug_key",
            "slug",
            unique=True,
            postgresql_where=text("project_id IS NULL"),
        ),
        Index(None, "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id"))
    slug: Mapped[str]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    details: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JSONB, server_default=text("'{}'::jsonb")
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class CharacterVersion(Base):
    """How a character is drawn, as it was decided once. Never changed, only followed by another."""

    __tablename__ = "character_versions"
    __table_args__ = (
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("seed BETWEEN 0 AND 18446744073709551615", name="seed"),
        Index("character_versions_character_id_number_key", "character_id", "number", unique=True),
        Index(
            "character_versions_canonical_key",
            "character_id",
            unique=True,
            postgresql_where=text("is_canonical"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    character_id: Mapped[UUID] = mapped_column(ForeignKey("characters.id"))
    number: Mapped[int]
    prompt: Mapped[str]
    negative_prompt: Mapped[str | None]
    loras: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    seed: Mapped[int | None] = mapped_column(UnsignedBigInteger)
    notes: Mapped[str] = mapped_column(server_default="")
    is_canonical: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    created_by: Mapped[str | None]
    # When and by whom it was last made canonical; it is changed no more since the first time.
    approved_at: Mapped[datetime | None]
    approved_by: Mapped[str | None]


class ReferenceRow(Base):
    """A reference picture of a version, by the hash of its copy. Never changed."""

    __tablename__ = "character_references"
    __table_args__ = (CheckConstraint("position >= 1", name="position"),)

    version_id: Mapped[UUID] = mapped_column(ForeignKey("character_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[ReferenceRole] = mapped_column(words(ReferenceRole, "role"))
    sha256: Mapped[str]
    path: Mapped[str]
    source: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    created_by: Mapped[str]


class StyleRow(Base):
    """One version of a project's style. Never changed, only followed by another."""

    __tablename__ = "project_styles"
    __table_args__ = (CheckConstraint("version >= 1", name="version"),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB)  # a ProjectStyle
    notes: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    created_by: Mapped[str]
