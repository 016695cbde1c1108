"""F47, F48, F49: rows without files, the edges of days, and folders of very many files."""

import os
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from anime.assets.verify import verify
from anime.core.sweep_plan import ImportOutcome, Mode, ScannedFile
from anime.db.repositories.sweeps import SweepRepository, SweptLine
from tests.integration.import_folder import Stage, counts, picture

MANY = 20_000
NEW = 30
MOST_STATEMENTS = 40  # whatever the number of files that are known


async def test_f47_a_row_whose_file_was_moved_by_hand_finds_it_again(stage: Stage) -> None:
    for number in range(3):
        stage.put(f"{number}.png", picture(number))
    await stage.sweep(Mode.MOVE)
    first, second, third = (Path(path) for (path,) in await stage.rows("file_path"))
    ids = await stage.rows("id")
    new = stage.library / "the best" / "one.png"
    new.parent.mkdir()
    first.rename(new)
    second.unlink()
    report = await verify(stage.database, stage.library)
    assert (report.relinked, report.missing, report.present) == (1, 1, 1)
    rows = await stage.rows("file_path, state")
    assert rows == [(str(new), "present"), (str(second), "missing"), (str(third), "present")]
    assert await stage.rows("id") == ids


async def test_f47_what_is_missing_comes_back_with_a_sweep_that_finds_it_again(
    stage: Stage,
) -> None:
    stage.put("a.png", picture(1))
    await stage.sweep(Mode.MOVE)
    [(path, row_id)] = await stage.rows("file_path, id")
    Path(path).unlink()
    await verify(stage.database, stage.library)
    assert await stage.rows("state") == [("missing",)]
    stage.put("a.png", picture(1))
    await stage.sweep(Mode.MOVE)
    await verify(stage.database, stage.library)
    [(found, found_id, state)] = await stage.rows("file_path, id, state")
    assert (found_id, state) == (row_id, "present")
    assert Path(found).read_bytes() == picture(1)


EDGES = [
    ("Asia/Tokyo", "2025-12-01T23:59:59+09:00", "20251201"),
    ("Asia/Tokyo", "2025-12-02T00:00:00+09:00", "20251202"),
    ("Asia/Tokyo", "2025-12-31T15:00:00+00:00", "20260101"),
    ("America/New_York", "2025-11-02T05:30:00+00:00", "20251102"),  # 1:30, the first time
    ("America/New_York", "2025-11-02T06:30:00+00:00", "20251102"),  # and the second
    ("America/New_York", "2025-11-02T03:59:59+00:00", "20251101"),
    ("America/New_York", "2025-11-03T04:59:59+00:00", "20251102"),  # a day of 25 hours
    ("America/New_York", "2025-03-09T06:59:59+00:00", "20250309"),
    ("Africa/Cairo", "2025-04-24T21:59:59+00:00", "20250424"),  # there is no midnight after it
    ("Africa/Cairo", "2025-04-24T22:00:00+00:00", "20250425"),
    ("Pacific/Apia", "2011-12-30T09:59:59+00:00", "20111229"),  # the 30th never was
    ("Pacific/Apia", "2011-12-30T10:00:00+00:00", "20111231"),
    ("Asia/Kathmandu", "2025-12-01T18:15:00+00:00", "20251202"),
    ("UTC", "1970-01-01T00:00:00+00:00", "19700101"),
    ("UTC", "1969-12-31T23:59:59+00:00", "19691231"),
    ("UTC", "2106-02-07T06:28:16+00:00", "21060207"),  # past 32 bits: a clock that had jumped
]


@pytest.mark.parametrize(("zone", "made", "day"), EDGES)
async def test_f48_a_file_lies_in_the_day_it_was_made_on_in_the_studio(
    stage: Stage, zone: str, made: str, day: str
) -> None:
    moment = datetime.fromisoformat(made)
    stage.put("a.png", picture(1), made=moment.timestamp())
    await stage.sweep(zone=ZoneInfo(zone))
    assert stage.files() == [f"unorganized/images/{day}/a.png"]
    assert await stage.rows("created_at") == [(moment,)]
    assert counts(await stage.sweep(zone=ZoneInfo("UTC"))) == {}


@pytest.mark.parametrize("mtime_ns", [-(2**62), 2**62, 2**63 - 1])
async def test_f48_a_time_that_no_calendar_has_is_no_obstacle(stage: Stage, mtime_ns: int) -> None:
    path = stage.put("a.png", picture(1))
    try:
        os.utime(path, ns=(mtime_ns, mtime_ns))
    except OSError:
        pytest.skip("this file system has no such times")
    assert counts(await stage.sweep(settle_seconds=0.05)) == {"organised": 1}
    assert counts(await stage.sweep(settle_seconds=0.05)) == {}


async def remember(stage: Stage, paths: list[Path]) -> None:
    """Have the database know them, as after many sweeps."""
    lines = []
    for path in paths:
        status, folder, name = path.stat(), os.fsencode(path.parent), os.fsencode(path.name)
        sighting = ScannedFile(folder, name, status.st_size, status.st_mtime_ns)
        lines.append(SweptLine(sighting, ImportOutcome.RESTORED))
    async with stage.database.session_scope() as session:
        await SweepRepository(session).write(lines)


async def test_f49_the_new_among_twenty_thousand_cost_what_the_new_alone_cost(
    stage: Stage,
) -> None:
    content = picture(1)
    paths = [stage.put(f"known_{number:06}.png", content) for number in range(MANY)]
    await remember(stage, paths)
    for number in range(NEW):
        stage.put(f"new_{number}.png", picture(number + 2))
    statements: list[str] = []
    engine = stage.database._engine.sync_engine

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    report = await stage.sweep()
    assert (report.seen, counts(report)) == (MANY + NEW, {"organised": NEW})
    assert len(statements) < MOST_STATEMENTS
    began = time.process_time()
    assert counts(await stage.sweep()) == {}
    swept = time.process_time() - began
    assert swept < 20 * seconds_to_list(stage.output)


def seconds_to_list(folder: Path) -> float:
    """Of CPU, of the least that anybody has to do: to look at every file once."""
    began = time.process_time()
    with os.scandir(folder) as entries:
        assert sum(entry.stat(follow_symlinks=False).st_size > 0 for entry in entries) > MANY
    return time.process_time() - began


async def test_f49_many_namesakes_cost_no_more_the_more_there_are(stage: Stage) -> None:
    for number in range(600):
        stage.put(f"{number}/ComfyUI_00001_.png", picture(number))
    assert counts(await stage.sweep()) == {"organised": 600}
    assert len(stage.files()) == len(await stage.rows()) == 600
