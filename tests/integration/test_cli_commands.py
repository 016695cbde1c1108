"""The commands as programs of their own: what they print where, and how they exit."""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from unittest import mock
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from PIL import Image
from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from anime.cli.app import main
from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.db.migrate import revision
from anime.db.repositories import AssetRow, FileRepository, JobRepository, ProjectRepository
from anime.db.session import Database
from anime.progress.publisher import ProgressPublisher
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from anime.schemas import GenerationRequest, ProgressEvent
from tests.integration.old_client import execute
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer
from tests.support.forks import PipedProgram, fork_with_pipes
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Commands:
    """Runs `anime` with an environment of its own."""

    variables: dict[str, str] = field(default_factory=dict)

    async def call(self, *words: str, **changes: str) -> Finished:
        """Run it within this process, which is quicker."""
        return await asyncio.to_thread(self._call, words, changes)

    async def start(self, *words: str, **changes: str) -> PipedProgram:
        """Run it as a program of its own."""
        environment = {**os.environ, **self.variables, **changes}
        return await fork_with_pipes("anime.cli.app", words, environment)

    def _call(self, words: tuple[str, ...], changes: dict[str, str]) -> Finished:
        with (
            mock.patch.dict(os.environ, self.variables | changes),
            mock.patch.object(sys, "argv", ["anime", *words]),
            redirect_stdout(StringIO()) as out,
            redirect_stderr(StringIO()) as err,
            pytest.raises(SystemExit) as exit_,
        ):
            main()
        return Finished(int(exit_.value.code or 0), out.getvalue(), err.getvalue())


async def ended(process: asyncio.subprocess.Process | PipedProgram) -> Finished:
    try:
        out, err = await asyncio.wait_for(process.communicate(), HUNG_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def run_python(code: str, *words: str) -> Finished:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *words, stdout=pipe, stderr=pipe
    )
    return await ended(process)


@pytest_asyncio.fixture(scope="module")
async def comfyui_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    data = tmp_path_factory.mktemp("rehearsal")
    async with serving(RehearsalConfig(data_dir=data, port=0)) as url:
        yield url


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest.fixture
def anime(
    prefect: PrefectPeer, database_url: str, redis_url: str, comfyui_url: str, tmp_path: Path
) -> Commands:
    (tmp_path / "library").mkdir()
    return Commands(
        {
            "ANIME_DATABASE_URL": database_url,
            "ANIME_REDIS_URL": redis_url,
            "ANIME_COMFYUI_URL": comfyui_url,
            "ANIME_LIBRARY_DIR": str(tmp_path / "library"),
            "PREFECT_API_URL": prefect.url,
            "PREFECT_API_AUTH_STRING": AUTH,
        }
    )


async def ordered_job(prefect: PrefectPeer) -> UUID:
    await asyncio.wait_for(prefect.run_made.wait(), HUNG_SECONDS)
    [key] = prefect.runs
    return UUID(key)


async def somebody_watches(redis_url: str) -> None:
    """Return as soon as a command waits for events: one that comes later sees only the end."""
    async with Redis.from_url(redis_url) as redis, asyncio.timeout(HUNG_SECONDS):
        while (await redis.info("clients"))["blocked_clients"] == 0:
            await asyncio.sleep(0.02)


async def play_worker(job_id: UUID, database: Database, redis_url: str | None, path: Path) -> None:
    """Do to a job what a run does to it."""
    async with ProgressPublisher(redis_url) as publisher:
        async with database.session_scope() as session:
            lease = await JobRepository(session).lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        for percent in (25, 50, 75):
            await publisher.publish(
                ProgressEvent(
                    job_id=job_id,
                    status=JobStatus.PROCESSING,
                    stage=Stage.RENDERING,
                    progress=percent,
                    message=f"step {percent // 5} of 20",
                    timestamp=datetime.now(UTC),
                )
            )
        async with database.session_scope() as session:
            await FileRepository(session).record([file_of(job_id, path)])
            await JobRepository(session).complete(lease, output_path=str(path))


def file_of(job_id: UUID, path: Path) -> AssetRow:
    return AssetRow(
        filename=path.name,
        file_type="image",
        file_path=str(path),
        file_size=12_345,
        job_id=job_id,
        source_path=path.name,
        width=512,
        height=768,
    )


