"""Backups: what is in one, that it comes back, and what is said when it is not good."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from threading import Thread
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from anime.api.metrics import Metrics
from anime.assets.archive import Archive, Source
from anime.assets.backup import restore
from anime.assets.backup.create import BackupReport, make_backup
from anime.assets.backup.drill import drill, scratch_database
from anime.assets.backup.drill_results import drills_of
from anime.assets.backup.folder import BackupFolder
from anime.assets.backup.restore import Restore, RestorePlan, chosen_backup
from anime.cli.doctor_checks import _backups
from anime.core.backups import DRILLS, FIRST, moment_of, scratch_name
from anime.core.job_status import JobStatus
from anime.core.retention import RetentionReport
from anime.core.sweep_plan import Mode
from anime.db.address import parse_address
from anime.db.advisory_lock import BACKUP, advisory_lock
from anime.db.dump import Snapshot, connected, dump
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import BackupFailed, NotFound, StorageTimedOut
from anime.progress.keys import PROCESSING, job_hash
from anime.progress.publisher import ProgressPublisher
from anime.progress.redis_connection import connect_redis
from anime.progress.snapshot_reader import SnapshotReader
from anime.schemas import GenerationRequest, ProgressEvent
from anime.settings import Settings, load_settings
from anime.stack.home import locked_home, private_folder
from tests.integration.import_folder import Stage, picture
from tests.integration.old_client import execute
from tests.integration.test_cli_commands import Commands
from tests.integration.test_db_jobs import until_waiting
from tests.integration.test_retention import manifest, old_file, tidy
from tests.support.dead_mount import give_up_soon, let_die
from tests.support.embedded import embedded_valkey
from tests.support.waiting import HUNG_SECONDS

ROWS = """
    SELECT file.sha256, file.job_id, project.slug, file.metadata, file.created_at
    FROM anime_api.anime_files AS file
    LEFT JOIN anime_api.projects AS project ON project.id = file.project_id ORDER BY file.id
