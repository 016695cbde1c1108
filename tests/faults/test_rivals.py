"""F45: the sweep and a job at the same time, two sweeps, and a sweep beside a rebuild."""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from anime.assets.rebuild import rebuild
from anime.assets.store import AssetStore
from anime.core.job_status import JobStatus
from anime.core.sweep_plan import Mode
from anime.db.repositories import AssetRow, FileRepository, JobRepository
from anime.errors import StorageError
from anime.schemas import GenerationRequest
from tests.faults.children import ended, started, sweep_dying
from tests.integration.import_folder import Stage, counts, picture

OUTPUTS = 12
NEVER = 1_000_000


async def content_of(path: Path) -> AsyncIterator[bytes]:
    yield path.read_bytes()


async def take_in(stage: Stage, job_id: UUID, source: str) -> AssetRow:
    """One output brought in as a job does it."""
    library = AssetStore(stage.library)
    received = await library.receive(content_of(stage.output / source))
    target = PurePosixPath("unorganized/images/20251202", Path(source).name)
    placed = await library.place(received, target)
    return AssetRow(
        filename=placed.name,
        file_type="image",
        file_path=str(placed),
        file_size=received.size_bytes,
        sha256=received.sha256,
        job_id=job_id,
        source_path=source,
    )


async def run_job(stage: Stage, first: int) -> UUID:
    """A job that renders, brings its files in one by one, and completes."""
    job_id = uuid4()
    request = GenerationRequest(prompt="a fox")
    async with stage.database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, request, workflow="txt2img", seed=7)
        lease = await jobs.lease(job_id, uuid4(), seconds=60)
    assert lease is not None
    files = []
    for number in range(OUTPUTS):
        source = f"jobs/{job_id}/1/anime_{job_id}_{number:05}_.png"
        stage.put(source, picture(first + number, job_id=job_id))
        await asyncio.sleep(0.005)
        files.append(await take_in(stage, job_id, source))
    async with stage.database.session_scope() as session:
        await FileRepository(session).record(files)
        await JobRepository(session).complete(lease, output_path=files[0].file_path)
    return job_id


async def test_f45_what_a_job_brings_in_meanwhile_has_one_row_and_one_file(stage: Stage) -> None:
    jobs = asyncio.gather(*(run_job(stage, 100 * number) for number in range(4)))
    while not jobs.done():
        await stage.sweep(settle_seconds=0)
    ids = await jobs
    await stage.sweep(settle_seconds=0)
    rows = await stage.rows("job_id, source_path, sha256")
    assert Counter(row[0] for row in rows) == dict.fromkeys(ids, OUTPUTS)
    assert len({row[1] for row in rows}) == len({row[2] for row in rows}) == len(rows)
    assert len(stage.files()) == len(rows)
    async with stage.database.session_scope() as session:
        statuses = {(await JobRepository(session).get(job_id)).status for job_id in ids}
    assert statuses == {JobStatus.COMPLETED}


async def test_f45_of_several_sweeps_at_once_the_files_come_in_once(
    stage: Stage, tmp_path: Path
) -> None:
    for number in range(60):
        stage.put(f"{number}.png", picture(number))
    here = [stage.try_sweep(Mode.COPY, settle_seconds=0) for _ in range(4)]
    arguments = (tmp_path, stage.database_url, Mode.COPY, NEVER)
    others = [started(sweep_dying, *arguments, tmp_path / f"told-{n}") for n in range(4)]
    reports = await asyncio.gather(*here)
    assert [await ended(process) for process in others] == [0] * 4
    swept = [counts(report).get("organised", 0) for report in reports if report]
    assert set(swept) <= {0, 60}
    assert counts(await stage.sweep(Mode.COPY)) == {}
    hashes = {hashlib.sha256(picture(number)).hexdigest() for number in range(60)}
    assert {sha256 for (sha256,) in await stage.rows("sha256")} == hashes
    assert len(stage.files()) == len(await stage.rows()) == 60


async def test_f45_a_sweep_beside_a_rebuild_writes_no_row_twice(stage: Stage) -> None:
    for number in range(40):
        stage.put(f"{number}.png", picture(number))

    async def rebuild_once() -> None:
        with suppress(StorageError):  # a sweep is at it
            await rebuild(stage.database, stage.library, zone=ZoneInfo("Asia/Tokyo"))

    await asyncio.gather(
        *(stage.try_sweep(settle_seconds=0) for _ in range(2)), rebuild_once(), rebuild_once()
    )
    await stage.sweep(settle_seconds=0)
    rows = await stage.rows("file_path")
    assert len(rows) == len(set(rows)) == len(stage.files()) == 40
    assert {os.path.exists(path) for (path,) in rows} == {True}  # noqa: PTH110