async def test_generate_prints_the_file_and_nothing_else_on_stdout(
    anime: Commands, prefect: PrefectPeer, database: Database, redis_url: str
) -> None:
    process = await anime.start("generate", "a girl on a rooftop at dusk", "--seed", "7")
    job_id = await ordered_job(prefect)
    await somebody_watches(redis_url)
    await play_worker(job_id, database, redis_url, Path("/library/dusk.png"))
    done = await ended(process)
    assert (done.code, done.out) == (0, "/library/dusk.png\n"), done.err
    assert "rendering" in done.err
    assert prefect.runs[str(job_id)]["parameters"]["seed"] == 7


async def test_generate_needs_no_redis(
    anime: Commands, prefect: PrefectPeer, database: Database
) -> None:
    process = await anime.start("generate", "rain", "--json", ANIME_REDIS_URL="")
    job_id = await ordered_job(prefect)
    await play_worker(job_id, database, None, Path("/library/rain.png"))
    done = await ended(process)
    result = json.loads(done.out)
    assert done.code == 0
    assert result["job"]["status"] == "completed"
    assert [file["file_path"] for file in result["files"]] == ["/library/rain.png"]


async def test_a_failed_generation_exits_with_1_and_says_why(
    anime: Commands, prefect: PrefectPeer, database: Database
) -> None:
    process = await anime.start("generate", "rain")
    job_id = await ordered_job(prefect)
    async with database.session_scope() as session:
        await JobRepository(session).fail_unleased(
            job_id, FailureKind.OUT_OF_MEMORY, "The GPU is full. Take a smaller size."
        )
    done = await ended(process)
    assert (done.code, done.out) == (1, "")
    assert "Take a smaller size" in done.err
    assert "Traceback" not in done.err


async def test_ctrl_c_stops_watching_and_not_the_job(
    anime: Commands, prefect: PrefectPeer, database: Database
) -> None:
    process = await anime.start("generate", "rain")
    job_id = await ordered_job(prefect)
    await asyncio.wait_for(process.stderr.readline(), HUNG_SECONDS)  # it watches now
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert done.code == 130
    assert f"anime jobs {job_id}" in done.err
    assert "Traceback" not in done.err
    assert [job.status for job in await newest_jobs(database)] == [JobStatus.QUEUED]


async def test_a_prefect_that_is_busy_is_asked_again_and_one_job_is_made(
    anime: Commands, prefect: PrefectPeer, database: Database
) -> None:
    prefect.answers.clear()
    process = await anime.start("generate", "rain")
    line = await asyncio.wait_for(process.stderr.readline(), HUNG_SECONDS)
    assert b"has not answered within 5 s" in line
    prefect.answers.set()
    job_id = await ordered_job(prefect)
    await play_worker(job_id, database, None, Path("/library/rain.png"))
    done = await ended(process)
    assert (done.code, done.out) == (0, "/library/rain.png\n"), done.err
    assert [job.id for job in await newest_jobs(database)] == [job_id]


async def test_a_picture_handed_in_lies_in_the_library_under_its_hash(
    anime: Commands, prefect: PrefectPeer, tmp_path: Path
) -> None:
    picture = tmp_path / "Sketch.PNG"
    picture.write_bytes(b"picture")
    done = await anime.call("generate", "rain", "--image", str(picture), "--no-wait")
    assert done.code == 0, done.err
    parameters = prefect.runs[done.out.strip()]["parameters"]
    assert parameters["workflow"] == "img2img"
    name = parameters["inputs"]["image"]
    assert name.startswith(".inputs/")
    assert name.endswith(".png")
    assert (tmp_path / "library" / name).read_bytes() == b"picture"


async def test_several_pictures_handed_in_are_references_in_their_order(
    anime: Commands, prefect: PrefectPeer, tmp_path: Path
) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    pictures = [word for name in ("b", "a") for word in ("--image", str(tmp_path / f"{name}.png"))]
    done = await anime.call("generate", "rain", *pictures, "--no-wait")
    assert done.code == 0, done.err
    parameters = prefect.runs[done.out.strip()]["parameters"]
    assert parameters["workflow"] == "edit"
    stored = [
        (tmp_path / "library" / name).read_bytes() for name in parameters["inputs"]["references"]
    ]
    assert stored == [b"b", b"a"]


