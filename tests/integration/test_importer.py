"""Sweeps of real files into a real database: each file once, with its owner, over no other."""

import asyncio
import hashlib
import io
import json
import os
import shutil
import struct
import sys
import wave
import zlib
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path
from threading import Event, get_ident
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from anime.assets.importer.apply import AppliedBatch, AppliedStep, ImportApplier
from anime.assets.provenance import read_provenance
from anime.assets.quarantine import quarantined, restore_file
from anime.assets.rebuild import rebuild
from anime.core.assets import KnownAsset
from anime.core.job_status import FailureKind
from anime.core.sweep_plan import ImportOutcome, Mode, Step
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.db.repositories import AssetRow, FileRepository, JobRepository
from anime.db.session import Database
from anime.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    StorageError,
    StorageTimedOut,
)
from anime.schemas import GenerationRequest
from tests.integration.import_folder import Stage, counts, outcomes, picture
from tests.integration.old_client import execute
from tests.support.dead_mount import give_up_soon
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS

Placed = tuple[list[AppliedStep], AppliedBatch]
PROMPT = json.dumps(
    {
        "3": {
            "class_type": "KSampler",
            "inputs": {"seed": 5, "steps": 20, "positive": ["6", 0], "negative": ["6", 0]},
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse"}},
    }
)


async def make_job(database: Database, *, project: str | None = None, is_live: bool = False) -> str:
    job_id = uuid4()
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        request = GenerationRequest(prompt="a fox", project=project)
        await jobs.create(job_id, request, workflow="txt2img", seed=7)
        lease = await jobs.lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        if not is_live:
            await jobs.fail(lease, kind=FailureKind.LOST, message="The server went away.")
    return str(job_id)


async def test_a_new_picture_comes_into_the_library_with_its_row(stage: Stage) -> None:
    source = stage.put("shots/fox.png", picture(1, prompt=PROMPT))
    report = await stage.sweep()
    assert counts(report) == {"organised": 1}
    assert stage.files() == ["unorganized/images/20251202/fox.png"]
    placed = stage.library / stage.files()[0]
    assert source.samefile(placed)
    [row] = await stage.rows("file_path, source_path, width, height, media_type, metadata")
    assert row[:5] == (str(placed), "shots/fox.png", 8, 8, "image/png")
    assert row[5]["prompt"] == "a lighthouse"
    assert row[5]["seed"] == "5"
    assert row[5]["owner_by"] == "none"


async def test_what_shares_leave_behind_is_passed_over_and_counted(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    for debris in ("@eaDir/a.png/SYNO.png", "#recycle/b.png", "._a.png", "Thumbs.db", "raw/c.png"):
        stage.put(debris, picture(2))
    report = await stage.sweep(ignore=("RAW",))
    assert (counts(report), report.seen, report.passed_over) == ({"organised": 1}, 1, 5)
    assert "5 passed over" in report.summary
    assert stage.files() == ["unorganized/images/20251202/a.png"]
    assert (await stage.sweep()).passed_over == 4


async def test_a_name_that_windows_cannot_open_is_changed_on_the_way_in(stage: Stage) -> None:
    stage.put("aux.png", picture(1))
    stage.put("what: is? this.png", picture(2))
    await stage.sweep()
    assert stage.files() == [
        "unorganized/images/20251202/aux_.png",
        "unorganized/images/20251202/what_ is_ this.png",
    ]


async def test_a_second_sweep_changes_nothing(stage: Stage) -> None:
    for number in range(5):
        stage.put(f"{number}.png", picture(number))
    await stage.sweep()
    before = stage.files(), await stage.rows("*")
    again = await stage.sweep()
    assert (counts(again), again.seen) == ({}, 5)
    assert (stage.files(), await stage.rows("*")) == before


async def test_more_files_than_fit_one_batch_all_come_in(stage: Stage) -> None:
    for number in range(1100):
        stage.put(f"f{number % 7}/{number}.png", picture(number))
    report = await stage.sweep()
    assert counts(report) == {"organised": 1100}
    assert len(stage.files()) == len(await stage.rows()) == 1100
    assert counts(await stage.sweep()) == {}


async def test_a_project_that_only_a_stamp_knows_is_made_by_its_slug(stage: Stage) -> None:
    job_id = uuid4()
    stage.put("a.png", picture(1, job_id=job_id, project="Neon City"))
    stage.put("b.png", picture(2, job_id=job_id, project="neon city!"))
    await stage.sweep()
    assert stage.files() == [f"neon-city/images/20251202/{name}.png" for name in "ab"]
    rows = await stage.rows("job_id, metadata->>'seed', project_id")
    assert [row[:2] for row in rows] == [(job_id, str(2**64 - 1))] * 2
    assert rows[0][2] == rows[1][2] is not None


async def test_a_forged_stamp_makes_no_job(stage: Stage) -> None:
    stage.put("a.png", picture(1, job_id=uuid4(), project="../../../etc/cron.d"))
    await stage.sweep()
    assert stage.files() == ["etc-cron-d/images/20251202/a.png"]
    assert await newest_jobs(stage.database) == []


async def test_a_sidecar_in_the_folder_says_whose_its_files_are(stage: Stage) -> None:
    job_id = str(uuid4())
    stage.put("old/a.png", picture(1))
    stage.put(
        "old/job_metadata.json",
        json.dumps({"job_id": job_id, "project_name": "Town", "prompt": "a well"}).encode(),
    )
    await stage.sweep()
    [(path, job, prompt)] = await stage.rows("file_path, job_id::text, metadata->>'prompt'")
    assert path == str(stage.library / "town/images/20251202/a.png")
    assert (job, prompt) == (job_id, "a well")
    origin = read_provenance(stage.library, hashlib.sha256(picture(1)).hexdigest())
    assert origin is not None
    assert (str(origin.job_id), origin.project_slug, origin.prompt) == (job_id, "town", "a well")


async def test_files_of_a_live_job_are_left_and_those_of_a_failed_one_brought_in(
    stage: Stage,
) -> None:
    live = await make_job(stage.database, is_live=True)
    failed = await make_job(stage.database, project="Town")
    stage.put(f"jobs/{live}/1/anime_{live}_00001_.png", picture(1))
    stage.put(f"jobs/{failed}/1/anime_{failed}_00001_.png", picture(2))
    assert counts(await stage.sweep()) == {"organised": 1, "left": 1}
    [(path, job_id)] = await stage.rows("file_path, job_id::text")
    assert path == str(stage.library / f"town/images/20251202/anime_{failed}_00001_.png")
    assert job_id == failed


async def test_what_a_completed_job_has_not_recorded_is_no_file_of_it(stage: Stage) -> None:
    job_id = uuid4()
    async with stage.database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, GenerationRequest(prompt="a fox"), workflow="txt2img", seed=7)
        lease = await jobs.lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        await jobs.complete(lease, output_path="/elsewhere/x.png")
    stage.put(f"jobs/{job_id}/1/anime_{job_id}_00001_.png", picture(1, job_id=job_id))
    stage.put(f"jobs/{job_id}/2/anime_{job_id}_00002_.png", picture(2))
    assert counts(await stage.sweep()) == {"organised": 2}
    assert await stage.rows("job_id") == [(None,), (None,)]


async def test_what_a_job_has_recorded_itself_is_only_remembered(stage: Stage) -> None:
    job_id, content = await make_job(stage.database), picture(1)
    source = f"jobs/{job_id}/1/x.png"
    stage.put(source, content)
    async with stage.database.session_scope() as session:
        await FileRepository(session).record(
            [
                AssetRow(
                    filename="x.png",
                    file_type="image",
                    file_path="/elsewhere/x.png",
                    file_size=len(content),
                    job_id=UUID(job_id),
                    source_path=source,
                )
            ]
        )
    assert counts(await stage.sweep()) == {"known": 1}
    assert counts(await stage.sweep()) == {}
    assert stage.files() == []
    # The counter began anew, and the job's name is another picture's: that one is kept, too.
    stage.put(source, picture(2) + b"  ")
    assert counts(await stage.sweep()) == {"organised": 1}
    rows = await stage.rows("source_path, file_path")
    assert rows[0] == (source, "/elsewhere/x.png")
    assert rows[1][0].startswith(f"{source}#")


async def test_the_same_content_is_brought_in_once(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    stage.put("b.png", picture(1))
    assert counts(await stage.sweep()) == {"organised": 1, "duplicate": 1}
    stage.put("c.png", picture(1))
    assert counts(await stage.sweep()) == {"duplicate": 1}
    assert len(stage.files()) == len(await stage.rows()) == 1
    lines = "SELECT DISTINCT file_id FROM anime_api.swept_files"
    [(file_id,)] = await stage.rows("id")
    assert await execute(stage.database_url, lines) == [(file_id,)]


async def test_pictures_of_one_name_all_keep_a_name_of_their_own(stage: Stage) -> None:
    for number in range(40):
        stage.put(f"shot_{number:02d}/ComfyUI_00001_.png", picture(number))
    await stage.sweep()
    names = {Path(name).name for name in stage.files()}
    assert len(names) == len(await stage.rows()) == 40
    assert {"ComfyUI_00001_.png", "ComfyUI_00001_-2.png"} <= names


async def test_what_is_in_the_way_is_never_overwritten(stage: Stage) -> None:
    target = stage.library / "unorganized/images/20251202/a.png"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"somebody else's")
    stage.put("a.png", picture(1))
    await stage.sweep()
    assert target.read_bytes() == b"somebody else's"
    assert "unorganized/images/20251202/a-2.png" in stage.files()


async def test_files_that_nobody_can_use_are_put_aside_with_the_reason(stage: Stage) -> None:
    stage.put("empty.png", b"")
    stage.put("cut.png", picture(1)[:-20])
    stage.put("sub/words.png", b"this is no picture at all" * 9)
    report = await stage.sweep()
    assert counts(report) == {"quarantined": 3}
    quarantine_file = [name for name in stage.files() if name.startswith("quarantine/")]
    assert len(quarantine_file) == 6
    records = [
        json.loads((stage.library / name).read_bytes())
        for name in quarantine_file
        if name.endswith(".json")
    ]
    assert {record["reason"] for record in records} >= {"empty"}
    assert str(stage.output / "sub/words.png") in {record["path"] for record in records}
    assert (stage.output / "empty.png").exists()
    assert await stage.rows() == []
    assert counts(await stage.sweep()) == {}


async def test_a_dry_run_shows_the_plan_and_does_nothing(stage: Stage) -> None:
    stage.put("a.png", picture(1, job_id=uuid4(), project="Town"))
    stage.put("empty.png", b"")
    shown = await stage.sweep(dry_run=True)
    assert outcomes(shown) == {
        "a.png": ImportOutcome.ORGANISED,
        "empty.png": ImportOutcome.QUARANTINED,
    }
    assert shown.files[0].where == "town/images/20251202/a.png"
    assert (stage.files(), await stage.rows()) == ([], [])
    assert list(stage.library.iterdir()) == []
    done = await stage.sweep()
    assert counts(done) == counts(shown)


async def test_files_come_by_name_in_whatever_order_the_file_system_lists_them(
    stage: Stage,
) -> None:
    numbers = [n * 7 % 20 for n in range(20)]  # what tmpfs lists from the last, ext4 by a hash
    for number in numbers:
        stage.put(f"{number:02}.png", picture(number % 10))
    shown = outcomes(await stage.sweep(dry_run=True))
    assert list(shown) == [f"{number:02}.png" for number in range(20)]
    assert [*shown.values()] == [ImportOutcome.ORGANISED] * 10 + [ImportOutcome.DUPLICATE] * 10


async def test_a_copy_is_a_file_of_its_own(stage: Stage) -> None:
    source = stage.put("a.png", picture(1))
    await stage.sweep(Mode.COPY)
    placed = stage.library / "unorganized/images/20251202/a.png"
    assert placed.read_bytes() == source.read_bytes()
    assert not placed.samefile(source)
    assert list((stage.library / ".incoming").iterdir()) == []


async def test_a_move_removes_sources_once_they_are_in_the_library_and_written_down(
    stage: Stage,
) -> None:
    stage.put("a.png", picture(1))
    stage.put("twin.png", picture(1))
    stage.put("empty.png", b"")
    assert counts(await stage.sweep(Mode.MOVE)) == {
        "organised": 1,
        "duplicate": 1,
        "quarantined": 1,
    }
    assert list(stage.output.iterdir()) == []
    assert len(await stage.rows()) == 1
    assert (stage.library / "unorganized/images/20251202/a.png").read_bytes() == picture(1)


async def test_a_move_that_died_before_the_source_was_gone_is_completed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put("a.png", picture(1))
    with monkeypatch.context() as patched:
        patched.setattr("anime.assets.importer.apply._remove_sources", lambda done: None)
        await stage.sweep(Mode.MOVE)
    assert (stage.output / "a.png").exists()
    before = await stage.rows("*")
    await stage.sweep(Mode.MOVE)
    assert list(stage.output.iterdir()) == []
    assert await stage.rows("*") == before
    assert stage.files() == ["unorganized/images/20251202/a.png"]


async def test_a_sweep_that_died_before_the_rows_were_written_is_completed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        stage.put(f"{number}.png", picture(number))

    async def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("anime.assets.importer.apply.ImportApplier._write_down", die)
        with pytest.raises(RuntimeError, match="killed"):
            await stage.sweep()
    placed = stage.files()
    assert (len(placed), await stage.rows()) == (3, [])
    assert counts(await stage.sweep()) == {"organised": 3}
    assert stage.files() == placed
    assert len(await stage.rows()) == 3


async def test_a_file_that_is_still_growing_is_left(stage: Stage) -> None:
    path = stage.put("a.png", picture(1))
    os.utime(path)

    async def grow() -> None:
        while True:
            with path.open("ab") as stream:
                stream.write(b"more")
            await asyncio.sleep(0.02)

    growing = asyncio.create_task(grow())
    report = await stage.sweep(settle_seconds=1)  # in which even a slow machine writes
    growing.cancel()
    assert counts(report) == {"left": 1}
    path.write_bytes(picture(1))
    assert counts(await stage.sweep(settle_seconds=0.1)) == {"organised": 1}


async def test_names_that_are_no_text_are_kept_apart_and_remembered(stage: Stage) -> None:
    for number, name in enumerate([b"\xff\xfe.png", b"a\nb.png", b"\xe2\x80\xaegpj.png"]):
        stage.put(name, picture(number))
    assert counts(await stage.sweep()) == {"organised": 3}
    assert counts(await stage.sweep()) == {}
    assert all(name.isprintable() for name in stage.files())


async def test_a_file_of_no_use_with_a_name_that_is_no_text_is_quarantined(stage: Stage) -> None:
    stage.put(b"\xff.png", b"no picture")
    assert counts(await stage.sweep()) == {"quarantined": 1}
    [record] = quarantined(stage.library)
    assert record.what.startswith(r"\xff.png is no picture")


async def test_links_lead_nowhere(stage: Stage, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(picture(1))
    (stage.output / "link.png").symlink_to(outside / "secret.png")
    (stage.output / "folder").symlink_to(outside)
    os.mkfifo(stage.output / "pipe.png")
    report = await stage.sweep()
    assert (report.seen, counts(report)) == (0, {})


async def test_a_library_within_the_swept_folder_is_not_swept(stage: Stage) -> None:
    inner = Stage(stage.output, stage.output / "library", stage.database, stage.database_url)
    inner.library.mkdir()
    stage.put("a.png", picture(1))
    await inner.sweep()
    assert (await inner.sweep()).seen == 1
    with pytest.raises(ConfigurationError, match="in the library"):
        await Stage(inner.library, inner.library, stage.database, stage.database_url).sweep()


async def test_a_limit_is_how_many_new_files_one_sweep_takes(stage: Stage) -> None:
    for number in range(5):
        stage.put(f"{number}.png", picture(number))
    assert counts(await stage.sweep(limit=2)) == {"organised": 2}
    assert counts(await stage.sweep()) == {"organised": 3}


async def test_f62_while_one_sweeps_another_ends_at_once(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    async with advisory_lock(stage.database.address, SWEEP) as turn:
        assert turn is not None
        assert await stage.try_sweep() is None
    assert counts(await stage.sweep()) == {"organised": 1}


async def test_a_folder_that_is_not_there_is_a_clear_error(stage: Stage) -> None:
    shutil.rmtree(stage.output)
    with pytest.raises(ConfigurationError, match="cannot be swept"):
        await stage.sweep()


@pytest.mark.parametrize("look", ["pathlib.Path.resolve", "anime.assets.importer.scan._next"])
async def test_a_folder_that_does_not_answer_is_given_up_and_swept_the_next_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    stage.put("a.png", picture(1))
    is_back, loop = Event(), get_ident()

    def hang(*_: object) -> None:
        assert get_ident() != loop
        assert is_back.wait(HUNG_SECONDS)

    with monkeypatch.context() as dead:
        dead.setattr(look, hang)
        give_up_soon(dead, "hang")
        with pytest.raises(StorageTimedOut, match=f"swept folder {stage.output} has not answered"):
            await stage.sweep()
        is_back.set()
    assert counts(await stage.sweep()) == {"organised": 1}


async def test_a_library_that_is_not_there_is_a_clear_error_and_stays_so(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    shutil.rmtree(stage.library)
    with pytest.raises(StorageError, match="cannot write"):
        await stage.sweep()
    assert not stage.library.exists()
    assert (stage.output / "a.png").exists()


async def test_two_names_that_read_alike_as_text_both_come_in(stage: Stage) -> None:
    job_id = await make_job(stage.database)
    stage.put(f"jobs/{job_id}/1/\\xff.png".encode(), picture(1))
    stage.put(f"jobs/{job_id}/1/".encode() + b"\xff.png", picture(2))
    await stage.sweep()
    await stage.sweep()
    rows = await stage.rows("sha256, file_path")
    assert len(rows) == len({path for _, path in rows}) == 2
    assert counts(await stage.sweep()) == {}


async def test_a_library_behind_a_link_within_the_folder_is_not_swept(
    stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(stage.output)
    linked = Stage(tmp_path / "link", stage.output / "library", stage.database, stage.database_url)
    linked.library.mkdir()
    linked.put("a.png", picture(1))
    await linked.sweep()
    assert (await linked.sweep()).seen == 1


async def test_jpeg_film_sound_and_mesh_come_in_by_what_they_are(stage: Stage) -> None:
    stage.put("still.jpg", encoded("JPEG"))
    stage.put("loop.webp", encoded("WEBP", frames=3))
    stage.put("loop.gif", encoded("GIF", frames=3))
    stage.put("tone.wav", tone())
    stage.put("mesh/mesh.glb", struct.pack("<4sIII4s2s", b"glTF", 2, 22, 2, b"JSON", b"{}"))
    assert counts(await stage.sweep()) == {"organised": 5}
    assert [name.split("/")[1] for name in stage.files() if name.startswith("unorganized")] == [
        "audio",
        "images",
        "images",
        "videos",
        "videos",
    ]
    assert await stage.rows("file_type, frames") is not None


async def test_a_picture_of_too_many_pixels_is_put_aside_unopened(stage: Stage) -> None:
    content = bytearray(picture(1))
    content[16:24] = (50_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    stage.put("bomb.png", bytes(content))
    assert counts(await stage.sweep()) == {"quarantined": 1}


async def test_a_reader_that_crashes_costs_one_file(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.inspection.pool.FEW", 0)
    monkeypatch.setattr("anime.assets.limited_process._COMMAND", (sys.executable, "-c", CRASHING))
    for number in range(30):
        stage.put(f"{number:02d}.png", picture(number))
    stage.put("killer.png", picture(99))
    assert counts(await stage.sweep()) == {"organised": 30, "quarantined": 1}


CRASHING = """
import os
import anime.assets.inspection.content as content
from anime.assets.limited_process import main
read = content.read_files
def read_or_die(sightings):
    if any(sighting.name == b"killer.png" for sighting in sightings):
        os._exit(11)
    return read(sightings)
content.read_files = read_or_die
main()
"""


def encoded(form: str, *, frames: int = 1) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (40 * number, 9, 9)) for number in range(frames)]
    stream = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(stream, form, **more)
    return stream.getvalue()


def tone() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(256)) * 20)
    return stream.getvalue()


async def test_a_content_that_comes_again_in_the_next_batch_is_a_duplicate(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.importer.run._BATCH", 1)
    for number in range(12):
        stage.put(f"{number:02}.png", picture(1))
    assert counts(await stage.sweep()) == {"organised": 1, "duplicate": 11}
    remembered = "SELECT DISTINCT file_id FROM anime_api.swept_files"
    assert await execute(stage.database_url, remembered) == await stage.rows("id")
    assert len(stage.files()) == 1
    assert counts(await stage.sweep()) == {}


async def test_when_a_sweep_ends_early_the_batch_that_was_begun_is_whole(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.importer.run._BATCH", 1)
    for number in range(8):
        stage.put(f"{number}.png", picture(number))

    async def stop(done: int, total: int) -> None:
        if (done, total) == (2, 8):
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        await stage.try_sweep(watch=stop)
    placed, rows = stage.files(), await stage.rows("file_path")
    assert 2 <= len(placed) < 8
    assert sorted(str(Path(path).relative_to(stage.library)) for (path,) in rows) == placed
    assert counts(await stage.sweep()) == {"organised": 8 - len(placed)}


async def test_a_twin_is_remembered_with_the_row_of_its_content_and_no_namesakes(
    stage: Stage,
) -> None:
    stage.put("a/x.png", picture(1))
    stage.put("b/x.png", picture(2))
    stage.put("c/x.png", picture(1))
    assert counts(await stage.sweep()) == {"organised": 2, "duplicate": 1}
    twins = """
        SELECT file.sha256, count(*) FROM anime_api.swept_files AS swept
        JOIN anime_api.anime_files AS file ON file.id = swept.file_id GROUP BY 1
    """
    hashes = [hashlib.sha256(picture(number)).hexdigest() for number in (1, 2)]
    assert dict(await execute(stage.database_url, twins)) == dict(zip(hashes, (2, 1), strict=True))


async def test_a_move_keeps_the_source_of_what_has_no_row_yet(stage: Stage) -> None:
    job_id = await make_job(stage.database)
    contents = {b"\\xff.png": picture(1), b"\xff.png": picture(2)}  # as text, one name
    for name, content in contents.items():
        stage.put(f"jobs/{job_id}/1/".encode() + name, content)
    await stage.sweep(Mode.MOVE)
    left = {path.read_bytes() for path in stage.output.rglob("*.png")}
    hashes = {sha256 for (sha256,) in await stage.rows("sha256")}
    assert {hashlib.sha256(content).hexdigest() for content in left} | hashes == {
        hashlib.sha256(content).hexdigest() for content in contents.values()
    }
    await stage.sweep(Mode.MOVE)
    assert list(stage.output.rglob("*.png")) == []
    assert len(await stage.rows()) == len(stage.files()) == 2


async def test_a_move_out_of_a_former_library_takes_no_rows_only_file(
    stage: Stage, tmp_path: Path
) -> None:
    stage.put("a.png", picture(1))
    await stage.sweep(Mode.MOVE)
    [before] = await stage.rows("file_path")
    new = Stage(stage.library, tmp_path / "new", stage.database, stage.database_url)
    new.library.mkdir()
    await new.sweep(Mode.MOVE)
    [(path,)] = await stage.rows("file_path")
    assert (path,) == before
    assert Path(path).read_bytes() == picture(1)
    (tmp_path / "other way").symlink_to(stage.library)
    through = Stage(tmp_path / "other way", new.library, stage.database, stage.database_url)
    await through.sweep(Mode.MOVE)
    assert Path(path).read_bytes() == picture(1)


async def test_a_move_out_of_a_former_library_leaves_each_row_its_file(
    stage: Stage, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        stage.put(name, picture(1))
    await rebuild(stage.database, stage.output, zone=ZoneInfo("Asia/Tokyo"))  # a row for each twin
    assert len(await stage.rows()) == 2
    await stage.sweep(Mode.MOVE)
    assert all(Path(path).is_file() for (path,) in await stage.rows("file_path"))


async def test_a_batch_that_waits_for_its_place_asks_again_whether_it_is_its_turn(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.importer.run._BATCH", 1)
    for number in range(3):
        stage.put(f"{number}.png", picture(number))
    planned, begun = Event(), count(1)
    kept_among, place_all = ImportApplier.kept_among, ImportApplier._place_all

    async def plan(carrier: ImportApplier, hashes: Collection[str]) -> dict[str, KnownAsset]:
        kept = await kept_among(carrier, hashes)
        if next(begun) == 2:
            asyncio.get_running_loop().call_soon(planned.set)
        return kept

    def lose_turn_and_place(carrier: ImportApplier, steps: Sequence[Step]) -> Placed:
        assert planned.wait(HUNG_SECONDS)
        asyncio.run(execute(stage.database_url, END_TURN))
        return place_all(carrier, steps)

    monkeypatch.setattr(ImportApplier, "kept_among", plan)
    monkeypatch.setattr(ImportApplier, "_place_all", lose_turn_and_place)
    with pytest.raises(DatabaseUnavailable):
        await stage.sweep()
    assert len(stage.files()) == len(await stage.rows()) == 1


async def test_a_sweep_that_is_cancelled_twice_ends_what_it_has_begun_before_its_turn_is_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.importer.run._BATCH", 1)
    for number in range(4):
        stage.put(f"{number}.png", picture(number))
    entered, goes_on, place_all = asyncio.Event(), Event(), ImportApplier._place_all
    loop = asyncio.get_running_loop()

    def place(carrier: ImportApplier, steps: Sequence[Step]) -> Placed:
        loop.call_soon_threadsafe(entered.set)
        assert goes_on.wait(HUNG_SECONDS)
        return place_all(carrier, steps)

    monkeypatch.setattr(ImportApplier, "_place_all", place)
    sweeping = asyncio.create_task(stage.sweep())
    await entered.wait()
    for _ in range(2):
        sweeping.cancel()
        await asyncio.wait([sweeping], timeout=0.05)
    assert await stage.try_sweep() is None
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    placed = len(stage.files())
    assert placed == len(await stage.rows())
    assert placed in {1, 2}  # batches were begun
    assert counts(await stage.sweep()) == {"organised": 4 - placed}


@pytest.mark.parametrize("mode", list(Mode))
async def test_of_many_empty_files_of_one_name_each_comes_back_to_where_it_was(
    stage: Stage, mode: Mode
) -> None:
    paths = [stage.put(f"{number:02}/x.png", b"") for number in range(40)]
    assert counts(await stage.sweep(mode)) == {"quarantined": 40}
    records = quarantined(stage.library)
    assert sorted(record.path for record in records) == [str(path) for path in paths]
    for record in records:
        assert await restore_file(stage.database_url, stage.library, record.name) == record.path
    assert all(path.is_file() for path in paths)
    assert quarantined(stage.library) == []


END_TURN = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_locks JOIN pg_database ON oid = database
    WHERE locktype = 'advisory' AND datname = current_database()
"""
