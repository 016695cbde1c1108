"""Artifacts: what people see of a run in Prefect's UI. None of it fails or delays the run."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self
from uuid import UUID

from prefect import runtime
from prefect.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client

from anime.core.batches import summary_of
from anime.core.labels import label_of, said_of_unkept, shorten
from anime.core.paths import FileKind, media_type_of
from anime.core.retention import RetentionReport
from anime.core.takes import TakeRecord
from anime.schemas import FileRecord, GenerationRequest
from anime.settings import get_settings
from anime.settings.tokens import picture_address
from tasks import retries
from tasks.batches import BatchOutcome
from tasks.retries import best_effort

_PROMPT_CHARS = 80
_SHOWN_PAGES = 20
# In an <img>, animated or not.
_SHOWN_BY_BROWSERS = {f"image/{each}" for each in ("png", "jpeg", "webp", "gif", "avif", "apng")}
_PAUSE_SECONDS = 2.0  # between two moves of a bar


class ProgressBar:
    """The progress artifact of one run, made when there is something to show.

    Within `async with` a task of its own updates it in Prefect: whoever moves it does not wait.
    A successful end waits for the last move, for `retries.BEST_EFFORT_SECONDS` at most.
    """

    def __init__(self, subject: UUID, description: str = "Sampler steps over all nodes") -> None:
        """`subject`: id of the job, or the run of a batch, whose progress it shows."""
        self._key = f"progress-{_short(subject)}"
        self._description = description
        self._id: UUID | None = None
        self._wanted = self._shown = 0
        self._moved, self._ended = asyncio.Event(), asyncio.Event()

    @property
    def has_moved(self) -> bool:
        """Whether Prefect's page has the bar already, or will soon."""
        return self._wanted > 0

    def move(self, percent: int) -> None:
        """Show that much, soon; of several moves the last counts."""
        self._wanted = percent
        self._moved.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow_moves())
        return self

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._moved.set()
        try:
            if error is None:
                await asyncio.wait([self._task], timeout=retries.BEST_EFFORT_SECONDS)
        finally:
            self._task.cancel()

    async def _follow_moves(self) -> None:
        is_last = False
        while not is_last:
            await self._moved.wait()
            self._moved.clear()
            is_last = self._ended.is_set()
            if self._wanted != self._shown:
                await self._show(self._wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._ended.wait()

    # Twice is harmless: an update repeats the same value, and artifacts of one key are versions.
    @best_effort()
    async def _show(self, percent: int) -> None:
        if self._id is None:
            self._id = await acreate_progress_artifact(
                progress=float(percent), key=self._key, description=self._description
            )
        else:
            await aupdate_progress_artifact(self._id, progress=float(percent))
        self._shown = percent


@best_effort()
async def label_run(request: GenerationRequest) -> None:
    """Name and tag the current flow run after what it renders, unless it has them already."""
    run_id, tagged = runtime.flow_run.id, set(runtime.flow_run.tags or [])
    label = label_of(request)
    if run_id is None or (label.name == runtime.flow_run.name and label.tags <= tagged):
        return
    async with get_client() as client:
        await client.update_flow_run(UUID(str(run_id)), name=label.name, tags=label.tags | tagged)


@best_effort()
async def show_pictures(files: Sequence[FileRecord], browser_url: str) -> None:
    """Put each picture on the page of the current run, which has few; of a film its thumbnail."""
    for file in files:
        if file.file_type == FileKind.AUDIO.file_type:
            continue
        await acreate_image_artifact(
            image_url=_picture_of(file.id, file.filename, browser_url),
            key=f"picture-{file.id}",
            description=f"{file.filename}, {file.width}×{file.height}",
        )


@best_effort()
async def show_files(job_id: UUID, files: Sequence[FileRecord], unkept: Sequence[str] = ()) -> None:
    """Put a table of the files on the page of the current run, and what is not kept."""
    await acreate_table_artifact(
        table=[
            {
                "file": file.filename,
                "size": f"{file.width}×{file.height}",
                "bytes": file.file_size,
                "seed": str(file.metadata.get("seed", "")),
                "path": file.file_path,
            }
            for file in files
        ],
        key=f"files-{_short(job_id)}",
        description=f"What this run made{said_of_unkept(unkept)}",
    )


@best_effort()
async def show_takes(takes: Sequence[TakeRecord], browser_url: str) -> None:
    """Put a table of a shot's takes on the page of the current run, and the newest pictures."""
    await acreate_table_artifact(
        table=[
            {
                "take": take.number,
                "said": "picked" if take.is_picked else take.verdict or "",
                "reason": take.reason,
                "note": take.note,
                "path": take.path or "",
            }
            for take in takes
        ],
        key=f"takes-{_short(takes[0].job_id)}" if takes else "takes",
        description="The takes; say in the form what becomes of one of them",
    )
    for take in takes[-_SHOWN_PAGES:]:
        await acreate_image_artifact(
            image_url=_picture_of(take.file_id, take.path or "", browser_url),
            key=f"take-{take.file_id}",
            description=f"Take {take.number} of {take.shot}",
        )


@best_effort()
async def show_batch(outcomes: Sequence[BatchOutcome], sheet: str | None, browser_url: str) -> None:
    """Put the contact sheet, and a table with a row for each generation, on the current page."""
    key = _short(UUID(str(runtime.flow_run.id))) if runtime.flow_run.id else "here"
    if sheet is not None:
        await acreate_image_artifact(
            image_url=shown_at(f"/api/anime/sheets/{sheet}", browser_url),
            key=f"sheet-{key}",
            description="What the batch made",
        )
    await acreate_table_artifact(
        table=[
            {
                "no": outcome.number,
                "prompt": shorten(outcome.job.prompt, _PROMPT_CHARS),
                "seed": str(outcome.job.seed),
                "status": str(outcome.job.status),
                "seen": " ".join(_link_to(file, browser_url) for file in outcome.files),
                "file or reason": " ".join(file.file_path for file in outcome.files)
                or outcome.reason,
            }
            for outcome in outcomes
        ],
        key=f"batch-{key}",
        description=summary_of([outcome.job.status for outcome in outcomes]),
    )


@best_effort()
async def show_sheet(pages: Sequence[str], browser_url: str) -> None:
    """Put the first pages of a contact sheet, or the link to all in one, on the current page."""
    key = _short(UUID(str(runtime.flow_run.id))) if runtime.flow_run.id else "here"
    for number, name in enumerate(pages[:_SHOWN_PAGES], start=1):
        url = shown_at(f"/api/anime/sheets/{name}", browser_url)
        if name.endswith(".pdf"):
            await acreate_link_artifact(link=url, link_text=name, key=f"sheet-{key}")
        else:
            description = f"Page {number} of {len(pages)}"
            await acreate_image_artifact(
                image_url=url, key=f"sheet-{key}-{number}", description=description
            )


@best_effort()
async def show_retention(report: RetentionReport) -> None:
    """Put a table of what was done with old files on the page of the current run."""
    tallies = {
        "thumbnails": (report.thumbnails, "removed"),
        **{f"quarantine {day}": (tally, "removed") for day, tally in report.removed.items()},
        **{f"quarantine {day}": (tally, "announced") for day, tally in report.announced.items()},
        "rejected takes": (report.archived, "archived"),
    }
    table: list[dict[str, object]] = [
        {"what": what, "files": tally.files, "bytes": tally.size_bytes, "fate": fate}
        for what, (tally, fate) in tallies.items()
    ]
    table += [
        {"what": line.path, "files": 1, "fate": line.target or line.reason} for line in report.takes
    ]
    await acreate_table_artifact(
        table=table,
        key="retention",
        description="What would be done with old files"
        if report.is_dry_run
        else "What was done with old files",
    )


@best_effort()
async def show_backup(found: Mapping[str, object]) -> None:
    """Put a table of what a backup or a drill has done on the page of the current run."""
    table = [{"what": name.replace("_", " "), "value": str(value)} for name, value in found.items()]
    await acreate_table_artifact(table=table, key="backup", description="What was done")


def _link_to(file: FileRecord, browser_url: str) -> str:
    """A link to the file, as Prefect's page shows it in a cell."""
    return f"[{file.filename}]({shown_at(f'/api/anime/files/{file.id}/content', browser_url)})"


def _picture_of(file_id: int, name: str, browser_url: str) -> str:
    """The address of what an <img> can show of the file: itself, or its thumbnail."""
    what = "content" if media_type_of(name) in _SHOWN_BY_BROWSERS else "thumbnail"
    return shown_at(f"/api/anime/files/{file_id}/{what}", browser_url)


def shown_at(path: str, browser_url: str) -> str:
    """The signed address of a picture: the page's <img> cannot send a token."""
    return picture_address(path, get_settings(), base_url=browser_url)


def _short(job_id: UUID) -> str:
    """The part of the id that people read out; artifacts of one key are versions of each other."""
    return job_id.hex[:12]