"""
# Our own tests keep a session there for what comes after the test.
END_OTHERS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
PATHS = "SELECT file_path FROM anime_api.anime_files ORDER BY id"


class Studio:
    """A library with swept pictures, their rows, and a folder for backups."""

    def __init__(self, home: Path, database: Database, url: str) -> None:
        self.home, self.database, self.url = home, database, url
        self.library, self.backups = home / "library", BackupFolder(home / "backups")
        self.stage = Stage(home / "output", self.library, database, url)

    def settings(self, **more: object) -> Settings:
        given = {"home": self.home / "data", "library_dir": self.library, "timezone": "Asia/Tokyo"}
        return load_settings(**{**given, "backup_dir": self.backups.root, **more})

    async def add(self, *numbers: int) -> None:
        for number in numbers:
            self.stage.put(f"{number}.png", picture(number, job_id=uuid4(), project="Neon City"))
        await self.stage.sweep(Mode.COPY)

    async def back_up(self, **more: object) -> BackupReport:
        return await make_backup(self.settings(**more), self.database, self.backups)

    async def reject_all(self) -> None:
        await execute(self.url, "UPDATE anime_api.anime_files SET state = 'rejected'")

    async def retain(self) -> RetentionReport:
        (self.home / "archive").mkdir(exist_ok=True)
        async with Database(self.url) as database:
            return await tidy(self.library, database, archive=self.home / "archive", rejected=1)

    async def plan_in(self, url: str) -> RestorePlan:
        """What a restore of the last backup into that database and the same library would do."""
        restore = await Restore.of(self.backups.newest(), self.settings(), Database(url))
        return await restore.plan()

    def contents(self, root: Path) -> dict[str, bytes]:
        """The files below a folder, but for drafts."""
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and ".incoming" not in path.parts
        }


@pytest.fixture
async def studio(tmp_path: Path, database: Database, database_url: str) -> Studio:
    """A studio with three pictures in its library."""
    for name in ("output", "library", "backups", "data"):
        (tmp_path / name).mkdir()
    studio = Studio(tmp_path, database, database_url)
    await studio.add(1, 2, 3)
    return studio


async def scratch_names(url: str) -> list[str]:
    rows = await execute(url, "SELECT datname FROM pg_database WHERE datname LIKE '%drill%'")
    return [name for (name,) in rows]


async def told_times(studio: Studio) -> tuple[float, float]:
    """When the last backup was made, and the last green drill, as Prometheus is told."""
    figures = await Metrics().collect(studio.database, [], studio.backups.root)
    names = (b"anime_last_backup_timestamp_seconds", b"anime_last_green_drill_timestamp_seconds")
    backup, drilled = (re.search(rb"\n%s (\S+)" % name, figures) for name in names)
    assert backup is not None
    assert drilled is not None
    return float(backup[1]), float(drilled[1])


@pytest.mark.parametrize("folder", ["library", "backups"])
async def test_a_folder_that_does_not_answer_ends_backup_and_drill_as_they_begin(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    await studio.back_up()
    called = "library" if folder == "library" else "folder of backups"
    said = f"The {called} {tmp_path / folder} has not answered"
    with monkeypatch.context() as dead:
        is_back = let_die(tmp_path / folder, dead, seconds=HUNG_SECONDS)
        give_up_soon(dead)
        with pytest.raises(StorageTimedOut, match=said):
            await studio.back_up()
        if folder == "backups":
            with pytest.raises(StorageTimedOut, match=said):
                await drill(studio.settings(), studio.database, studio.backups)
        is_back.set()


def make_older(studio: Studio) -> None:
    """The last backup is of last year: names have seconds, and tests are faster."""
    names = studio.backups.names()
    newest = studio.backups.root / names[-1]
    older = f"202501{len(names):02}{names[-1][8:]}"
    newest.rename(studio.backups.root / older)


@pytest.mark.usefixtures("new_sessions")
class TestRestoring:
    async def test_rows_files_and_their_times_come_back_into_other_folders(
        self, studio: Studio, empty_database_url: str
    ) -> None:
        (studio.library / "notes \n \udcff.txt").write_bytes(b"any name")
        report = await studio.back_up()
        await studio.add(4)  # is not in it
        elsewhere = studio.home / "elsewhere"
        settings = studio.settings(library_dir=elsewhere)
        restore = await Restore.of(Path(report.backup), settings, Database(empty_database_url))
        plan = await restore.plan()
        assert not elsewhere.exists()
        assert (plan.files, plan.files_there, plan.is_database_there) == (4, 0, False)
        assert plan.moved == {str(studio.library): str(elsewhere)}
        await restore.apply(plan)
        files = studio.contents(elsewhere)
        assert len(files) == 4
        assert files.items() < studio.contents(studio.library).items()
        assert await execute(empty_database_url, ROWS) == (await execute(studio.url, ROWS))[:3]
        for (path,) in await execute(empty_database_url, PATHS):
            original = studio.library / Path(path).relative_to(elsewhere)
            assert Path(path).stat().st_mtime_ns == original.stat().st_mtime_ns

    @pytest.mark.parametrize("folder", ["elsewhere", "library/inner", ""])
    async def test_again_it_goes_on_and_changes_nothing(
        self, studio: Studio, empty_database_url: str, folder: str
    ) -> None:
        report = await studio.back_up()
        elsewhere = studio.home / folder
        settings = studio.settings(library_dir=elsewhere)
        for are_there in (0, 3):
            restore = await Restore.of(Path(report.backup), settings, Database(empty_database_url))
            plan = await restore.plan()
            assert (plan.files_there, plan.is_database_there) == (are_there, are_there > 0)
            await restore.apply(plan)
        rows = await execute(empty_database_url, PATHS)
        assert {Path(path).relative_to(elsewhere).parts[0] for (path,) in rows} == {"neon-city"}

    async def test_rows_of_others_are_never_touched(
        self, studio: Studio, empty_database_url: str
    ) -> None:
        await studio.back_up()
        await studio.add(5)
        await studio.database.dispose()
        await execute(studio.url, END_OTHERS)
        with pytest.raises(BackupFailed, match="rows of a studio"):
            await studio.plan_in(studio.url)
        assert len(await execute(studio.url, PATHS)) == 4

    async def test_a_file_in_the_way_is_named_and_nothing_is_done(
        self, studio: Studio, empty_database_url: str
    ) -> None:
        await studio.back_up()
        victim = next(studio.library.rglob("*.png"))
        victim.write_bytes(b"somebody's own")
        with pytest.raises(BackupFailed, match=victim.name):
            await studio.plan_in(empty_database_url)
        assert victim.read_bytes() == b"somebody's own"
        assert await execute(empty_database_url, "SELECT to_regnamespace('anime_api')") == [(None,)]

    async def test_a_database_in_use_is_not_restored_into(
        self, studio: Studio, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await studio.back_up()
        monkeypatch.setattr(restore, "LEAVING_SECONDS", 0.2)
        async with connected(parse_address(empty_database_url)):
            with pytest.raises(BackupFailed, match="connected"):
                await studio.plan_in(empty_database_url)
        monkeypatch.undo()

    async def test_who_just_leaves_the_database_is_waited_for(
        self, studio: Studio, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await studio.back_up()
        monkeypatch.setattr(restore, "LEAVING_SECONDS", HUNG_SECONDS)
        async with connected(parse_address(empty_database_url)) as leaving:
            planning = asyncio.create_task(studio.plan_in(empty_database_url))
            async with asyncio.timeout(HUNG_SECONDS):
                while (await (await leaving.execute(restore._OTHERS)).fetchone()) == (0,):
                    await asyncio.sleep(0.01)
        await planning


class TestWhatABackupHas:
    async def test_contents_are_shared_with_the_library_and_with_earlier_backups(
        self, studio: Studio
    ) -> None:
        first = await studio.back_up()
        make_older(studio)
        await studio.add(4)
        second = await studio.back_up()
        assert (first.files, first.files_new, first.bytes_copied) == (3, 3, 0)
        assert (second.files, second.files_new, second.pruned) == (4, 1, 0)
        a_file = next(studio.library.rglob("*.png"))
        assert a_file.stat().st_nlink >= 2

    async def test_a_file_without_a_row_is_copied_for_it_may_change(self, studio: Studio) -> None:
        notes = studio.library / "notes.txt"
        notes.write_text("first")
        report = await studio.back_up()
        with notes.open("a") as stream:
            stream.write(", second")
        assert report.bytes_copied == 5
        kept = studio.contents(studio.backups.root / "objects").values()
        assert b"first" in kept

    async def test_no_secret_is_in_it(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        canary = "c4nary"
        monkeypatch.setenv("ANIME_API_TOKEN", canary * 4)
        monkeypatch.setenv("ANIME_WEBHOOK_SECRET", canary)
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", f"me:{canary}")
        monkeypatch.setenv("ANIME_COMFYUI_URL", f"http://me:{canary}@gpu:8188, http://two:8188")
        report = await studio.back_up(database_url=studio.url, redis_url=f"redis://:{canary}@r/0")
        kept = json.loads((Path(report.backup) / "settings.json").read_text())
        assert kept["settings"]["ANIME_COMFYUI_URL"] == "http://gpu:8188, http://two:8188"
        assert "ANIME_WEBHOOK_SECRET" in kept["set_but_not_kept"]
        for name, content in studio.contents(Path(report.backup)).items():
            assert canary.encode() not in content, name

    async def test_the_oldest_go_with_contents_that_only_they_had(self, studio: Studio) -> None:
        for number in (11, 12, 13):
            extra = studio.library / "extra.txt"
            extra.write_text(f"only in {number}")
            report = await studio.back_up(keep_backups=2)
            if number < 13:
                make_older(studio)
        assert (report.pruned, len(studio.backups.names())) == (1, 2)
        kept = studio.contents(studio.backups.root / "objects").values()
        assert [f"only in {n}".encode() in kept for n in (11, 12, 13)] == [False, True, True]
        assert len(kept) == 5

    async def test_a_content_that_was_lost_is_taken_again(self, studio: Studio) -> None:
        await studio.back_up()
        lost = next((studio.backups.root / "objects").rglob("?" * 64))
        lost.unlink()
        make_older(studio)
        report = await studio.back_up()
        assert (report.files_new, lost.exists()) == (1, True)

    async def test_a_folder_within_the_library_is_refused(self, studio: Studio) -> None:
        inside = studio.library / "backups"
        inside.mkdir()
        with pytest.raises(BackupFailed, match="one in the other"):
            await make_backup(studio.settings(), studio.database, BackupFolder(inside))

    async def test_it_is_consistent_while_files_come_in(self, studio: Studio) -> None:
        async def go_on() -> None:
            for number in range(20, 32):
                await studio.add(number)

        coming = asyncio.create_task(go_on())
        report = await studio.back_up()
        are_coming = not coming.done()
        await coming
        assert are_coming
        found = await drill(studio.settings(), studio.database, studio.backups)
        assert found.problems == []
        assert report.files >= found.files_hashed >= 3

    async def test_no_rejected_take_is_archived_between_two_walks(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would be in neither: the archive is looked at first, then the library."""
        archive = studio.home / "archive"
        for number in range(3):
            old_file(archive / f"{number}.txt", b"%d" % number)
        await studio.reject_all()
        reports: list[RetentionReport] = []

        def archive_now(_: int) -> None:
            if not reports:
                thread = Thread(target=lambda: reports.append(asyncio.run(studio.retain())))
                thread.start()
                thread.join()

        monkeypatch.setattr("anime.assets.backup.create._BATCH_FILES", 1)
        settings = studio.settings(archive_dir=archive)
        await make_backup(settings, studio.database, studio.backups, progress=archive_now)
        contents = await execute(studio.url, "SELECT sha256 FROM anime_api.anime_files")
        assert [studio.backups.has(sha256) for (sha256,) in contents] == [True] * 3
        assert (reports[0].left, reports[0].archived.files) == (3, 0)
        assert (await studio.retain()).archived.files == 3

    async def test_it_waits_while_the_row_of_a_take_changes(self, studio: Studio) -> None:
        async with advisory_lock(studio.database.address, BACKUP, is_shared=True):
            making = asyncio.create_task(studio.back_up())
            await until_waiting(studio.url, 1)
        assert (await making).files == 3

    async def test_it_does_not_wait_for_the_copy_of_a_take_that_is_being_archived(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A film on its way to another disk may take minutes."""
        monkeypatch.setattr("anime.assets.backup.guards.TURN_SECONDS", 0.1)
        await studio.reject_all()
        copy = Archive._place
        reports: list[BackupReport] = []

        async def copy_slowly(self: Archive, source: Source, target: PurePosixPath) -> Path:
            reports.append(await studio.back_up(archive_dir=studio.home / "archive"))
            make_older(studio)
            return await copy(self, source, target)

        monkeypatch.setattr(Archive, "_place", copy_slowly)
        report = await studio.retain()
        assert (report.left, report.archived.files) == (0, 3)
        assert [each.files for each in reports] == [4, 4, 4], "the takes and the manifest"

    async def test_a_take_that_was_copied_when_a_backup_began_goes_another_night(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await studio.reject_all()
        before = await execute(studio.url, PATHS)
        copy = Archive._place
        async with AsyncExitStack() as held:

            async def copy_slowly(self: Archive, source: Source, target: PurePosixPath) -> Path:
                placed = await copy(self, source, target)
                await held.enter_async_context(advisory_lock(studio.database.address, BACKUP))
                return placed

            with monkeypatch.context() as patch:
                patch.setattr(Archive, "_place", copy_slowly)
                report = await studio.retain()
            assert (report.left, report.archived.files) == (3, 0)
            assert {line.reason for line in report.takes} == {
                "A backup or drill is at work; it goes another night."
            }
            assert await execute(studio.url, PATHS) == before
            assert all(Path(path).is_file() for (path,) in before)
        report = await studio.retain()
        assert (report.left, report.archived.files) == (0, 3)
        archived = [Path(path) for (path,) in await execute(studio.url, PATHS)]
        folder = studio.home / "archive"
        assert sorted(archived) == sorted(folder.rglob("*.png"))
        assert [line["event"] for line in manifest(folder)] == ["archived"] * 3

    async def test_two_do_not_run_at_a_time(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("anime.assets.backup.guards.TURN_SECONDS", 0.1)
        async with advisory_lock(studio.database.address, BACKUP):
            with pytest.raises(BackupFailed, match="Another backup"):
                await studio.back_up()

    async def test_one_of_a_clock_that_ran_ahead_counts_as_the_oldest(self, studio: Studio) -> None:
        made = Path((await studio.back_up()).backup)
        ahead = made.rename(studio.backups.root / "22001129T030000Z")
        assert chosen_backup(studio.settings(), None) == ahead, "there is no other one"
        with pytest.raises(BackupFailed, match="a clock ran ahead"):
            await _backups(studio.settings())
        await studio.add(4)
        report = await studio.back_up()
        assert report.files_new == 1
        newest = Path(report.backup)
        assert chosen_backup(studio.settings(), None) == newest
        drilled = await drill(studio.settings(), studio.database, studio.backups)
        assert drilled.backup == newest.name
        made_at, _ = await told_times(studio)
        assert made_at == moment_of(newest.name).timestamp()
        make_older(studio)
        await studio.back_up(keep_backups=2)
        assert ahead.name not in studio.backups.names()

    async def test_a_green_drill_of_a_clock_that_ran_ahead_is_none(self, studio: Studio) -> None:
        await studio.back_up()
        found = await drill(studio.settings(), studio.database, studio.backups)
        results = studio.backups.root / DRILLS
        times = [found.at - timedelta(days=9), found.at + timedelta(days=900)]
        lines = [found.model_copy(update={"at": at}).model_dump_json() for at in times]
        results.write_text("\n".join(lines) + "\n")
        with pytest.raises(BackupFailed, match="last green drill is 9 days old"):
            await _backups(studio.settings())


class TestDrills:
    async def test_a_good_backup_is_green_and_leaves_nothing_behind(self, studio: Studio) -> None:
        await studio.back_up()
        report = await drill(studio.settings(), studio.database, studio.backups)
        assert report.problems == []
        assert (report.files_hashed, report.files_rebuilt, report.day) == (3, 3, "20251202")
        assert {"restore", "count", "migrate", "hash", "rebuild"} <= set(report.seconds)
        assert drills_of(studio.backups) == [report]
        assert await scratch_names(studio.url) == []
        assert not (studio.backups.root / ".drill").exists()

    async def test_a_content_that_rots_is_named(self, studio: Studio) -> None:
        await studio.back_up()
        sha256, path = (
            await execute(studio.url, "SELECT sha256, file_path FROM anime_api.anime_files")
        )[0]
        content = studio.backups.object_path(sha256)
        content.unlink()
        content.write_bytes(b"rotten")
        report = await drill(studio.settings(), studio.database, studio.backups)
        assert any(path in each and "damaged" in each for each in report.problems)

    async def test_rows_that_a_rebuild_does_not_bring_back_are_named(self, studio: Studio) -> None:
        await execute(
            studio.url, "UPDATE anime_api.anime_files SET width = 9 WHERE filename = '2.png'"
        )
        await studio.back_up()
        report = await drill(studio.settings(), studio.database, studio.backups)
        assert [each for each in report.problems if "2.png" in each and "width" in each]

    async def test_what_older_services_wrote_or_readers_read_otherwise_is_no_fault(
        self, studio: Studio
    ) -> None:
        await execute(
            studio.url,
            "UPDATE anime_api.anime_files SET source_path = NULL, job_id = gen_random_uuid() "
            "WHERE filename = '1.png'",
        )
        await execute(
            studio.url,
            """UPDATE anime_api.anime_files SET metadata = metadata || '{"prompt": "old"}' """
            "WHERE filename = '2.png'",
        )
        await studio.back_up()
        report = await drill(studio.settings(), studio.database, studio.backups)
        assert report.problems == []
        assert [each for each in report.notes if "2.png" in each]

    async def test_what_a_killed_drill_has_left_goes_and_nothing_else(self, studio: Studio) -> None:
        live = str(make_url(studio.url).database)
        leftover = scratch_name(live, "0a1b2c3d")  # with nothing in it: killed as soon as could be
        foreign = [f"{live}_drill_0a1b2c3d", f"{live}_drill_4e5f6a7b4e5f6a7b"]
        foreign.append(scratch_name(f"{live}2", "0a1b2c3d"))
        for name in (leftover, *foreign):
            await execute(studio.url, f"CREATE DATABASE {name}")
        try:
            await studio.back_up()
            assert f"has left the database {leftover}" in await _backups(
                studio.settings(database_url=studio.url)
            )
            async with scratch_database(studio.database.address):
                assert leftover not in await scratch_names(studio.url)
            assert sorted(await scratch_names(studio.url)) == sorted(foreign)
        finally:
            for name in foreign:
                await execute(studio.url, f"DROP DATABASE {name}")


class TestDamage:
    @pytest.mark.parametrize("part", ["manifest.json", "files.gz", "SHA256SUMS", "database"])
    async def test_a_damaged_part_is_named_and_nothing_is_changed(
        self, studio: Studio, empty_database_url: str, part: str
    ) -> None:
        backup = Path((await studio.back_up()).backup)
        path = backup / part
        if path.is_dir():
            path = max(path.iterdir(), key=lambda each: each.stat().st_size)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        elsewhere = studio.home / "elsewhere"
        settings = studio.settings(library_dir=elsewhere)
        with pytest.raises(BackupFailed, match="damaged"):
            await (await Restore.of(backup, settings, Database(empty_database_url))).plan()
        assert not elsewhere.exists()
        report = await drill(studio.settings(), studio.database, studio.backups)
        assert not report.is_green

    async def test_a_lost_content_stops_a_restore_before_the_database(
        self, studio: Studio, empty_database_url: str
    ) -> None:
        backup = Path((await studio.back_up()).backup)
        shutil.rmtree(studio.backups.root / "objects")
        elsewhere = studio.home / "elsewhere"
        restore = await Restore.of(
            backup, studio.settings(library_dir=elsewhere), Database(empty_database_url)
        )
        with pytest.raises(BackupFailed, match="missing"):
            await restore.apply(await restore.plan())
        assert await execute(empty_database_url, "SELECT to_regnamespace('anime_api')") == [(None,)]

    async def test_a_folder_without_checksums_is_no_backup(self, studio: Studio) -> None:
        backup = Path((await studio.back_up()).backup)
        (backup / "SHA256SUMS").unlink()
        assert studio.backups.names() == []
        with pytest.raises(NotFound, match="There is no backup in"):
            chosen_backup(studio.settings(), None)
        with pytest.raises(NotFound, match="There is no folder"):
            chosen_backup(studio.settings(), studio.home / "nowhere")


class TestCommands:
    @pytest.fixture
    def anime(self, studio: Studio) -> Commands:
        return Commands(
            {
                "ANIME_DATABASE_URL": studio.url,
                "ANIME_LIBRARY_DIR": str(studio.library),
                "ANIME_BACKUP_DIR": str(studio.backups.root),
                "ANIME_TIMEZONE": "Asia/Tokyo",
            }
        )

    async def test_a_backup_is_made_listed_proved_and_restored(
        self, anime: Commands, studio: Studio, empty_database_url: str
    ) -> None:
        made = await anime.call("backup")
        assert (made.code, Path(made.out.strip()).parent) == (0, studio.backups.root)
        assert "does not outlive that disk" in made.err
        [listed] = json.loads((await anime.call("backup", "list", "--json")).out)
        assert (listed["files"], listed["tables"]["anime_files"]) == (3, 3)
        drilled = await anime.call("backup", "drill", "--json")
        assert (drilled.code, json.loads(drilled.out)["problems"]) == (0, [])
        elsewhere = {
            "ANIME_DATABASE_URL": empty_database_url,
            "ANIME_LIBRARY_DIR": str(studio.home / "elsewhere"),
        }
        planned = await anime.call("restore", "--dry-run", **elsewhere)
        assert "Nothing was changed." in planned.err
        assert not (studio.home / "elsewhere").exists()
        done = await anime.call("restore", made.out.strip(), **elsewhere)
        assert (done.code, "Restored." in done.err) == (0, True)
        assert len(await execute(empty_database_url, PATHS)) == 3

    @pytest.mark.parametrize("is_embedded", [False, True])
    async def test_redis_forgets_what_became_of_jobs_after_the_backup(
        self,
        anime: Commands,
        studio: Studio,
        empty_database_url: str,
        redis_url: str,
        is_embedded: bool,
    ) -> None:
        queued, done, unpublished = uuid4(), uuid4(), uuid4()
        request = GenerationRequest(prompt="rain")
        async with studio.database.session_scope() as session:
            jobs = JobRepository(session)
            for job_id in (queued, done, unpublished):
                job = await jobs.create(job_id, request, workflow="txt2img", seed=1)
            lease = await jobs.lease(done, uuid4(), seconds=60)
            assert lease is not None
            ended = await jobs.complete(lease, output_path="/library/a.png")
        await anime.call("backup")

        @asynccontextmanager
        async def valkey() -> AsyncIterator[str]:
            if not is_embedded:
                yield redis_url
                return
            async with embedded_valkey(studio.home / "data") as url:
                yield url

        async with valkey() as url, connect_redis(url, read_seconds=60) as redis:
            async with ProgressPublisher(url) as publisher:
                for job_id in (queued, done):
                    now = ended.model_copy(update={"id": job_id})
                    await publisher.announce(job.model_copy(update={"id": job_id}), request)
                    await publisher.publish(ProgressEvent.of(now))
            await redis.hset(job_hash(unpublished), "status", "queued")  # by another program
            await redis.lpush(PROCESSING, str(unpublished))
        restored = await anime.call(
            "restore",
            ANIME_HOME=str(studio.home / "data"),
            ANIME_DATABASE_URL=empty_database_url,
            ANIME_LIBRARY_DIR=str(studio.home / "elsewhere"),
            **({} if is_embedded else {"ANIME_REDIS_URL": redis_url}),
        )
        assert (restored.code, "Redis" in restored.err) == (0, False), restored.err
        async with (
            valkey() as url,
            connect_redis(url, read_seconds=60) as redis,
            Database(empty_database_url) as database,
            ProgressPublisher(url) as publisher,
        ):
            snapshots = SnapshotReader(redis, database)
            assert (await snapshots.snapshot(queued)).fields["status"] == "queued"
            assert (await snapshots.snapshot(done)).is_published
            assert await redis.hgetall(job_hash(unpublished)) == {"status": "queued"}
            begun = ProgressEvent.of(job).model_copy(
                update={"job_id": queued, "status": JobStatus.PROCESSING, "fence": 1}
            )
            await publisher.publish(begun)
            told = [each.status for each in await snapshots.events_after(queued, 0)]
            await redis.delete(PROCESSING, *map(job_hash, (queued, done, unpublished)))
        assert told == ["processing"]

    @pytest.mark.parametrize(
        ("address", "why"), [("unix:///nobody.sock", "nobody.sock"), ("", "A stack already runs")]
    )
    async def test_a_restore_says_that_redis_may_be_ahead_if_it_is_not_there(
        self, anime: Commands, studio: Studio, empty_database_url: str, address: str, why: str
    ) -> None:
        async with studio.database.session_scope() as session:
            request = GenerationRequest(prompt="rain")
            await JobRepository(session).create(uuid4(), request, workflow="txt2img", seed=1)
        await anime.call("backup")
        private_folder(studio.home / "data" / "valkey")
        async with locked_home(studio.home / "data"):
            restored = await anime.call(
                "restore",
                ANIME_HOME=str(studio.home / "data"),
                ANIME_DATABASE_URL=empty_database_url,
                ANIME_LIBRARY_DIR=str(studio.home / "elsewhere"),
                **({"ANIME_REDIS_URL": address} if address else {}),
            )
        assert (restored.code, "Redis does not answer" in restored.err) == (0, True), restored.err
        assert why in restored.err

    async def test_without_a_folder_it_says_which_setting(self, anime: Commands) -> None:
        done = await anime.call("backup", ANIME_BACKUP_DIR="")
        assert done.code == 1
        assert "ANIME_BACKUP_DIR" in done.err

    async def test_a_drill_that_finds_something_exits_with_1(
        self, anime: Commands, studio: Studio
    ) -> None:
        await anime.call("backup")
        shutil.rmtree(studio.backups.root / "objects")
        done = await anime.call("backup", "drill")
        assert (done.code, "no content in the backup" in done.err) == (1, True)

    async def test_a_studio_that_keeps_few_backups_and_never_had_a_drill_is_told(
        self, studio: Studio
    ) -> None:
        await studio.back_up()
        earliest = studio.backups.root / "20250101T030000Z"
        studio.backups.newest().rename(earliest)
        await studio.back_up(keep_backups=1)
        [kept] = studio.backups.names()
        assert kept != earliest.name
        with pytest.raises(BackupFailed, match="green drill is missing"):
            await _backups(studio.settings())
        _, drilled = await told_times(studio)
        assert drilled == moment_of(earliest.name).timestamp()
        (studio.backups.root / FIRST).write_text("nonsense")
        assert "no drill yet" in await _backups(studio.settings()), "as if they were all"

    async def test_doctor_tells_how_old_and_how_good_backups_are(self, studio: Studio) -> None:
        assert "off" in await _backups(studio.settings(backup_dir=None))
        with pytest.raises(BackupFailed, match="No backup has been made"):
            await _backups(studio.settings())
        await studio.back_up()
        assert "no drill yet" in await _backups(studio.settings())
        made, drilled = await told_times(studio)
        assert drilled == made, "until the first drill, the first backup's: of a week from then"
        found = await drill(studio.settings(), studio.database, studio.backups)
        told = await _backups(studio.settings())
        assert f"in {found.total_seconds:.0f} s" in told
        _, drilled = await told_times(studio)
        assert drilled == pytest.approx(found.at.timestamp(), abs=1)
        results = studio.backups.root / DRILLS
        green = results.read_text()
        aged = found.model_copy(update={"at": found.at - timedelta(days=9)})
        results.write_text(aged.model_dump_json() + "\n")
        with pytest.raises(BackupFailed, match="last green drill is 9 days old"):
            await _backups(studio.settings())
        results.write_text(green)
        shutil.rmtree(studio.backups.root / "objects")
        await drill(studio.settings(), studio.database, studio.backups)
        with pytest.raises(BackupFailed, match="no content"):
            await _backups(studio.settings())
        make_older(studio)
        with pytest.raises(BackupFailed, match="days old"):
            await _backups(studio.settings())


async def test_the_program_that_dumps_gets_no_secret_but_that_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/environment\n")
    program.chmod(0o755)
    monkeypatch.setattr("anime.db.dump._program", lambda *_: str(program))
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "secret")
    monkeypatch.setenv("ANIME_DATABASE_URL", "secret")
    monkeypatch.setenv("PGSSLROOTCERT", "/ca.pem")
    moment = Snapshot(id="1", server=18, revision="", tables={}, other_schemas=[])
    await dump(make_url("postgresql://a:word@nowhere/b"), tmp_path / "dump", moment)
    found = (tmp_path / "environment").read_text()
    assert "secret" not in found
    assert "PGPASSWORD=word" in found
    assert "PGSSLROOTCERT=/ca.pem" in found
