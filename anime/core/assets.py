"""A file of the library: what it is, where it comes from, and what its row says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, NamedTuple
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from anime.core.paths import FileKind
from anime.core.png_metadata import FileStamp


class Asset(NamedTuple):
    """What reading a file has shown; sizes in pixels. A still picture has one frame.

    `recipe` is JSON text, and in the file itself unless it `is_told_beside`; `inode` is device and
    number.
    """

    sha256: str
    media_type: str
    kind: FileKind
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    inode: tuple[int, int] = (0, 0)
    recipe: str = "{}"
    stamp: FileStamp | None = None
    is_told_beside: bool = False


class Provenance(BaseModel):
    """What is known of how a file came about, as far as anything is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: UUID | None = None
    project: str | None = Field(default=None, description="Name, as people write it.")
    project_slug: str | None = Field(default=None, description="Its folder in the library.")
    character: str | None = None
    shot: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] | None = Field(
        default=None, description="Decimal text: readers in other languages round numbers."
    )
    workflow: str | None = Field(default=None, description="Name of the workflow template.")
    source_path: str | None = Field(
        default=None, description="Sub-folder and name in ComfyUI's output."
    )
    created_at: AwareDatetime | None = None
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict, description="What the file's row has in `metadata`."
    )

    @property
    def owner(self) -> str:
        """Whose it is, in a word that can be part of a file name."""
        return str(self.job_id or self.project_slug or "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRow:
    """What the row of a file is to say; it was made and came in now, if nothing else is said.

    `file_type` is image, video or audio, `file_path` absolute. `source_path` is sub-folder and
    name in ComfyUI's output: with the job's id, the file's identity. `metadata` may be JSON text.
    `colours` are those of its thumbnail.
    """

    filename: str
    file_type: str
    file_path: str
    file_size: int
    project_id: UUID | None = None
    job_id: UUID | None = None
    source_path: str | None = None
    sha256: str | None = None
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    thumbnail_path: str | None = None
    colours: str | None = None
    metadata: Mapping[str, JsonValue] | str = field(default_factory=dict)
    created_at: datetime | None = None
    organized_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownAsset:
    """A file that has a row: what this says of where it lies and what is in it."""

    id: int
    path: str
    source_path: str | None = None
    job_id: UUID | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    inode: tuple[int, int] | None = None
    state: str = ""
    organized_at: datetime | None = None