async def test_what_of_a_character_is_left_out_or_unchecked_is_said_when_it_is_submitted(
    anime: Commands,
) -> None:
    assert (await anime.call("characters", "create", "Mei")).code == 0
    lora = ("--lora", "mei.safetensors")
    await anime.call("characters", "version", "Mei", "--prompt", "silver hair", *lora)
    done = await anime.call("generate", "@mei", "--workflow", "sdxl", "--no-wait")
    assert done.code == 0, done.err
    assert "LoRA mei.safetensors of character Mei, version 1 fits is unchecked" in done.err
    shown = await anime.call("jobs", done.out.strip())
    assert "is unchecked" in " ".join(shown.out.split())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANIME_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing"),
        ("ANIME_COMFYUI_URL", "http://127.0.0.1:9"),
        ("PREFECT_API_URL", "http://127.0.0.1:9/api"),
    ],
)
async def test_a_service_that_is_away_is_named_and_nothing_is_made(
    anime: Commands, prefect: PrefectPeer, database: Database, variable: str, value: str
) -> None:
    done = await anime.call("generate", "rain", **{variable: value})
    assert (done.code, done.out) == (1, "")
    assert "127.0.0.1:9" in done.err
    assert "→ " in done.err
    assert len(done.err.splitlines()) <= 2, done.err
    assert await newest_jobs(database) == []
    assert prefect.runs == {}


async def test_cancel_stops_the_jobs_it_names_and_says_what_became_of_each(
    anime: Commands, prefect: PrefectPeer
) -> None:
    first, second, other = [
        (await anime.call("generate", "rain", "--no-wait")).out.strip() for _ in range(3)
    ]
    done = await anime.call("cancel", first, second)
    again = await anime.call("cancel", first)
    assert (done.code, done.out.splitlines()) == (
        0,
        [f"{first}  It is cancelled.", f"{second}  It is cancelled."],
    )
    assert (again.code, "nothing is changed" in again.out) == (0, True)
    assert [prefect.state_of(job) for job in (first, second, other)] == [
        "CANCELLED",
        "CANCELLED",
        "RUNNING",
    ]


async def test_a_job_that_does_not_exist_keeps_no_other_from_being_cancelled(
    anime: Commands, prefect: PrefectPeer
) -> None:
    jobs = [(await anime.call("generate", "rain", "--no-wait")).out.strip() for _ in range(2)]
    missing = str(uuid4())
    done = await anime.call("cancel", missing, *jobs)
    assert (done.code, missing in done.err) == (1, True)
    assert [prefect.state_of(job) for job in jobs] == ["CANCELLED", "CANCELLED"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["generate", ""], "prompt"),
        (["generate", "x" * 100_000], "prompt"),
        (["generate", "rain", "--width", "0"], "width"),
        (["generate", "rain", "--steps", "-1"], "steps"),
        (["generate", "rain", "--seed", str(2**64)], "seed"),
        (["generate", "rain", "--workflow", "nothing"], "txt2img"),
        (["generate", "rain", "--input", "framez=3"], "framez"),
        (["generate", "rain", "--image", "/nothing.png"], "/nothing.png"),
        (["generate", "rain", "--image", "/dev/null"], "/dev/null is no file"),
        (["jobs", "not-an-id"], "not-an-id"),
    ],
)
async def test_bad_input_is_a_sentence_and_exit_1(
    anime: Commands, database: Database, words: list[str], named: str
) -> None:
    done = await anime.call(*words)
    assert (done.code, done.out) == (1, "")
    assert named in done.err
    assert "Traceback" not in done.err
    assert await newest_jobs(database) == []


async def test_jobs_and_files_list_what_there_is(
    anime: Commands, database: Database, tmp_path: Path
) -> None:
    job_id, path = uuid4(), tmp_path / "library" / "rain.png"
    order = GenerationRequest(prompt="[bold]rain[/] on 屋根", project="Neon City", seed=2**64 - 1)
    async with database.session_scope() as session:
        await JobRepository(session).create(job_id, order, workflow="txt2img", seed=2**64 - 1)
        await FileRepository(session).record([file_of(job_id, path)])
    table = await anime.call("jobs", "--project", "Neon City", "--status", "queued")
    one = await anime.call("jobs", str(job_id))
    as_json = await anime.call("jobs", "--json")
    files = await anime.call("files", "--job", str(job_id))
    assert str(job_id) in table.out
    assert "[bold]rain[/] on 屋根" in table.out
    assert str(2**64 - 1) in one.out
    assert json.loads(as_json.out)[0]["seed"] == 2**64 - 1
    assert str(path) in files.out
    assert "512×768" in files.out


