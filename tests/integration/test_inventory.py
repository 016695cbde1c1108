"""The library and its record: made anew from files, and held against each other."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anime.assets.provenance import write_provenance
from anime.assets.rebuild import RebuildReport, rebuild
from anime.assets.store import sha256_of
from anime.assets.verify import VerifyReport, verify
from anime.core.assets import Provenance
from anime.core.job_status import JobStatus
from anime.core.png_metadata import FileStamp, to_pnginfo
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.db.repositories import FileQuery, FileSearch, InventoryRepository, JobRepository
from anime.db.session import Database
from anime.errors import StorageError
from anime.schemas import FileRecord, JobSnapshot
from anime.settings import PROJECT_DIR
from tests.integration.old_client import execute

TOKYO = timezone(timedelta(hours=9))
MADE = datetime(2026, 4, 12, 18, 30, tzinfo=TOKYO)
GRAPH = json.loads((PROJECT_DIR / "workflows" / "txt2img.json").read_text())
MODEL = next(
    node["inputs"]["ckpt_name"] for node in GRAPH.values() if "ckpt_name" in node["inputs"]
)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    library = tmp_path / "library"
    library.mkdir()
    (library / ".here").touch()
    return library


def picture(
    library: Path,
    place: str,
    *,
    stamp: FileStamp | None = None,
    colour: str = "teal",
    made: datetime = MADE,
) -> Path:
    """A PNG at that place of the library, with the texts that ComfyUI writes."""
    path = library / place
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = PngInfo()
    if stamp is not None:
        texts.add_text("prompt", json.dumps(GRAPH))
        for key, value in to_pnginfo(stamp).items():
            texts.add_text(key, json.dumps(value))
    Image.new("RGB", (16, 8), colour).save(path, pnginfo=texts)
    os.utime(path, (made.timestamp(), made.timestamp()))
    return path


def stamp_of(job_id: UUID, **more: Any) -> FileStamp:  # fields of a stamp
    known = {
        "prompt": "雪の森",
        "seed": str(2**64 - 1),
        "workflow": "txt2img",
        "workflow_sha256": "ab" * 32,
        "project": "Neon City",
        "character": "Aiko",
        "attempt": 2,
    }
    return FileStamp.model_validate(known | {"job_id": job_id} | more)


def take(library: Path, job_id: UUID, number: int = 1, **more: Any) -> Path:  # of picture
    """A picture of a job in the place that a generation gives it."""
    name = f"anime_{job_id}_{number:05}_.png"
    stamp = stamp_of(job_id)
    return picture(library, f"neon-city/images/20260412/{name}", stamp=stamp, **more)


async def rebuilt(database: Database, library: Path, **how: Any) -> RebuildReport:
    return await rebuild(database, library, zone=TOKYO, **how)


async def files(database: Database, **asked: Any) -> list[FileRecord]:  # fields of a query
    async with database.session_scope() as session:
        return (await FileSearch(session).page(FileQuery(**asked), limit=1000)).files


async def job(database: Database, job_id: UUID) -> JobSnapshot:
    async with database.session_scope() as session:
        return await JobRepository(session).get(job_id)


def counts(report: RebuildReport | VerifyReport) -> dict[str, int]:
    """What a report counts, but for noughts."""
    return {k: v for k, v in asdict(report).items() if type(v) is int and v}


async def test_a_stamped_picture_brings_back_its_row_its_job_and_its_project(
    database: Database, library: Path
) -> None:
    job_id = uuid4()
    path = take(library, job_id)
    report = await rebuilt(database, library)
    [file], owner = await files(database), await job(database, job_id)
    assert counts(report) == {
        "files_seen": 1,
        "files_added": 1,
        "jobs_added": 1,
        "projects_added": 1,
    }
    assert (file.file_path, file.job_id, file.file_type) == (str(path), job_id, "image")
    assert (file.width, file.height, file.sha256) == (16, 8, sha256_of(path))
    assert file.created_at == MADE
    assert {k: file.metadata[k] for k in ("prompt", "seed", "model", "character", "workflow")} == {
        "prompt": "雪の森",
        "seed": str(2**64 - 1),
        "model": MODEL,
        "character": "Aiko",
        "workflow": "txt2img",
    }
    assert (owner.status, owner.prompt, owner.seed) == (JobStatus.COMPLETED, "雪の森", 2**64 - 1)
    assert (owner.project, owner.character, owner.attempt) == ("Neon City", "Aiko", 2)
    assert (owner.output_path, owner.finished_at) == (str(path), MADE)


async def test_a_second_rebuild_changes_nothing(
    database: Database, database_url: str, library: Path
) -> None:
    job_id = uuid4()
    take(library, job_id)
    take(library, job_id, 2, colour="red")
    picture(library, "unorganized/images/20260412/stray.png", colour="blue")
    first = await rebuilt(database, library)
    before = await execute(database_url, "SELECT xmin, * FROM anime_api.anime_files ORDER BY id")
    again = await rebuilt(database, library)
    after = await execute(database_url, "SELECT xmin, * FROM anime_api.anime_files ORDER BY id")
    assert (first.files_added, first.jobs_added) == (3, 1)
    assert counts(again) == {"files_seen": 3, "files_known": 3}
    assert before == after


async def test_what_no_file_can_carry_comes_back_from_the_origin_beside_it(
    database: Database, library: Path
) -> None:
    job_id, made = uuid4(), datetime(2025, 12, 2, 3, tzinfo=UTC)
    name = f"anime_{job_id}_00001_.txt"
    path = library / "neon-city" / "videos" / "20251202" / name
    path.parent.mkdir(parents=True)
    path.write_text("not media at all")
    origin = Provenance(
        job_id=job_id,
        project="Neon City",
        project_slug="neon-city",
        prompt="petals",
        seed="7",
        workflow="talk",
        source_path=f"jobs/{job_id}/1/{name}",
        created_at=made,
        metadata={"prompt": "petals", "seed": "7", "attempt": 3, "timings": {}},
    )
    write_provenance(library, sha256_of(path), origin)
    await rebuilt(database, library)
    [file], owner = await files(database, text="petals", kind="video"), await job(database, job_id)
    assert (file.job_id, file.created_at) == (job_id, made)
    assert file.metadata["timings"] == {}
    assert (owner.seed, owner.workflow, owner.project) == (7, "talk", "Neon City")
    assert (owner.attempt, owner.type) == (3, "video")


async def test_the_folder_names_the_project_and_the_day_of_what_says_nothing(
    database: Database, library: Path
) -> None:
    picture(library, "rain-city/images/20240501/a.png", made=MADE)
    picture(library, "loose.png", colour="red")
    await rebuilt(database, library)
    [of_project] = await files(database, project="rain-city")
    assert of_project.created_at == datetime(2024, 5, 1, 12, tzinfo=TOKYO)
    assert of_project.job_id is None
    assert len(await files(database)) == 2


async def test_a_project_gets_its_name_once_a_file_tells_it(
    database: Database, library: Path
) -> None:
    picture(library, "neon-city/images/20260412/a.png")
    await rebuilt(database, library)
    job_id = uuid4()
    take(library, job_id, colour="red")
    report = await rebuilt(database, library)
    assert (await job(database, job_id)).project == "Neon City"
    assert report.projects_added == 0
    assert len(await files(database, project="Neon City")) == 2


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    database: Database, database_url: str, library: Path
) -> None:
    take(library, uuid4())
    report = await rebuilt(database, library, is_dry_run=True)
    assert (report.files_added, report.jobs_added, report.projects_added) == (1, 1, 1)
    assert await files(database) == []
    assert await execute(database_url, "SELECT * FROM anime_api.projects") == []


async def test_what_is_damaged_hidden_or_put_aside_gets_no_row(
    database: Database, library: Path, tmp_path: Path
) -> None:
    cut = picture(library, "unorganized/images/20260412/cut.png")
    cut.write_bytes(cut.read_bytes()[:60])
    (library / "unorganized" / "notes.txt").write_text("mine")
    for hidden in (".thumbnails", ".incoming", ".sheets", ".inputs", "quarantine/20260412"):
        picture(library, f"{hidden}/a.png")
    (library / "linked").symlink_to(tmp_path)
    report = await rebuilt(database, library)
    assert await files(database) == []
    assert (report.files_seen, report.files_unfit) == (2, 2)
    assert {Path(path).name for path in report.unfit} == {"cut.png", "notes.txt"}


async def test_a_copy_of_a_jobs_file_has_a_row_of_its_own(
    database: Database, library: Path
) -> None:
    job_id = uuid4()
    path = take(library, job_id)
    copy = path.parent / "copies" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    await rebuilt(database, library)
    again = await rebuilt(database, library)
    assert {file.job_id for file in await files(database)} == {job_id}
    assert {file.file_path for file in await files(database)} == {str(path), str(copy)}
    assert counts(again) == {"files_seen": 2, "files_known": 2}


async def test_many_files_come_back_in_many_batches(
    database: Database, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.rebuild.BATCH_FILES", 7)
    jobs = [uuid4() for _ in range(20)]
    for number, job_id in enumerate(jobs):
        take(library, job_id, colour=f"rgb({number}, 0, 0)")
        take(library, job_id, 2, colour=f"rgb({number}, 9, 0)")
    seen: list[int] = []
    report = await rebuilt(database, library, progress=seen.append)
    assert (report.files_added, report.jobs_added, report.projects_added) == (40, 20, 1)
    assert seen == [7, 14, 21, 28, 35, 40]
    assert {file.job_id for file in await files(database)} == set(jobs)


async def test_a_library_that_is_not_there_is_no_empty_one(
    database: Database, library: Path
) -> None:
    take(library, uuid4())
    await rebuilt(database, library)
    library.rename(library.with_name("elsewhere"))
    for look in (rebuilt(database, library), verify(database, library)):
        with pytest.raises(StorageError, match="There is no library"):
            await look
    assert [file.state for file in await files(database)] == ["present"]


async def test_a_library_that_is_lost_while_it_is_verified_misses_no_file(
    database: Database, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.verify._BATCH_ROWS", 1)
    for number in range(3):
        take(library, uuid4(), number)
    await rebuilt(database, library)

    def lose(checked: int) -> None:
        if checked == 1:
            library.rename(library.with_name("elsewhere"))
            library.mkdir()  # of a mount, the empty folder below it remains

    with pytest.raises(StorageError, match="There is no library"):
        await verify(database, library, progress=lose)
    assert [file.state for file in await files(database)] == ["present"] * 3


async def test_a_library_as_it_was_recorded_is_well(database: Database, library: Path) -> None:
    take(library, uuid4())
    await rebuilt(database, library)
    for is_quick in (False, True):
        report = await verify(database, library, is_quick=is_quick)
        assert counts(report) == {"checked": 1, "present": 1}
        assert report.is_well


async def test_missing_and_altered_files_are_told_and_come_back(
    database: Database, library: Path
) -> None:
    gone, changed = take(library, uuid4()), take(library, uuid4(), colour="red")
    await rebuilt(database, library)
    contents = {path: path.read_bytes() for path in (gone, changed)}
    gone.unlink()
    changed.write_bytes(contents[changed][:-1] + b"!")
    wrong = await verify(database, library)
    states = {file.file_path: file.state for file in await files(database)}
    for path, content in contents.items():
        path.write_bytes(content)
    well = await verify(database, library)
    assert states == {str(gone): "missing", str(changed): "altered"}
    assert (wrong.missing_files, wrong.altered_files) == ([str(gone)], [str(changed)])
    assert not wrong.is_well
    assert counts(well) == {"checked": 2, "present": 2, "returned": 2}
    assert {file.state for file in await files(database)} == {"present"}


async def test_a_quick_look_reads_what_was_written_since(database: Database, library: Path) -> None:
    path = take(library, uuid4())
    await rebuilt(database, library)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    os.utime(path, (MADE.timestamp(), MADE.timestamp()))  # a change that hides its time
    unnoticed = await verify(database, library, is_quick=True)
    path.touch()
    noticed = await verify(database, library, is_quick=True)
    assert (unnoticed.altered, noticed.altered) == (0, 1)


@pytest.mark.parametrize("tool", ["verify", "rebuild"])
async def test_a_file_that_was_moved_by_hand_keeps_its_row(
    database: Database, library: Path, tool: str
) -> None:
    old = take(library, uuid4())
    await rebuilt(database, library)
    [before] = await files(database)
    new = library / "best of" / "snow.png"
    new.parent.mkdir()
    old.rename(new)
    report = await (verify(database, library) if tool == "verify" else rebuilt(database, library))
    [after] = await files(database)
    assert (after.id, after.file_path, after.filename) == (before.id, str(new), "snow.png")
    assert (after.state, after.job_id) == ("present", before.job_id)
    assert counts(report).get("relinked", counts(report).get("files_relinked")) == 1
    assert (await verify(database, library)).is_well


@pytest.mark.parametrize("tool", ["verify", "rebuild"])
async def test_a_file_in_an_archive_that_is_away_is_not_taken_for_lost(
    database: Database, library: Path, tmp_path: Path, tool: str
) -> None:
    place, archive = take(library, uuid4()), tmp_path / "archive"
    await rebuilt(database, library)
    [before] = await files(database)
    archived = archive / place.name
    async with database.session_scope() as session:
        await InventoryRepository(session).relink(before.id, str(archived), archived.name)
    again = library / "again.png"
    place.rename(again)  # the same picture, rendered anew
    archive.mkdir()  # of a mount, the empty folder below it remains
    if tool == "verify":
        report = await verify(database, library, archive=archive)
        assert counts(report) == {"checked": 1, "out_of_reach": 1, "without_row": 1}
        assert not report.is_well
    else:
        await rebuilt(database, library, archive=archive)
    [after] = [file for file in await files(database) if file.id == before.id]
    assert (after.file_path, after.state) == (str(archived), "present")
    archived.write_bytes(again.read_bytes())
    assert (await verify(database, library, archive=archive)).missing == 0


async def test_of_two_moved_files_with_one_content_each_row_gets_one(
    database: Database, library: Path
) -> None:
    paths = [picture(library, f"a/images/20260412/{name}.png") for name in "xy"]
    await rebuilt(database, library)
    for path in paths:
        path.rename(library / f"moved-{path.name}")
    report = await verify(database, library)
    assert (report.relinked, report.missing, report.is_well) == (2, 0, True)
    assert len({file.file_path for file in await files(database)}) == 2


async def test_files_without_a_row_are_listed(database: Database, library: Path) -> None:
    path = take(library, uuid4())
    report = await verify(database, library)
    assert (report.files_without_row, report.is_well) == ([str(path)], False)
    assert await files(database) == []


async def test_rows_of_older_programs_are_checked_as_far_as_they_can_be(
    database: Database, database_url: str, library: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    await execute(
        database_url,
        "INSERT INTO anime_api.anime_files (filename, file_path, file_size) VALUES "
        f"('no path', NULL, 3), ('kept', '{tmp_path}/old.png', NULL), ('gone', '/nowhere', 3)",
    )
    report = await verify(database, library)
    assert counts(report) == {"checked": 2, "present": 1, "missing": 1}
    assert {file.filename: file.state for file in await files(database)} == {
        "no path": "present",
        "kept": "present",
        "gone": "missing",
    }


async def test_a_rebuild_does_not_go_between_a_sweep_and_its_rows(
    database: Database, library: Path
) -> None:
    take(library, uuid4())
    async with advisory_lock(database.address, SWEEP):
        with pytest.raises(StorageError, match="sweep"):
            await rebuilt(database, library)
    assert await files(database) == []
    assert (await rebuilt(database, library)).files_added == 1


async def test_what_a_share_leaves_in_the_library_gets_no_row_and_is_not_listed(
    database: Database, library: Path
) -> None:
    picture(library, "neon-city/images/20260412/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg")
    picture(library, "#recycle/b.png")
    assert counts(await rebuilt(database, library)) == {}
    assert counts(await verify(database, library)) == {}
