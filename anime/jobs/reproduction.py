"""Rendering a file's recorded graph again, and comparing files."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast
from uuid import UUID

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, JsonValue, model_validator

from anime.assets.inspection.whole_file import describe_foreign
from anime.assets.limited_process import LimitedFunction, ask_kept
from anime.assets.pixel_difference import drawn_difference, measure_difference
from anime.assets.provenance import read_provenance
from anime.assets.store import AssetStore, write_new
from anime.assets.workflow_store import WorkflowStore
from anime.core.comparison import (
    FileComparison,
    PixelDifference,
    compare_settings,
    compare_words,
    unknown_settings,
    verdict_of,
)
from anime.core.graphs import Graph
from anime.core.paths import INPUTS_FOLDER, RECORDED_FOLDER
from anime.core.png_metadata import read_stamp
from anime.core.recorded_graphs import pictures_in, recorded_workflow
from anime.core.servers import server_like
from anime.db.repositories import FileRepository, JobRepository, ServerRepository
from anime.db.session import Database
from anime.errors import InvalidRequest, NotFound, StorageError, UnusableFile
from anime.schemas import FileRecord, GenerationRequest

_KINDS = {"images": "image", "videos": "video", "audio": "audio"}


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file, and what is known of how it was made: the keys of a recipe, and its server."""

    name: str
    path: Path
    sha256: str
    kind: str  # image, video or audio
    made: Mapping[str, JsonValue]

    @classmethod
    def of_row(cls, row: FileRecord) -> Self:
        """A file of the library, as its row says."""
        return cls(
            name=row.file_path,
            path=Path(row.file_path),
            sha256=row.sha256 or "",
            kind=row.file_type,
            made={"width": row.width, "height": row.height, **row.metadata},
        )