@pytest.mark.parametrize("command", ["jobs", "files"])
async def test_an_empty_list_says_whether_there_is_such_a_project(
    anime: Commands, database: Database, command: str
) -> None:
    async with database.session_scope() as session:
        await ProjectRepository(session).get_or_create("Neon City")
    known = await anime.call(command, "--project", "neon-city")
    assert (known.code, known.err) == (0, "")
    wrong = await anime.call(command, "--project", "Neon Citty", "--json")
    assert (wrong.code, "There is no project 'Neon Citty'" in wrong.err) == (0, True)
    assert json.loads(wrong.out) in ([], {"files": [], "next_cursor": None})


async def test_failed_jobs_are_listed_by_their_kind_and_requeued(
    anime: Commands, database: Database, prefect: PrefectPeer
) -> None:
    poison, lost = uuid4(), uuid4()
    kinds = {poison: FailureKind.QUARANTINED, lost: FailureKind.LOST}
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        for job_id, kind in kinds.items():
            await jobs.create(job_id, GenerationRequest(prompt="x"), workflow="txt2img", seed=1)
            lease = await jobs.lease(job_id, uuid4(), seconds=60)
            assert lease is not None
            await jobs.fail(lease, kind, "Gone.")
    listed = await anime.call("jobs", "--status", "quarantined")
    assert (str(poison) in listed.out, str(lost) in listed.out) == (True, False)
    done = await anime.call("requeue", "--failed", "--since", "1h", "--kind", "lost")
    assert done.out.splitlines() == [f"{lost}  It waits for a run again."]
    assert list(prefect.runs) == [f"{lost}:2"]
    shown = await anime.call("jobs", str(lost))
    assert "Failed as lost: Gone." in shown.out
    assert "It was requeued." in shown.out
    again = await anime.call("requeue", str(lost), str(poison))
    assert again.out.splitlines() == [
        f"{lost}  It has not failed; it stays as it is.",
        f"{poison}  It waits for a run again.",
    ]
    for words in ([], [str(lost), "--failed"], ["--kind", "lost"], ["--failed", "--since", "1y"]):
        assert (await anime.call("requeue", *words)).code == 1
    assert (await anime.call("requeue", str(uuid4()))).code == 1


async def test_files_are_found_page_by_page(
    anime: Commands, database: Database, tmp_path: Path
) -> None:
    async with database.session_scope() as session:
        found = [file_of(uuid4(), tmp_path / name) for name in ("a.png", "b.png")]
        await FileRepository(session).record(found)
    options = ("--kind", "image", "--since", "2020-01-01", "--limit", "1")
    table = await anime.call("files", *options)
    first = json.loads((await anime.call("files", *options, "--json")).out)
    cursor = first["next_cursor"]
    second = json.loads((await anime.call("files", *options, "--cursor", cursor, "--json")).out)
    wrong = await anime.call("files", "--until", "soon")
    assert f"--cursor {cursor}" in table.err
    assert [page["files"][0]["filename"] for page in (first, second)] == ["b.png", "a.png"]
    assert second["next_cursor"] is None
    assert (wrong.code, "'soon' is no date" in wrong.err) == (1, True)


async def test_rebuild_and_verify_say_what_they_find(
    anime: Commands, database: Database, tmp_path: Path
) -> None:
    library = tmp_path / "shelf"
    path = library / "neon-city" / "images" / "20260412" / "a.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), "teal").save(path)
    there = {"ANIME_LIBRARY_DIR": str(library)}
    without = await anime.call("verify", **there)
    planned = await anime.call("rebuild", "--dry-run", **there)
    done = json.loads((await anime.call("rebuild", "--json", **there)).out)
    well = await anime.call("verify", "--quick", "--json", **there)
    path.write_bytes(path.read_bytes() + b"x")
    altered = await anime.call("verify", **there)
    path.rename(tmp_path / "a.png")
    (library / "notes.txt").touch()
    missing = await anime.call("verify", **there)
    (library / "notes.txt").unlink()
    lost = await anime.call("rebuild", ANIME_LIBRARY_DIR=str(tmp_path / "nowhere"))
    assert (without.code, str(path) in without.out) == (1, True)
    assert "anime rebuild" in without.err
    assert "would be written" in planned.out
    assert (done["files_added"], done["projects_added"]) == (1, 1)
    assert (well.code, json.loads(well.out)["present"]) == (0, 1)
    assert (altered.code, "backup" in altered.err, "--repair" in altered.err) == (1, True, False)
    assert "--repair" in missing.err
    assert (missing.code, "notes.txt" in missing.out, str(path) in missing.out) == (1, True, True)
    assert (lost.code, "There is no library" in lost.err) == (1, True)


