"""A job's outputs: placed in the library, and their thumbnails drawn."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import date, tzinfo
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from anime.assets.folder_reader import ANSWER_SECONDS, READ_SECONDS, FolderReader
from anime.assets.inspection.facts import MediaFacts
from anime.assets.inspection.whole_file import inspect_output
from anime.assets.provenance import write_provenance
from anime.assets.render_result import RenderResult
from anime.assets.store import AssetStore, StoredFile, chunks_in
from anime.assets.thumbnails import draw_thumbnail
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import OutputFile
from anime.core.job_status import Stage
from anime.core.labels import said_of_unkept
from anime.core.paths import (
    UNKNOWN_TYPE,
    FileKind,
    filename_prefix,
    kind_of,
    library_path,
    media_type_of,
    thumbnail_path,
)
from anime.core.png_metadata import read_stamp
from anime.errors import (
    ComfyUIError,
    InvalidWorkflow,
    NotFound,
    StorageError,
    StorageTimedOut,
    StorageUnavailable,
    UnusableFile,
    UnusableReason,
    reason_of,
)
from anime.net.tracing import tracer
from tasks.progress import Reporter
from tasks.retries import DRAWING_SECONDS, TASK_DELAYS
from tasks.steps import step

_FRAME_NUMBER = re.compile(r"(?P<before>.*)%0?(?P<digits>\d*)d(?P<after>.*)")


class Thumbnail(NamedTuple):
    """A thumbnail: its path, and its colours as the row keeps them."""

    path: str
    colours: str


class PlacedFile(BaseModel):
    """One output in the library."""

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
    made: dict[str, JsonValue] = Field(default_factory=dict)  # what its own node's branch says

    def measures(self) -> dict[str, JsonValue]:
        """How it was made, with its size and length, under the names of a recipe."""
        named = {"width", "height", "frames", "duration_seconds"}
        return self.made | self.model_dump(include=named, exclude_none=True)


class _Received(NamedTuple):
    """One output that has come in whole and has no place yet."""

    output: OutputFile
    file: StoredFile
    facts: MediaFacts


class OrganisedOutputs(NamedTuple):
    """A job's files in the library, and what else its nodes listed, a few words each."""

    placed: list[PlacedFile]
    unkept: tuple[str, ...]


# Twice is harmless: a file that is there already with the same content counts as placed.
@step("organise", TASK_DELAYS)
async def organise(
    comfy: ComfyUIClient,
    library: AssetStore,
    result: RenderResult,
    *,
    output_folder: FolderReader | None,
    zone: tzinfo,
    reporter: Reporter,
    file_prefix: str = "",
) -> OrganisedOutputs:
    """All files that the prompt has saved, each placed in the library, and what is not kept.

    None is placed before all have come in: a job that fails for one leaves no other without a row.

    Args:
        comfy: The server that has them.
        library: The store that they go to.
        result: The render result.
        output_folder: ComfyUI's; what cannot be read there comes over HTTP.
        zone: The studio's time zone, whose days name the folders.
        reporter: Gets the stage.
        file_prefix: What their names begin with.

    Raises:
        InvalidWorkflow: the graph has saved nothing.
        StorageError: the library cannot take a file, or a file is not complete.
        StorageTimedOut: the library has not answered for as long as it is waited for.
        StorageUnavailable: the output folder went away in the middle of a file; a retry goes on.
        ComfyUIUnreachable: the server went away; a retry goes on.
    """
    outputs, logger, unkept = result.saved, get_run_logger(), result.unkept
    if unkept:
        logger.info("Not kept, as they are no files of the job: %s", ", ".join(unkept))
    if outputs:
        await reporter.enter(Stage.ORGANIZING, f"Placing {len(outputs)} file(s) in the library")
    drafts: list[Path] = []
    received: list[_Received] = []
    prefix = filename_prefix(result.job_id, result.attempt)

    async def receive(output: OutputFile) -> _Received:
        with tracer.start_as_current_span("receive file") as span:
            async with _content(comfy, output, output_folder, prefix) as chunks:
                file = await library.receive(chunks)
            drafts.append(file.path)
            found = _Received(output, file, await _facts(file.path, output.filename))
            span.set_attributes(_about(found))
            return found

    def remove_drafts() -> None:
        for draft in drafts:
            draft.unlink(missing_ok=True)

    async with library.cleaned_up(remove_drafts):
        for output in outputs:
            try:
                received += [file async for file in _each(output, receive)]
            except (NotFound, ComfyUIError, UnusableFile) as fault:
                # Under a key of its own a node may name what is no file of its output folder, too.
                if output.is_media or fault.retryable:
                    raise
                where = f"{output.key} of node {output.node_id}"
                logger.warning("Not kept: %s: %s", where, fault.what)
                why = "not there" if isinstance(fault, NotFound) else "unusable"
                unkept = (*unkept, f"{output.filename} of node {output.node_id} ({why})")
        day = result.day(zone)
        placed = [await _place(library, each, result, day, file_prefix) for each in received]
    if not placed:
        raise InvalidWorkflow(
            f"The workflow ran and saved no file{said_of_unkept(unkept)}.",
            "Try it in ComfyUI: nodes that save may have been blocked by others, or list no files; "
            "previews are not kept.",
        )
    return OrganisedOutputs(placed, unkept)


