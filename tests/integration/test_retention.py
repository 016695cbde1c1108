"""What is old goes, in steps that can be repeated, and nothing of a person's is lost."""

import errno
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from anime.assets.archive import MANIFEST, Source
from anime.assets.journal import Journal
from anime.assets.retention import Retention
from anime.assets.store import INCOMING, sha256_of
from anime.core.retention import KeepDays, RetentionReport
from anime.db.repositories import AssetRow, FileRepository, ProjectRepository
from anime.db.session import Database
from anime.errors import ConfigurationError, StorageError, StorageTimedOut
from anime.schemas import FileRecord
from tests.integration.old_client import execute
from tests.integration.silent_proxy import silent_proxy
from tests.support.dead_mount import give_up_soon, let_die
from tests.support.waiting import HUNG_SECONDS

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=100)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on a file system that no link reaches."""
    folder = Path("/dev/shm") / f"anime-{uuid4().hex}"
    if not folder.parent.is_dir() or folder.parent.stat().st_dev == Path("/tmp").stat().st_dev:
        pytest.skip("there is no second disk here")
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()


def old_file(path: Path, content: bytes = b"picture", *, age_days: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = (NOW - timedelta(days=age_days)).timestamp()
    os.utime(path, (moment, moment))
    return path


async def tidy(
    library: Path,
    database: Database | None = None,
    *,
    now: datetime = NOW,
    applies: bool = True,
    archive: Path | None = None,
    **days: int,
) -> RetentionReport:
    retention = Retention(library, KeepDays(**days), archive)
    report = RetentionReport(is_dry_run=not applies)
    await retention.thumbnails(report, now)
    await retention.quarantine(report, now)
    if database is not None:
        await retention.takes(report, now, database)
    return report


async def reject(
    database: Database,
    database_url: str,
    path: Path,
    *,
    sha256: str | None = "",
    state: str = "rejected",
) -> int:
    """The row of a file that somebody has rejected."""
    async with database.session_scope() as session:
        project = await ProjectRepository(session).get_or_create("Rain")
        new = AssetRow(
            filename=path.name,
            file_type="image",
            file_path=str(path),
            file_size=7,
            project_id=project.id,
            job_id=uuid4(),
            source_path=path.name,
            sha256=sha256_of(path) if sha256 == "" else sha256,
            created_at=LONG_AGO,
        )
        [file] = await FileRepository(session).record([new])
    await execute(
        database_url, f"UPDATE anime_api.anime_files SET state = '{state}' WHERE id = {file.id}"
    )
    return file.id


async def row(database: Database, database_url: str, file_id: int) -> tuple[FileRecord, str]:
    async with database.session_scope() as session:
        file = await FileRepository(session).get(file_id)
    [[state]] = await execute(
        database_url, f"SELECT state FROM anime_api.anime_files WHERE id = {file_id}"
    )
    return file, state


def manifest(archive: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (archive / MANIFEST).read_text().splitlines()]


async def test_thumbnails_nobody_asked_for_go_and_the_others_stay(library: Path) -> None:
    old = old_file(library / ".thumbnails/ab/abcd.webp")
    young = old_file(library / ".thumbnails/cd/cdef.webp", age_days=3)
    shown = await tidy(library, thumbnails=30, applies=False)
    assert old.exists()
    done = await tidy(library, thumbnails=30)
    assert shown.thumbnails == done.thumbnails
    assert (done.thumbnails.files, done.thumbnails.size_bytes) == (1, 7)
    assert not old.exists()
    assert young.exists()


async def test_a_thumbnail_that_was_read_lately_stays(library: Path) -> None:
    path = old_file(library / ".thumbnails/ab/abcd.webp")
    os.utime(path, (NOW.timestamp(), LONG_AGO.timestamp()))
    assert (await tidy(library, thumbnails=30)).thumbnails.files == 0
    assert path.exists()


async def test_quarantine_goes_a_night_after_it_was_announced(library: Path) -> None:
    day = f"{LONG_AGO:%Y%m%d}"
    bad = old_file(library / "quarantine" / day / "bad.png")
    old_file(library / "quarantine" / day / "bad.png.json", b"{}")
    kept = old_file(library / "quarantine" / f"{NOW:%Y%m%d}" / "new.png")
    first = await tidy(library, quarantine=30)
    assert list(first.announced) == [day]
    assert first.removed == {}
    assert bad.exists()
    same_night = await tidy(library, quarantine=30, now=NOW + timedelta(hours=1))
    assert same_night.removed == {}
    second = await tidy(library, quarantine=30, now=NOW + timedelta(days=1))
    assert second.removed[day].files == 2
    assert not bad.parent.exists()
    assert kept.exists()
    gone = (library / "quarantine/removed.jsonl").read_text().splitlines()
    assert {Path(json.loads(line)["path"]).name for line in gone} == {"bad.png", "bad.png.json"}


async def test_a_dry_run_announces_and_removes_nothing(library: Path) -> None:
    bad = old_file(library / "quarantine/20200101/bad.png")
    for night in range(3):
        now = NOW + timedelta(days=night)
        report = await tidy(library, quarantine=30, now=now, applies=False)
        assert list(report.announced) == ["20200101"]
    assert [path.name for path in (library / "quarantine").iterdir()] == ["20200101"]
    assert bad.exists()


async def test_a_link_in_quarantine_goes_and_what_it_points_to_stays(
    library: Path, tmp_path: Path
) -> None:
    precious = old_file(tmp_path / "precious/a.png")
    day = library / "quarantine/20200101"
    day.mkdir(parents=True)
    (day / "folder").symlink_to(precious.parent)
    (day / "file").symlink_to(precious)
    await tidy(library, quarantine=30)
    await tidy(library, quarantine=30, now=NOW + timedelta(days=1))
    assert not day.exists()
    assert precious.exists()


async def test_a_rejected_take_moves_to_the_archive_and_its_row_points_there(
    library: Path, archive: Path, database: Database, database_url: str
) -> None:
    path = old_file(library / "rain/images/20260101/a.png")
    file_id = await reject(database, database_url, path)
    shown = await tidy(library, database, archive=archive, rejected=30, applies=False)
    assert path.exists()
    assert not (archive / MANIFEST).exists()
    done = await tidy(library, database, archive=archive, rejected=30)
    target = archive / "rain/images/20260101/a.png"
    assert [line.target for line in shown.takes] == [line.target for line in done.takes]
    assert target.read_bytes() == b"picture"
    assert not path.exists()
    file, state = await row(database, database_url, file_id)
    assert (file.file_path, state) == (str(target), "archived")
    [line] = manifest(archive)
    assert (line["file_id"], line["path"]) == (file_id, "rain/images/20260101/a.png")
    assert (line["from"], line["project"]) == (str(path), "rain")
    assert line["sha256"] == sha256_of(target)
    again = await tidy(library, database, archive=archive, rejected=30)
    assert again.archived.files == 0
    assert len(manifest(archive)) == 1


async def test_takes_that_are_young_or_not_rejected_stay(
    library: Path, archive: Path, database: Database, database_url: str
) -> None:
    good = old_file(library / "rain/good.png")
    await reject(database, database_url, good, state="present")
    young = old_file(library / "rain/young.png")
    await reject(database, database_url, young)
    report = await tidy(library, database, archive=archive, rejected=1000)
    assert report.archived.files == 0
    report = await tidy(library, database, archive=archive, rejected=30)
    assert report.archived.files == 1
    assert good.exists()


async def test_many_takes_need_no_more_connections_than_one(
    library: Path, archive: Path, database: Database, database_url: str
) -> None:
    opened = []
    for number in range(3):
        for take in range(1 + 2 * number):
            path = old_file(library / f"rain/{number}-{take}.png", b"%d %d" % (number, take))
            await reject(database, database_url, path)
        async with silent_proxy(database_url) as proxy, Database(proxy.url) as behind:
            report = await tidy(library, behind, archive=archive, rejected=30)
        assert report.archived.files == 1 + 2 * number
        opened.append(proxy.connections)
    assert opened == opened[:1] * 3


async def test_an_archive_on_another_disk_gets_a_verified_copy(
    library: Path, other_disk: Path, database: Database, database_url: str
) -> None:
    path = old_file(library / "rain/a.png", os.urandom(3_000_000))
    content = path.read_bytes()
    await reject(database, database_url, path)
    report = await tidy(library, database, archive=other_disk, rejected=30)
    assert report.archived.files == 1
    assert (other_disk / "rain/a.png").read_bytes() == content
    assert not path.exists()


async def test_nothing_in_the_archive_is_ever_overwritten(
    library: Path, archive: Path, database: Database, database_url: str
) -> None:
    taken = old_file(archive / "rain/a.png", b"somebody else's")
    path = old_file(library / "rain/a.png")
    await reject(database, database_url, path)
    report = await tidy(library, database, archive=archive, rejected=30)
    assert [line.target for line in report.takes] == ["rain/a-2.png"]
    assert taken.read_bytes() == b"somebody else's"
    assert (archive / "rain/a-2.png").read_bytes() == b"picture"


def assert_archived_once(archive: Path, found: tuple[FileRecord, str]) -> None:
    """The picture `rain/a.png` lies in the archive, its row and one line of the manifest say so."""
    file, state = found
    assert (file.file_path, state) == (str(archive / "rain/a.png"), "archived")
    assert (archive / "rain/a.png").read_bytes() == b"picture"
    assert len(manifest(archive)) == 1


@pytest.mark.parametrize("at", ["place", "write_down", "row", "remove"])
async def test_a_run_that_dies_between_two_steps_is_completed_by_the_next(
    at: str,
    library: Path,
    archive: Path,
    database: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = old_file(library / "rain/a.png")
    file_id = await reject(database, database_url, path)
    step = {
        "place": "anime.assets.archive.Archive._place",
        "write_down": "anime.assets.archive.Archive._write_down",
        "row": "anime.db.repositories.retention.RetentionRepository.archive",
        "remove": "anime.assets.archive.Source.remove",
    }[at]

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step, die)
        with pytest.raises(KeyboardInterrupt):
            await tidy(library, database, archive=archive, rejected=30)
    assert path.exists()
    await tidy(library, database, archive=archive, rejected=30)
    assert_archived_once(archive, await row(database, database_url, file_id))
    assert not path.exists()


async def test_a_file_that_is_not_what_its_row_says_is_left_alone(
    library: Path, archive: Path, tmp_path: Path, database: Database, database_url: str
) -> None:
    altered = old_file(library / "rain/altered.png")
    gone = library / "rain/gone.png"
    elsewhere = old_file(tmp_path / "elsewhere.png")
    link = library / "rain/link.png"
    link.symlink_to(elsewhere)
    await reject(database, database_url, altered, sha256="ab" * 32)
    for path in (gone, elsewhere, link):
        await reject(database, database_url, path, sha256=None)
    report = await tidy(library, database, archive=archive, rejected=30)
    assert (report.archived.files, report.left) == (0, 4)
    assert all(line.reason for line in report.takes)
    assert altered.exists()
    assert elsewhere.exists()


async def test_a_take_that_is_wanted_again_meanwhile_stays_where_it_was(
    library: Path,
    archive: Path,
    database: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = old_file(library / "rain/a.png")
    file_id = await reject(database, database_url, path)
    async with database.session_scope() as session:
        del session
    place = Journal.write

    def take_back(self: Journal, line: dict[str, object]) -> None:
        place(self, line)
        if line["event"] == "archived":
            import psycopg

            with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
                connection.execute("UPDATE anime_api.anime_files SET state = 'present'")

    monkeypatch.setattr(Journal, "write", take_back)
    report = await tidy(library, database, archive=archive, rejected=30)
    assert report.left == 1
    assert path.exists()
    assert (await row(database, database_url, file_id))[0].file_path == str(path)
    assert [line["event"] for line in manifest(archive)] == ["archived", "withdrawn"]


async def test_a_source_that_was_written_anew_is_not_removed(library: Path) -> None:
    path = old_file(library / "rain/a.png")
    found = path.lstat()
    source = Source(path, "", 7, (found.st_ino, found.st_size, found.st_mtime_ns))
    path.write_bytes(b"another picture")
    source.remove()
    assert path.read_bytes() == b"another picture"


async def test_half_a_line_of_a_writer_that_died_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b'{"number": 1}\n{"number": 2, "pa')
    with Journal(path) as journal:
        assert journal.last() == {"number": 1}
        journal.write({"number": 3})
        assert journal.last() == {"number": 3}
    assert path.read_text().splitlines()[-1] == '{"number": 3}'


async def test_two_runs_do_not_write_to_one_manifest(tmp_path: Path) -> None:
    with Journal(tmp_path / "manifest.jsonl"), pytest.raises(StorageError, match="Another"):
        Journal(tmp_path / "manifest.jsonl").__enter__()


@pytest.mark.parametrize("where", [None, "library/inside"])
async def test_an_archive_that_is_none_is_said_so(
    where: str | None, tmp_path: Path, library: Path, database: Database
) -> None:
    archive = tmp_path / where if where else None
    with pytest.raises(ConfigurationError, match="ANIME_ARCHIVE_DIR"):
        await tidy(library, database, archive=archive, rejected=30)


async def test_an_archive_that_is_not_mounted_is_not_made(
    library: Path, tmp_path: Path, database: Database, database_url: str
) -> None:
    path = old_file(library / "rain/a.png")
    await reject(database, database_url, path)
    with pytest.raises(StorageError):
        await tidy(library, database, archive=tmp_path / "lost", rejected=30)
    assert not (tmp_path / "lost").exists()
    assert path.exists()


@pytest.mark.parametrize("name", [".thumbnails/ab/abcd.webp", "quarantine/20200101/bad.png"])
async def test_a_library_that_does_not_answer_is_given_up(
    name: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_file(library / name)
    with monkeypatch.context() as dead:
        is_back = let_die(library, dead, seconds=HUNG_SECONDS)
        give_up_soon(dead)
        with pytest.raises(StorageTimedOut, match=f"library {library} has not answered"):
            await tidy(library, thumbnails=30, quarantine=30)
        is_back.set()
    report = await tidy(library, thumbnails=30, quarantine=30)
    assert report.thumbnails.files + len(report.announced) == 1


@pytest.mark.parametrize(
    ("step", "disk"),
    [
        ("anime.assets.archive.look_at", "library"),
        ("anime.assets.archive.Source.remove", "library"),
        ("anime.assets.archive.Archive._link", "archive"),
        ("anime.assets.archive.Archive._write_down", "archive"),
        ("anime.assets.journal.Journal.__enter__", "archive"),
        ("anime.assets.journal.Journal.last", "archive"),
    ],
)
async def test_a_disk_that_does_not_answer_any_more_is_given_up_at_any_step_of_archiving(
    step: str,
    disk: str,
    library: Path,
    archive: Path,
    database: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, loop = old_file(library / "rain/a.png"), threading.get_ident()
    file_id = await reject(database, database_url, path)
    is_back = threading.Event()

    def hang(*_: object) -> None:
        assert threading.get_ident() != loop
        assert is_back.wait(HUNG_SECONDS)
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as dead:
        dead.setattr(step, hang)
        give_up_soon(dead, "hang")
        with pytest.raises(StorageTimedOut, match=f"{disk} .* has not answered"):
            await tidy(library, database, archive=archive, rejected=30)
        is_back.set()
    await tidy(library, database, archive=archive, rejected=30)
    assert_archived_once(archive, await row(database, database_url, file_id))
    assert not path.exists()


async def test_what_a_killed_run_left_half_copied_goes_from_the_archive(
    library: Path, archive: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = old_file(archive / INCOMING / ".half.tmp")
    await tidy(library, database, archive=archive, rejected=30)
    assert half.exists(), "somebody may be writing it"
    monkeypatch.setattr("anime.assets.store._ABANDONED_SECONDS", -1.0)
    await tidy(library, database, archive=archive, rejected=30)
    assert not half.exists()