async def test_migrate_says_from_where_to_where(anime: Commands, empty_database_url: str) -> None:
    first = await anime.call("migrate", ANIME_DATABASE_URL=empty_database_url)
    again = await anime.call("migrate", ANIME_DATABASE_URL=empty_database_url)
    assert "from nothing to" in first.out
    assert "up to date" in again.out


async def test_migrate_lets_an_older_release_start_on_newer_tables(
    anime: Commands, database_url: str
) -> None:
    await execute(database_url, "UPDATE anime_api.alembic_version SET version_num = '9999'")
    done = await anime.call("migrate")
    assert (done.code, done.err) == (0, "")
    assert "9999" in done.out
    assert "newer release" in done.out
    assert (await revision(database_url))[0] == "9999"


async def test_doctor_is_content_with_a_studio_in_order(anime: Commands) -> None:
    done = await anime.call("doctor", "--json")
    findings = json.loads(done.out)
    assert [finding for finding in findings if not finding["ok"]] == []
    [comfyui] = [finding for finding in findings if finding["system"] == "comfyui"]
    assert "supports_preview_metadata; no node packages" in comfyui["detail"]
    assert done.code == 0


async def test_doctor_says_what_to_do_about_each_fault(
    anime: Commands, prefect: PrefectPeer, empty_database_url: str, tmp_path: Path
) -> None:
    prefect.pool_status = "NOT_READY"
    prefect.deployments.clear()
    done = await anime.call(
        "doctor",
        ANIME_DATABASE_URL=empty_database_url,
        ANIME_REDIS_URL=f"unix://{tmp_path}/nothing.sock",
        ANIME_COMFYUI_URL="http://127.0.0.1:9",
        ANIME_LIBRARY_DIR=str(tmp_path / "missing"),
        ANIME_PUBLIC_URL="http://127.0.0.1:9",
        ANIME_WS_URL="ws://127.0.0.1:9",
        ANIME_WEBHOOK_SECRET="none",
        ANIME_SWEEP_DIR=str(tmp_path / "nothing"),
        ANIME_BACKUP_DIR=str(tmp_path / "unmounted"),
    )
    assert done.code == 1
    for todo in ("anime migrate", "ANIME_REDIS_URL", "ANIME_LIBRARY_DIR", "anime worker", "deploy"):
        assert todo in done.out
    for todo in ("ANIME_PUBLIC_URL", "ANIME_WS_URL", "whsec_", "ANIME_SWEEP_DIR"):
        assert todo in done.out
    assert "unmounted for backups" in done.out
    assert done.out.count("FAIL") == done.out.count("→") == 14


async def test_doctor_tells_of_settings_that_are_misspelt(anime: Commands) -> None:
    others = {"ANIME_POSTGRES_PASSWORD": "compose.yaml's"}
    done = await anime.call(
        "doctor", "--json", ANIME_LIBARY_DIR="x", ANIME_SWEEP_DIRS="x", **others
    )
    [settings] = [each for each in json.loads(done.out) if each["system"] == "settings"]
    assert settings["ok"]
    assert settings["detail"].endswith("no setting is called ANIME_LIBARY_DIR, ANIME_SWEEP_DIRS.")
    assert settings["todo"] == "Did you mean ANIME_LIBRARY_DIR, ANIME_SWEEP_DIR?"


async def test_doctor_tells_a_token_that_is_missing_from_an_api_that_is_away(
    anime: Commands,
) -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(401, "")

    async def nothing(_: ServerConnection) -> None:
        """Nobody gets so far."""

    async with serve(nothing, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        done = await anime.call("doctor", ANIME_WS_URL=f"ws://127.0.0.1:{port}")
    assert "HTTP 401" in done.out
    assert "Set ANIME_API_TOKEN" in done.out


async def test_env_prints_lines_a_shell_can_read(anime: Commands) -> None:
    done = await anime.call("env")
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'{done.out}\nprintf %s "$PREFECT_API_AUTH_STRING"'),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await shell.communicate()
    assert out.decode() == AUTH


