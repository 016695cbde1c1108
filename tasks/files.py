"""From ComfyUI's output to the library."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, tzinfo
from pathlib import Path, PurePosixPath

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, JsonValue

from anime.assets.inspection import MediaFacts, inspect_file
from anime.assets.provenance import write_provenance
from anime.assets.render_result import RenderResult
from anime.assets.store import AssetStore
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import OutputFile
from anime.core.job_status import Stage
from anime.core.paths import UNKNOWN_TYPE, FileKind, kind_of, library_path, media_type_of
from anime.core.png_metadata import read_stamp
from anime.errors import InvalidWorkflow, UnusableFile, UnusableReason
from tasks.progress import Reporter
from tasks.retries import TASK_DELAYS, worth_retrying

_CHUNK_BYTES = 1024 * 1024


class PlacedFile(BaseModel):
    """One output, in its place in the library."""

    model_config = ConfigDict(frozen=True)

    path: Path
    source: str  # sub-folder and name in ComfyUI's output folder
    kind: FileKind
    media_type: str
    sha256: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration_seconds: float | None = None

    def measures(self) -> dict[str, JsonValue]:
        """The size and length it has, as they are called in a recipe."""
        named = {"width", "height", "frames", "duration_seconds"}
        return self.model_dump(include=named, exclude_none=True)


# Twice is harmless: what lies in its place with the same content counts as placed.
@task(
    name="organise",
    cache_policy=NO_CACHE,
    retries=len(TASK_DELAYS),
    retry_delay_seconds=TASK_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def organise(
    comfy: ComfyUIClient,
    library: AssetStore,
    result: RenderResult,
    *,
    output_dir: Path | None,
    zone: tzinfo,
    reporter: Reporter,
) -> list[PlacedFile]:
    """All files the prompt has saved, each in its place in the library.

    Args:
        comfy: The server that has them.
        library: Where they go.
        result: What is known of the render.
        output_dir: ComfyUI's output folder, where it can be read here.
        zone: The studio's time zone, whose days name the folders.
        reporter: Told what goes on.

    Raises:
        InvalidWorkflow: the graph has saved nothing.
        StorageError: the library cannot take a file, or one is not whole.
        ComfyUIUnreachable: the server went away; another try goes on.
    """
    outputs = result.entry.saved
    if not outputs:
        raise InvalidWorkflow(
            "The workflow ran and saved no file.",
            "Give its graph a node that saves, such as SaveImage; previews are not kept.",
        )
    await reporter.enter(Stage.ORGANIZING, f"Bringing {len(outputs)} file(s) to the library")
    return [
        await _bring(comfy, library, output, output_dir, result, result.day(zone))
        for output in outputs
    ]


async def _bring(
    comfy: ComfyUIClient,
    library: AssetStore,
    output: OutputFile,
    output_dir: Path | None,
    result: RenderResult,
    day: date,
) -> PlacedFile:
    async with _content(comfy, output, output_dir) as chunks:
        received = await library.receive(chunks)
    try:
        facts = await asyncio.to_thread(_facts, received.path, output.filename)
    except BaseException:
        received.path.unlink(missing_ok=True)
        raise
    kind = FileKind.VIDEOS if output.animated else facts.kind
    target = library_path(result.project, kind, day, output.filename)
    placed = PlacedFile(
        path=await library.place(received, target),
        source=str(PurePosixPath(output.subfolder) / output.filename),
        kind=kind,
        media_type=facts.media_type,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        duration_seconds=facts.duration_seconds,
    )
    if read_stamp(facts.texts) is None:
        origin = result.origin(placed.source, placed.measures())
        await asyncio.to_thread(write_provenance, library.root, placed.sha256, origin)
    return placed


def _facts(path: Path, name: str) -> MediaFacts:
    """What the file is; what only its name says of one that is no media, such as a text."""
    try:
        return inspect_file(path, name=name)
    except UnusableFile as fault:
        if fault.reason is not UnusableReason.NOT_MEDIA or media_type_of(name) != UNKNOWN_TYPE:
            raise
    return MediaFacts(media_type=UNKNOWN_TYPE, kind=kind_of(name))


@asynccontextmanager
async def _content(
    comfy: ComfyUIClient, output: OutputFile, output_dir: Path | None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes of an output: from the folder where that is in reach, else by HTTP."""
    if output_dir is not None:
        local = output_dir / output.subfolder / output.filename
        if local.is_file() and local.resolve().is_relative_to(output_dir.resolve()):
            yield _read(local)
            return
    async with comfy.view(output) as chunks:
        yield chunks


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as stream:
        while chunk := await asyncio.to_thread(stream.read, _CHUNK_BYTES):
            yield chunk