async def _each(
    output: OutputFile, receive: Callable[[OutputFile], Awaitable[_Received]]
) -> AsyncIterator[_Received]:
    """The file; of a name such as `a.%03d.png`, as FFmpeg numbers frames, each that is there."""
    pattern = _FRAME_NUMBER.fullmatch(output.filename)
    try:
        file = await receive(output)
    except NotFound:
        if pattern is None:
            raise
    else:
        yield file
        return
    for number in count(1):
        name = f"{pattern['before']}{number:0{pattern['digits'] or 1}d}{pattern['after']}"
        try:
            frame = await receive(output.model_copy(update={"filename": name, "animated": False}))
        except NotFound:
            if number == 1:
                raise
            return
        yield frame


def _about(received: _Received) -> dict[str, str | int]:
    """The attributes of its span. Its path says what is in the picture."""
    return {
        "anime.file.sha256": received.file.sha256,
        "anime.file.bytes": received.file.size_bytes,
        "anime.file.media_type": received.facts.media_type,
    }


# Twice is harmless: the name follows from the content, and the same picture replaces itself.
async def make_thumbnails(library: AssetStore, files: Sequence[PlacedFile]) -> dict[str, Thumbnail]:
    """The thumbnails by the files' SHA-256.

    A file whose thumbnail cannot be drawn, or not in time, is logged and left out.
    """
    made: dict[str, Thumbnail] = {}
    try:
        async with asyncio.timeout(DRAWING_SECONDS):
            for file in files:
                target = library.root / thumbnail_path(file.sha256)
                try:
                    colours = await draw_thumbnail(file.path, target, in_thread=library.in_thread)
                except (OSError, UnusableFile) as fault:
                    get_run_logger().warning("No thumbnail of %s: %s", file.path.name, fault)
                else:
                    made[file.sha256] = Thumbnail(str(target), colours)
    except (TimeoutError, StorageTimedOut) as fault:  # the page draws what it needs
        get_run_logger().warning("No more thumbnails: %s", reason_of(fault))
    return made


async def are_whole(
    comfy: ComfyUIClient,
    outputs: Sequence[OutputFile],
    output_folder: FolderReader | None,
    prefix: str,
) -> bool:
    """Whether each of the files lies in the server's output folder, and is complete.

    `prefix` is what the names of the attempt's files begin with there.
    """
    with TemporaryDirectory(prefix="anime-adoption-") as folder:
        for output in outputs:
            copy = Path(folder) / Path(output.filename).name
            try:
                async with _content(comfy, output, output_folder, prefix) as chunks:
                    with copy.open("wb") as stream:
                        async for chunk in chunks:
                            await asyncio.to_thread(stream.write, chunk)
                await inspect_output(copy, name=output.filename)
            except (NotFound, ComfyUIError, StorageError, OSError):
                return False
            copy.unlink()
    return True