@pytest.mark.parametrize("word", ["--help", "--wrong"])
async def test_the_process_ends_at_once_after_all_that_is_to_be_written(word: str) -> None:
    code = (
        "import atexit, os, sys, anime.cli.app as it\n"
        "class Module:\n"
        "    def __del__(self): os.write(1, b'taken apart')\n"
        "sys.modules['some'] = Module()\n"
        "atexit.register(print, 'the last words')\n"
        "it.run()"
    )
    done = await run_python(code, word)
    assert done.code == (0 if word == "--help" else 2)
    assert "anime" in (done.out if word == "--help" else done.err)
    assert done.out.endswith("the last words\n")


async def test_a_command_whose_output_is_closed_ends_as_others_do() -> None:
    program = f'"{sys.executable}" -P -m anime.cli.app --help'
    process = await asyncio.create_subprocess_shell(
        f"{program} >&-", stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    done = await ended(process)
    assert (done.code, done.err) == (0, "")


NAME = "夜\udcff×"  # a byte that is no UTF-8, as a file's name may have


@pytest.mark.parametrize(
    ("output", "code", "shown"),
    [
        (">&-", 0, ""),
        ("", 0, "\\u591c\\udcff"),
        (">/dev/full", 1, "→ Free some space, or write elsewhere.\n"),
    ],
)
@pytest.mark.parametrize("is_threaded", [False, True])  # one that has not ended yet
async def test_every_output_takes_a_table_or_says_why_not(
    output: str, code: int, shown: str, *, is_threaded: bool
) -> None:
    program = (
        "import threading, time\n"
        f"{is_threaded} and threading.Thread(target=time.sleep, args=(0.5,)).start()\n"
        "from types import SimpleNamespace as Project\n"
        "import anime.cli.projects as it, anime.cli.app as app\n"
        f"async def found(): return [Project(slug='a', name={NAME!a}, description='')]\n"
        "it._all = found\n"
        "app.run()"
    )
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -P -c {shlex.quote(program)} projects list {output}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    out, err = await asyncio.wait_for(process.communicate(), HUNG_SECONDS)
    assert process.returncode == code, err
    assert shown in (out if code == 0 else err).decode()


async def test_a_bug_exits_with_3_and_leaves_a_log(anime: Commands, tmp_path: Path) -> None:
    code = (
        "import anime.cli.jobs, anime.cli.app as it\n"
        "def broken(**_): raise RuntimeError('out of tea')\n"
        "anime.cli.jobs.parse_job_id = broken\n"
        "it.main()"
    )
    done = await run_python(code, "jobs", "x")
    assert done.code == 3
    assert "Traceback" not in done.err
    [log] = (tmp_path / "home" / "logs").glob("bug-*.log")
    assert str(log) in done.err
    assert "Python" in log.read_text()
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


async def test_help_and_lists_import_nothing_heavy() -> None:
    code = (
        "import sys, anime.cli.app\n"
        "print(sorted({'prefect', 'fastapi', 'sqlalchemy', 'httpx', 'redis'} & set(sys.modules)))"
    )
    assert (await run_python(code)).out == "[]\n"


async def test_serve_answers_on_every_port_until_it_is_told_to_stop(anime: Commands) -> None:
    process = await anime.start("serve", ANIME_API_PORTS="0,0", ANIME_WS_PORT="0")
    urls: list[str] = []
    while len(urls) < 2:
        line = (await asyncio.wait_for(process.stderr.readline(), HUNG_SECONDS)).decode()
        urls += [word for word in line.split() if word.startswith("http://")]
    async with httpx.AsyncClient(timeout=HUNG_SECONDS) as client:
        answers = [await client.get(f"{url}/api/anime/jobs?project=rain") for url in urls]
    assert [answer.status_code for answer in answers] == [200, 200]
    ports = ",".join(url.rpartition(":")[2] for url in urls)
    assert (await anime.call("services", "check", "api", ANIME_API_PORTS=ports)).code == 0
    process.send_signal(signal.SIGTERM)
    assert "rain" not in (await ended(process)).err


async def test_serve_names_the_variable_of_a_port_that_is_taken(
    anime: Commands, comfyui_url: str
) -> None:
    done = await anime.call("serve", ANIME_API_PORTS=comfyui_url.rpartition(":")[2])
    assert done.code == 1
    assert "ANIME_API_PORTS" in done.err
