"""Whose a file is: what it says of itself first, then what lies around it, then its name.

Files and sidecars may be foreign, forged or damaged. So what they say only ever chooses a
folder by slug and a job's id for the row; no job is made, changed or completed because of it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
)

from anime.core.paths import owner_of, slug_of, slugs_of
from anime.core.png_metadata import FileStamp
from anime.schemas import MAX_NAME_CHARS, MAX_PROMPT_CHARS

SIDECAR = "job_metadata.json"  # older services wrote one into a job's folder
MAX_SIDECAR_BYTES = 1024 * 1024
_NESTED = ("job", "metadata", "params", "parameters", "request")  # where older services put more
_UUID = re.compile(r"(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])")
_MAX_SLUG_WORDS = 12


class Evidence(StrEnum):
    """What says whose a file is, the strongest first."""

    STAMP = "stamp"  # our chunk within the file
    PATH = "path"  # the job's folder or file name prefix
    SIDECAR = "sidecar"  # a job_metadata.json beside it
    NAME = "name"  # a project's UUID or slug in its path
    NONE = "none"


def _text_of(limit: int) -> BeforeValidator:
    """Numbers become text, and what cannot be kept nothing: one bad field spoils no other."""

    def read(value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        shown = str(value).replace("\x00", "").encode(errors="ignore").decode()[:limit].strip()
        return shown or None

    return BeforeValidator(read)


def _uuid_or_none(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


_Name = Annotated[str | None, _text_of(MAX_NAME_CHARS)]
_Text = Annotated[str | None, _text_of(MAX_PROMPT_CHARS)]
_Id = Annotated[UUID | None, BeforeValidator(_uuid_or_none)]


class Sidecar(BaseModel):
    """What a `job_metadata.json` says, in whichever of the old spellings."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: _Id = Field(None, validation_alias=AliasChoices("job_id", "generation_id", "id"))
    project_id: _Id = None
    project: _Name = Field(
        None, validation_alias=AliasChoices("project", "project_name", "project_slug")
    )
    character: _Name = Field(None, validation_alias=AliasChoices("character", "character_name"))
    shot: _Name = Field(None, validation_alias=AliasChoices("shot", "shot_id"))
    prompt: _Text = Field(None, validation_alias=AliasChoices("prompt", "positive_prompt"))
    negative_prompt: _Text = None
    seed: _Name = None
    workflow: _Name = Field(None, validation_alias=AliasChoices("workflow", "workflow_name"))


@dataclass(frozen=True, slots=True)
class KnownProject:
    """A project that has a row."""

    id: UUID
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that has a row.

    `is_live`: a run has it, or will take it. `has_all`: it was completed, and what is its own has
    been recorded by its run.
    """

    id: UUID
    project: KnownProject | None
    is_live: bool
    has_all: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of those whom a file may belong to."""

    projects: Mapping[UUID, KnownProject] = field(default_factory=dict)
    jobs: Mapping[UUID, KnownJob] = field(default_factory=dict)
    slugs: Mapping[str, KnownProject] = field(default_factory=dict)

    @classmethod
    def of(cls, projects: list[KnownProject], jobs: list[KnownJob]) -> "Known":
        """The same, found by id, and by slug or the slug of the name."""
        return cls(
            projects={project.id: project for project in projects},
            jobs={job.id: job for job in jobs},
            slugs={slug_of(project.name): project for project in projects}
            | {project.slug: project for project in projects},
        )

    def named(self, name: str) -> KnownProject | None:
        """The project of that name or slug."""
        return next((self.slugs[slug] for slug in slugs_of(name) if slug in self.slugs), None)


@dataclass(frozen=True, slots=True)
class Claims:
    """All that speaks of a file's owner. `path` is relative to the swept folder."""

    path: str
    stamp: FileStamp | None = None
    sidecar: Sidecar | None = None

    def job(self) -> tuple[UUID | None, Evidence]:
        """The job it is said to be of, and what says so."""
        if self.stamp is not None:
            return self.stamp.job_id, Evidence.STAMP
        if (job_id := owner_of(self.path)) is not None:
            return job_id, Evidence.PATH
        if self.sidecar is not None and self.sidecar.job_id is not None:
            return self.sidecar.job_id, Evidence.SIDECAR
        return None, Evidence.NONE


@dataclass(frozen=True, slots=True)
class AssetOwner:
    """Whose a file is. `project` is a name; of one without a row, it is still to be made."""

    job_id: UUID | None = None
    project: str | None = None
    evidence: Evidence = Evidence.NONE

    @property
    def slug(self) -> str | None:
        """The project's folder in the library."""
        return slug_of(self.project) if self.project else None


def owner_among(claims: Claims, known: Known) -> AssetOwner:
    """Whose the file is.

    A job that has a row says itself which project it belongs to; of any other, the file's own
    word counts before the sidecar's, and that before its name. What a completed job has not
    recorded is its project's alone: of an attempt that another one has overtaken, of a node that
    saves no take, or of somebody who has queued its graph again.

    >>> owner_among(Claims("a/b.png"), Known()).evidence.value
    'none'
    """
    job_id, by = claims.job()
    if job_id is not None and (job := known.jobs.get(job_id)) is not None:
        own = None if job.has_all else job_id
        return AssetOwner(own, job.project.slug if job.project else None, by)
    project, found_by = _project_of(claims, known)
    if project is not None and (row := known.named(project)) is not None:
        project = project if slug_of(project) == row.slug else row.slug  # of the form NFD
    return AssetOwner(job_id, project, found_by if job_id is None else by)


def read_sidecar(text: bytes) -> Sidecar | None:
    """What the JSON says; None when it says nothing that can be read. Never raises."""
    try:
        content = json.loads(text)
        return Sidecar.model_validate(_flattened(content))
    except (ValueError, RecursionError):  # ValidationError and JSONDecodeError are ValueErrors
        return None


def _flattened(content: JsonValue) -> dict[str, JsonValue]:
    """The outer fields, and those of the known inner objects that the outer lack."""
    if not isinstance(content, dict):
        return {}
    fields: dict[str, JsonValue] = dict(content)
    for name in _NESTED:
        inner = content.get(name)
        if isinstance(inner, dict):
            fields = inner | fields
    return fields


def _project_of(claims: Claims, known: Known) -> tuple[str | None, Evidence]:
    """Name or slug of the project of a file whose job has no row."""
    if claims.stamp is not None and claims.stamp.project:
        return claims.stamp.project, Evidence.STAMP
    if claims.sidecar is not None:
        of_id = known.projects.get(claims.sidecar.project_id) if claims.sidecar.project_id else None
        if of_id is not None:
            return of_id.slug, Evidence.SIDECAR
        if claims.sidecar.project:
            return claims.sidecar.project, Evidence.SIDECAR
    named = _named_in(claims.path, known)
    return (named.slug, Evidence.NAME) if named else (None, Evidence.NONE)


def _named_in(path: str, known: Known) -> KnownProject | None:
    """The project whose UUID is in the path, or whose slug is a folder or begins the name."""
    for uuid in _UUID.findall(path.lower()):
        if (project := known.projects.get(UUID(uuid))) is not None:
            return project
    if not known.slugs:
        return None
    *folders, name = path.split("/")
    for folder in reversed(folders):
        if (project := known.named(folder)) is not None:
            return project
    words = re.split(r"[^a-z0-9]+", name.lower())[:_MAX_SLUG_WORDS]
    starts = ("-".join(words[:count]) for count in range(len(words), 0, -1))
    return next((known.slugs[start] for start in starts if start in known.slugs), None)
