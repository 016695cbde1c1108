"""F42, F46: files that are not whole, forged ones, and links that lead out of the folder."""

import asyncio
import json
import os
import struct
import time
import zlib
from pathlib import Path
from uuid import uuid4

import pytest

from anime.assets.importer.walk import look_again
from anime.core.paths import slug_of
from anime.core.sweep_plan import Mode, Reason, ScannedFile
from tests.integration.import_folder import Stage, counts, picture
from tests.integration.old_client import execute
from tests.support.jobs import newest_jobs

HUGE_PX = 50_000
SLUGS = "SELECT slug FROM anime_api.projects"
TRAVERSALS = (
    *("../../../etc/cron.d", "/etc/passwd", "..", ".", "....//....//x", "..\\..\\windows"),
    *("a/../../b", "\u202e../x", "%2e%2e%2f", "CON", "-rf", "~root", "a" * 120, "'; DROP TABLE x"),
)


def huge_header() -> bytes:
    """A PNG of a few hundred bytes that says it is 50,000 pixels wide and high."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", HUGE_PX, HUGE_PX, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def reasons(stage: Stage) -> dict[str, str]:
    """Why files were put aside, by name."""
    records = (stage.library / "quarantine").glob("*/*.json")
    return {path.stem: json.loads(path.read_bytes())["reason"] for path in records}


async def test_f42_a_half_written_file_is_left_and_comes_in_once_it_is_whole(stage: Stage) -> None:
    whole = picture(1)
    path = stage.put("slow.png", whole[:40])
    os.utime(path)

    async def write_on() -> None:
        with path.open("ab") as stream:
            for byte in whole[40:-1]:
                stream.write(bytes([byte]))
                stream.flush()
                await asyncio.sleep(0.01)
            while not is_swept.is_set():
                os.utime(path)  # it goes on, however long the sweep takes
                await asyncio.sleep(0.01)
            stream.write(whole[-1:])

    is_swept = asyncio.Event()
    writing = asyncio.create_task(write_on())
    report = await stage.sweep(settle_seconds=1)  # in which even a slow machine writes
    assert not writing.done()
    is_swept.set()
    assert [file.where for file in report.files] == [Reason.GROWING.value]
    assert (stage.files(), await stage.rows()) == ([], [])
    await writing
    assert counts(await stage.sweep(settle_seconds=0.1)) == {"organised": 1}
    assert (stage.library / stage.files()[0]).read_bytes() == whole


async def test_f42_an_empty_file_gets_its_time_and_is_put_aside_then(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stage.put("later.png", b"")
    just_now = time.time() + 60.0  # however long the sweep takes to come by
    os.utime(path, (just_now, just_now))

    def write_and_look(sighting: ScannedFile) -> ScannedFile | None:
        path.write_bytes(picture(1))
        return look_again(sighting)

    with monkeypatch.context() as patched:
        patched.setattr("anime.assets.importer.run.look_again", write_and_look)
        assert counts(await stage.sweep(settle_seconds=0.1)) == {"left": 1}
    stage.put("never.png", b"")
    assert counts(await stage.sweep(settle_seconds=0.1)) == {"organised": 1, "quarantined": 1}
    assert reasons(stage) == {"never.png": "empty"}


async def test_f42_a_picture_cut_anywhere_is_put_aside_and_comes_in_once_written_anew(
    stage: Stage,
) -> None:
    whole = picture(1)
    for length in range(1, len(whole), 7):
        stage.put(f"{length}.png", whole[:length])
    number = len(range(1, len(whole), 7))
    assert counts(await stage.sweep()) == {"quarantined": number}
    assert len(reasons(stage)) == number
    assert await stage.rows() == []
    stage.put("8.png", whole)
    assert counts(await stage.sweep()) == {"organised": 1}


async def test_f46_a_header_of_50000_by_50000_pixels_is_put_aside_unopened(stage: Stage) -> None:
    stage.put("bomb.png", huge_header())
    assert counts(await stage.sweep()) == {"quarantined": 1}
    assert reasons(stage) == {"bomb.png": "too_large"}


@pytest.mark.parametrize("said_by", ["stamp", "sidecar"])
async def test_f46_a_projects_name_leads_nowhere(
    stage: Stage, tmp_path: Path, said_by: str
) -> None:
    for number, name in enumerate(TRAVERSALS):
        if said_by == "stamp":
            stage.put(f"{number}.png", picture(number, job_id=uuid4(), project=name))
        else:
            stage.put(f"{number}/a.png", picture(number))
            stage.put(f"{number}/job_metadata.json", json.dumps({"project": name}).encode())
    before = set(tmp_path.iterdir())
    assert counts(await stage.sweep()) == {"organised": len(TRAVERSALS)}
    assert set(tmp_path.iterdir()) == before
    depths = {len(Path(name).parts) for name in stage.files()}
    assert (len(stage.files()), depths) == (len(TRAVERSALS), {4})
    slugs = [slug for (slug,) in await execute(stage.database_url, SLUGS)]
    assert set(slugs) == {slug_of(name) for name in TRAVERSALS}
    assert all(slug.replace("-", "").isalnum() and slug.isascii() for slug in slugs)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"job_id": 5}',
        '{"job_id": "x", "seed": -1}',
        "null",
        "\x01",
    ],
)
async def test_f46_metadata_that_is_no_stamp_says_nothing(stage: Stage, text: str) -> None:
    stage.put("a.png", picture(1, anime=text, prompt=text, workflow=text, parameters=text))
    stage.put("b/b.png", picture(2))
    stage.put("b/job_metadata.json", text.encode())
    assert counts(await stage.sweep()) == {"organised": 2}
    assert {job for _, job in await stage.rows()} == {None}
    assert await newest_jobs(stage.database) == []


@pytest.mark.parametrize("mode", list(Mode))
async def test_f46_links_to_files_and_folders_are_not_followed(
    stage: Stage, tmp_path: Path, mode: Mode
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(picture(9))
    (outside / "job_metadata.json").write_text(json.dumps({"project": "stolen"}))
    (stage.output / "to file.png").symlink_to(outside / "secret.png")
    (stage.output / "to folder").symlink_to(outside)
    (stage.output / "round").symlink_to(stage.output)
    (stage.output / "nowhere.png").symlink_to("gone.png")
    stage.put("real/a.png", picture(1))
    (stage.output / "real/job_metadata.json").symlink_to(outside / "job_metadata.json")
    assert counts(await stage.sweep(mode)) == {"organised": 1}
    assert stage.files() == ["unorganized/images/20251202/a.png"]
    assert (outside / "secret.png").read_bytes() == picture(9)