async def is_there(
    comfy: ComfyUIClient, output: OutputFile, output_folder: FolderReader | None, prefix: str
) -> bool:
    """Whether the server has a file of that name; so it is while nobody can tell."""
    try:
        async with _content(comfy, output, output_folder, prefix):
            return True
    except NotFound:
        return False
    except (ComfyUIError, StorageError, OSError):
        return True


async def _place(
    library: AssetStore, received: _Received, result: RenderResult, day: date, file_prefix: str
) -> PlacedFile:
    output, file, facts = received
    kind = FileKind.VIDEOS if output.animated else facts.kind
    target = library_path(result.project, kind, day, f"{file_prefix}{output.filename}")
    path = await library.place(file, target)
    placed = PlacedFile(
        path=path,
        source=str(output.path),
        kind=kind,
        media_type=facts.media_type,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        duration_seconds=facts.duration_seconds,
        made=result.made_by(output.node_id),
    )
    if read_stamp(facts.texts) is None:
        origin = result.origin(placed.source, placed.measures())
        await library.in_thread(write_provenance, library.root, placed.sha256, origin)
    return placed


async def _facts(path: Path, name: str) -> MediaFacts:
    """The inspected file; only its kind by its name if it is no media, such as a text."""
    try:
        return await inspect_output(path, name=name)
    except UnusableFile as fault:
        if fault.reason is not UnusableReason.NOT_MEDIA or media_type_of(name) != UNKNOWN_TYPE:
            raise
    return MediaFacts(media_type=UNKNOWN_TYPE, kind=kind_of(name))


@asynccontextmanager
async def _content(
    comfy: ComfyUIClient, output: OutputFile, folder: FolderReader | None, prefix: str
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes of an output: from the folder if it can be read here, else over HTTP.

    A node may save under a name that does not begin with the prefix. The folder may have a file of
    that name from another server, so only the server itself can tell whose it is.
    """
    local = await _opened(folder, output, prefix) if folder else None
    if folder is None or local is None:
        async with comfy.view(output) as chunks:
            yield chunks
        return
    try:
        yield _read(local, folder)
    finally:
        with suppress(StorageTimedOut):
            await folder.run(local.close, seconds=ANSWER_SECONDS)


async def _read(stream: BinaryIO, folder: FolderReader) -> AsyncIterator[bytes]:
    async def in_thread(read: Callable[[int], bytes], size: int) -> bytes:
        return await folder.run(partial(read, size), seconds=READ_SECONDS)

    try:
        async for chunk in chunks_in(stream, in_thread):
            yield chunk
    except (OSError, StorageTimedOut) as fault:  # its mount has become sick since it was opened
        reason = reason_of(fault.__cause__ or fault)
        raise StorageUnavailable(
            f"{stream.name} cannot be read any more: {reason}.",
            "Look at the mount of ANIME_COMFYUI_OUTPUT_DIR, or unset it to get files over HTTP.",
        ) from fault


async def _opened(folder: FolderReader, output: OutputFile, prefix: str) -> BinaryIO | None:
    """The file in that folder; None if it is not there, does not answer, or is not for us."""
    try:
        own = partial(_open, folder.root, output, PurePosixPath(prefix).parent)
        return await folder.run(own, seconds=ANSWER_SECONDS)
    except StorageTimedOut:
        return None


def _open(output_dir: Path, output: OutputFile, own_folder: PurePosixPath) -> BinaryIO | None:
    path = output_dir / output.path
    try:
        is_own = path.resolve(strict=True).is_relative_to(output_dir.resolve() / own_folder)
        return path.open("rb") if is_own and path.is_file() else None
    except OSError:
        return None