class ReproductionRequest(BaseModel):
    """What is to be rendered again: one file, or the first one of a job."""

    model_config = ConfigDict(extra="forbid")

    file_id: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Id of a file.")
    job_id: UUID | None = Field(default=None, description="Id of a job; its first file counts.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.file_id is None) == (self.job_id is None):
            raise ValueError("names a file or a job, one of them; give file_id or job_id")
        return self


def read_made_file(path: Path, library: Path) -> MadeFile:
    """A file anywhere on disk, as it says itself, or as is written beside it in the library.

    It blocks.

    Raises:
        UnusableFile: it is damaged, or no media.
        StorageError: it cannot be read.
    """
    described = describe_foreign(path)
    found, made = described.facts, described.made
    origin = read_provenance(library, found.sha256)
    if origin is not None and origin.metadata:
        made |= origin.metadata
    stamp = read_stamp(found.texts)
    if stamp is not None:
        made |= {"workflow": stamp.workflow, "job_id": str(stamp.job_id)}
    kind = _KINDS.get(found.kind.value, "image")
    return MadeFile(str(path), path, found.sha256, kind, made)


async def file_named(database: Database, asked: ReproductionRequest) -> MadeFile:
    """The file of the library that is asked for.

    Raises:
        NotFound: there is no such file or job, or the job has made none.
    """
    async with database.session_scope() as session:
        files = FileRepository(session)
        if asked.file_id is not None:
            return MadeFile.of_row(await files.get(asked.file_id))
        job = await JobRepository(session).get(cast("UUID", asked.job_id))
        rows = await files.of_job(job.id)
    if not rows:
        raise NotFound(f"Job {job.id} has no file: it is {job.status}.", "Name another one.")
    return MadeFile.of_row(rows[0])


async def with_row(database: Database, file: MadeFile) -> MadeFile:
    """The same with what its row says besides, if the file says of which job it is."""
    job_id = file.made.get("job_id")
    if not isinstance(job_id, str):
        return file
    async with database.session_scope() as session:
        rows = await FileRepository(session).of_job(UUID(job_id))
    same = next((row for row in rows if row.sha256 == file.sha256), None)
    return file if same is None else MadeFile.of_row(same)


async def reproduction_of(
    database: Database, library: AssetStore, file: MadeFile, *, job_id: UUID | None = None
) -> GenerationRequest:
    """A request that renders the file's graph again, as it is recorded, once it is stored.

    It names a server with the version and device of the one that made the file, if there is one;
    where that job is there already, the one that was named then.

    Raises:
        InvalidRequest: the file has no graph, or one that saves nothing.
        StorageError: the library is not there, full, or not writable.
    """
    graph = file.made.get("graph")
    if not isinstance(graph, dict) or not graph:
        raise InvalidRequest(
            f"{file.name} holds no graph of ComfyUI.",
            "Only a file that says by which graph it was made can be rendered again.",
        )
    nodes = cast("Graph", graph)
    await library.check()
    pictures = await library.in_thread(_pictures_there, library.root, pictures_in(nodes))
    recorded = recorded_workflow(nodes, file.made, kind=file.kind, pictures=pictures)
    store = WorkflowStore(library.root / RECORDED_FOLDER, may_create=True)
    name = recorded.request.workflow_name
    await library.in_thread(
        store.save, name, recorded.graph, recorded.binding, may_replace=True
    )  # its name follows from its content
    project = file.made.get("project")
    return recorded.request.model_copy(
        update={
            "server": await _server_for(database, file, job_id),
            "project": project if isinstance(project, str) and project else None,
        }
    )


async def _server_for(database: Database, file: MadeFile, job_id: UUID | None) -> str | None:
    made_at = file.made.get("server")
    async with database.session_scope() as session:
        if job_id is not None:
            with suppress(NotFound):
                return (await JobRepository(session).request_of(job_id)).server
        servers = await ServerRepository(session).healthy()
    return server_like(made_at, servers) if isinstance(made_at, dict) else None


def compare_files(first: MadeFile, second: MadeFile) -> FileComparison:
    """How two files differ: bytes, pixels, settings and words. It blocks."""
    same_bytes = bool(first.sha256) and first.sha256 == second.sha256
    unchecked = unknown_settings(first.made, second.made)
    pixels: PixelDifference | None = None
    try:
        pixels = ask_kept(_died(first, second), _MEASURE, first.path, second.path)
    except (InvalidRequest, UnusableFile, StorageError) as fault:
        unchecked.insert(0, f"pixels: {fault.what}")
    return FileComparison(
        first=first.name,
        second=second.name,
        same_bytes=same_bytes,
        pixels=pixels,
        settings=compare_settings(first.made, second.made),
        words=compare_words(first.made, second.made),
        unchecked=unchecked,
        verdict=verdict_of(same_bytes=same_bytes, pixels=pixels),
    )


def nearest(original: MadeFile, files: Sequence[MadeFile]) -> FileComparison:
    """How the original differs from that one of several files that is most like it. It blocks."""
    found = [compare_files(original, each) for each in files]
    return min(found, key=lambda each: (not each.same_bytes, _mean(each)))


def draw_comparison(first: MadeFile, second: MadeFile) -> bytes:
    """Where two pictures differ, as PNG: black is no difference. It blocks.

    Raises:
        InvalidRequest: they cannot be compared.
        UnusableFile: one of them is damaged or too large.
        StorageError: one of them cannot be read.
    """
    return ask_kept(_died(first, second), _DRAW, first.path, second.path)


def _died(first: MadeFile, second: MadeFile) -> UnusableFile:
    return UnusableFile(
        f"{first.name} and {second.name} cannot be compared: a decoder crashed, or took too much"
        " time or memory.",
        "Compare smaller ones, or save them again with another program.",
    )


_MEASURE = LimitedFunction(measure_difference, PixelDifference)
_DRAW = LimitedFunction(drawn_difference, Base64Bytes)


def write_difference(first: MadeFile, second: MadeFile, target: Path) -> None:
    """Write a picture of where two pictures differ; nothing is overwritten. It blocks.

    Raises:
        InvalidRequest: they cannot be compared, or the name is taken.
        StorageError: it cannot be written.
    """
    write_new(target, draw_comparison(first, second))


def _mean(comparison: FileComparison) -> float:
    return 256.0 if comparison.pixels is None else comparison.pixels.mean


def _pictures_there(library: Path, names: Sequence[str]) -> dict[str, str]:
    """Those pictures that the library has among the inputs, by their names at a server."""
    found = {name: name.rpartition("/")[2] for name in names}
    return {
        name: base for name, base in found.items() if (library / INPUTS_FOLDER / base).is_file()
    }
