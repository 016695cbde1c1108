"""Whether the studio is ready, and its figures, with services that are there and that are not."""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import make_url

from anime.api import metrics, readiness
from anime.assets.backup.folder import BackupFolder
from anime.assets.store import AssetStore
from anime.cli import doctor_checks
from anime.cli.doctor_checks import run_checks
from anime.core.job_status import FailureKind
from anime.core.server_health import ServerHealth
from anime.core.servers import EVERYTHING
from anime.db.migrate import revision
from anime.db.repositories import (
    AssetRow,
    FileRepository,
    JobRepository,
    PauseRepository,
    ServerRepository,
)
from anime.db.repositories.revisions import NEWEST_REVISION
from anime.db.session import Database
from anime.jobs.probes import CheckResult, result_of
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from anime.settings import Settings
from anime.settings.addresses import database_address
from tests.integration.api_client import opened_api
from tests.integration.old_client import execute
from tests.integration.prefect_peer import PrefectPeer
from tests.support.dead_mount import give_up_soon, let_die

HUNG_SECONDS = 60.0
NOWHERE = "http://127.0.0.1:9"
NO_DATABASE = SecretStr("postgresql://nobody@127.0.0.1:9/nothing")
Figures = dict[tuple[str, ...], float]  # by name and the values of its labels, sorted by label


@pytest_asyncio.fixture
async def whole(api_settings: Settings, redis_url: str, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings of a studio of which every part answers."""
    async with serving(RehearsalConfig(data_dir=tmp_path / "comfyui", port=0)) as url:
        yield api_settings.model_copy(
            update={"redis_url": SecretStr(redis_url), "comfyui_url": url}
        )


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_a_whole_studio_is_ready(whole: Settings) -> None:
    async with opened_api(whole) as api:
        answer = await api.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    states = {name: each["state"] for name, each in answer.json()["dependencies"].items()}
    assert states == {
        "database": "up",
        "redis": "up",
        "comfyui": "up",
        "prefect": "up",
        "library": "up",
        "vault": "not configured",
    }


@pytest.mark.parametrize(
    ("changes", "missing", "status"),
    [
        ({"database_url": NO_DATABASE}, "database", 503),
        ({"comfyui_url": NOWHERE}, "comfyui", 503),
        ({"comfyui_url": None}, "comfyui", 503),
        ({"prefect_api_url": f"{NOWHERE}/api"}, "prefect", 503),
        ({"redis_url": SecretStr("redis://127.0.0.1:9")}, "redis", 200),
        ({"library_dir": Path("/nowhere/library")}, "library", 503),
    ],
)
async def test_what_is_missing_is_named_with_its_error(
    whole: Settings, changes: dict[str, object], missing: str, status: int
) -> None:
    async with opened_api(whole, **changes) as api:
        answer = await api.get("/ready")
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) is (status == 503)
    found = answer.json()["dependencies"]
    assert [name for name, each in found.items() if each["state"] == "down"] == [missing]
    assert found[missing]["error"]
    assert found[missing]["todo"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_one_server_that_answers_is_enough(whole: Settings, order: tuple[int, int]) -> None:
    servers = (str(whole.comfyui_url), NOWHERE)
    async with opened_api(whole, comfyui_url=",".join(servers[each] for each in order)) as api:
        assert (await api.get("/ready")).json()["dependencies"]["comfyui"]["state"] == "up"


@pytest.mark.parametrize(
    ("route", "body", "todo"),
    [
        ("pause", {}, "`anime resume`"),
        ("pause", {"server": "{url}"}, "`anime servers`"),
        ("servers/{name}/drain", None, "`anime servers`"),
    ],
)
async def test_it_is_not_ready_while_nothing_may_begin_anywhere(
    whole: Settings, route: str, body: dict[str, str] | None, todo: str
) -> None:
    url = str(whole.comfyui_url)
    async with opened_api(whole) as api:
        [server] = (await api.get("/api/anime/servers")).json()["items"]
        filled = body and {name: text.format(url=url) for name, text in body.items()}
        path = f"/api/anime/{route.format(name=server['name'])}"
        assert (await api.post(path, json=filled)).status_code == 200
        found = (await api.get("/ready")).json()["dependencies"]["comfyui"]
    assert found["state"] == "down"
    assert todo in found["todo"]


async def test_of_a_low_disk_it_says_that_nobody_need_end_the_pause(whole: Settings) -> None:
    async with Database(database_address(whole)) as database, database.session_scope() as session:
        await PauseRepository(session).set(EVERYTHING, "low disk", is_automatic=True)
    async with opened_api(whole, min_free_disk_mb=10**9) as api:
        found = (await api.get("/ready")).json()["dependencies"]["comfyui"]
    assert found["state"] == "down"
    assert "ends by itself" in found["todo"]


@pytest.mark.parametrize(
    ("status", "todo"), [("NOT_READY", "anime worker"), ("PAUSED", "work-pool resume")]
)
async def test_a_pool_that_nobody_works_for_is_not_ready(
    whole: Settings, prefect_peer: PrefectPeer, status: str, todo: str
) -> None:
    prefect_peer.pool_status = status
    async with opened_api(whole) as api:
        answer = await api.get("/ready")
    assert answer.status_code == 503
    assert todo in answer.json()["dependencies"]["prefect"]["todo"]


@pytest.mark.usefixtures("new_sessions")
@pytest.mark.parametrize(
    ("statement", "todo"),
    [
        ("ALTER DATABASE {name} SET default_transaction_read_only = on", "ANIME_DATABASE_URL"),
        ("UPDATE anime_api.alembic_version SET version_num = '0001'", "anime migrate"),
        ("DROP TABLE anime_api.alembic_version", "anime migrate"),
    ],
)
async def test_a_database_that_takes_no_job_is_not_ready(
    whole: Settings, database_url: str, statement: str, todo: str
) -> None:
    await execute(database_url, statement.format(name=make_url(database_url).database))
    async with opened_api(whole) as api:
        answer = await api.get("/ready")
    assert answer.status_code == 503
    assert todo in answer.json()["dependencies"]["database"]["todo"]


async def test_tables_of_a_newer_release_are_ready(whole: Settings, database_url: str) -> None:
    """While an upgrade replaces one API after the other, and when a release is taken back."""
    await execute(database_url, "UPDATE anime_api.alembic_version SET version_num = '9999'")
    async with opened_api(whole) as api:
        answer = await api.get("/ready")
    assert answer.status_code == 200, answer.text
    assert answer.json()["dependencies"]["database"]["state"] == "up"


async def test_a_library_that_hangs_holds_one_thread_however_often_it_is_asked_for(
    whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    mounted = threading.Event()

    def hang(store: AssetStore) -> None:
        asked.append(store.root)
        mounted.wait(60)

    monkeypatch.setattr(AssetStore, "_check", hang)
    monkeypatch.setattr(readiness, "TIMEOUT_SECONDS", 1)
    async with opened_api(whole) as api:
        for _ in range(3):
            found = (await api.get("/ready")).json()["dependencies"]
            assert found["library"]["state"] == "down"
        assert asked == [whole.library]
        mounted.set()
        monkeypatch.setattr(readiness, "TIMEOUT_SECONDS", 30)
        found = (await api.get("/ready")).json()["dependencies"]
        assert found["library"]["state"] == "up"


async def test_doctor_says_of_each_fault_what_the_api_says(
    whole: Settings, prefect_peer: PrefectPeer, database_url: str
) -> None:
    await execute(database_url, "UPDATE anime_api.alembic_version SET version_num = '0001'")
    prefect_peer.pool_status = "PAUSED"
    broken = whole.model_copy(
        update={
            "redis_url": SecretStr("redis://127.0.0.1:9"),
            "comfyui_url": NOWHERE,
            "library_dir": Path("/nowhere/library"),
        }
    )
    async with opened_api(broken) as api:
        found = (await api.get("/ready")).json()["dependencies"]
    told = {each["error"]: each["todo"] for each in found.values() if each["state"] == "down"}
    said = {each.detail: each.todo for each in await run_checks(broken)}
    assert len(told) == 5
    assert said | told == said


async def test_doctor_ends_and_names_each_folder_whose_mount_does_not_answer(
    whole: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "nas"
    folders = {
        name: mount / name
        for name in ("library_dir", "backup_dir", "workflows_dir", "comfyui_output_dir")
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
    # Its checks of the other systems may take as long as ever.
    monkeypatch.setattr(doctor_checks, "DISK_SECONDS", 0.5)
    is_back = let_die(mount, monkeypatch, seconds=HUNG_SECONDS)

    def run() -> list[CheckResult]:  # as the command does, which ends with its event loop
        return asyncio.run(run_checks(whole.model_copy(update=folders)))

    try:
        async with asyncio.timeout(HUNG_SECONDS / 2):
            found = {each.system: each for each in await asyncio.to_thread(run)}
    finally:
        is_back.set()
    silent = {
        "disk": "library_dir",
        "sweeps": "comfyui_output_dir",
        "backups": "backup_dir",
        "workflows": "workflows_dir",
    }
    for system, name in silent.items():
        assert not found[system].ok
        assert str(folders[name]) in found[system].detail


async def test_workflows_on_a_mount_that_does_not_answer_hold_up_nothing_else(
    whole: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workflows"
    folder.mkdir()
    give_up_soon(monkeypatch)
    async with opened_api(whole, workflows_dir=folder) as api:
        is_back = let_die(folder, monkeypatch, seconds=HUNG_SECONDS)
        try:
            asked = ["/api/anime/workflows", "/api/anime/workflows/text_to_image"] * 20
            answers = await asyncio.gather(*map(api.get, asked))
            assert {each.status_code for each in answers} == {503}
            assert all("folder of workflows" in each.text for each in answers)
            ready = (await api.get("/ready")).json()["dependencies"]
            assert ready["library"]["state"] == ready["database"]["state"] == "up"
        finally:
            is_back.set()
        assert (await api.get("/api/anime/workflows")).status_code == 200


async def test_the_newest_revision_is_the_one_that_migrations_lead_to(database_url: str) -> None:
    assert await revision(database_url) == (NEWEST_REVISION, NEWEST_REVISION)


async def test_what_never_answers_keeps_nobody_waiting(
    whole: Settings, silent_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_SECONDS", 8)  # in which the others answer
    silent = {
        "comfyui_url": silent_url,
        "prefect_api_url": f"{silent_url}/api",
        "redis_url": SecretStr(silent_url.replace("http", "redis")),
    }
    checked = list[str]()

    async def noted(*asked: Any) -> Any:  # as it takes and gives them
        checked.append("begins")
        result = await result_of(*asked)
        checked.append("ends")
        return result

    monkeypatch.setattr("anime.api.readiness.result_of", noted)
    async with opened_api(whole, **silent) as api:
        found = (await api.get("/ready")).json()["dependencies"]
    assert sorted(checked) == checked, "one was asked after the other"
    down = {name for name, each in found.items() if each["state"] == "down"}
    assert down == {"comfyui", "prefect", "redis"}
    assert all(found[name]["error"] for name in down)


async def figures(api: httpx.AsyncClient) -> Figures:
    answer = await api.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def completed(database: Database, job_id: UUID, *, render_seconds: float) -> None:
    """Bring a queued job to its end, with a file that says how long the render took."""
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        lease = await jobs.lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        new = AssetRow(
            filename="1.png",
            file_type="image",
            file_path="/1.png",
            file_size=1,
            job_id=job_id,
            metadata={"timings": {"render_seconds": render_seconds}},
        )
        await FileRepository(session).record([new])
        await jobs.complete(lease, output_path="/1.png")


async def test_jobs_are_counted_by_state_and_kind_of_failure(
    whole: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0)
    async with opened_api(whole) as api:
        assert (await figures(api))["anime_queue_depth",] == 0
        order = {"prompt": "rain"}
        ids = [(await api.post("/api/anime/generate", json=order)).json()["job_id"] for _ in "123"]
        async with database.session_scope() as session:
            await JobRepository(session).fail_unleased(UUID(ids[0]), FailureKind.LOST, "Nobody.")
        shown = await figures(api)
    assert shown["anime_queue_depth",] == 2
    assert shown["anime_jobs", "", "queued"] == 2
    assert shown["anime_jobs", "lost", "failed"] == 1
    assert shown["anime_jobs", "", "completed"] == 0
    assert shown["anime_websocket_clients",] == 0
    assert shown["anime_database_up",] == 1


async def test_each_render_is_counted_once_from_when_the_process_looks(
    whole: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0)
    async with opened_api(whole) as api:
        order = {"prompt": "rain"}
        ids = [(await api.post("/api/anime/generate", json=order)).json()["job_id"] for _ in "123"]
        await completed(database, UUID(ids[0]), render_seconds=9)  # before anybody looked
        assert (await figures(api))["anime_render_seconds_count",] == 0
        await completed(database, UUID(ids[1]), render_seconds=2)
        await completed(database, UUID(ids[2]), render_seconds=3)
        for _ in range(3):
            shown = await figures(api)
            assert shown["anime_render_seconds_count",] == 2
            assert shown["anime_render_seconds_sum",] == 5
            assert shown["anime_overhead_seconds_count",] == 2
            assert shown["anime_job_wait_seconds_count",] == 2
    assert shown["anime_files_organised",] == 3


async def test_the_servers_and_their_memory_are_shown(whole: Settings) -> None:
    async with opened_api(whole, comfyui_url=f"{NOWHERE},{whole.comfyui_url}") as api:
        shown = await figures(api)
    assert shown["anime_comfyui_up", whole.comfyui_url or ""] == 1
    assert shown["anime_comfyui_up", NOWHERE] == 0
    [free] = [value for (name, *_), value in shown.items() if name == "anime_vram_free_bytes"]
    assert free > 0


async def test_mounts_that_are_sick_leave_their_own_figures_out(
    whole: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backups" / "20251202T030000Z").mkdir(parents=True)
    sick = {tmp_path / "output", tmp_path / "backups" / "20251202T030000Z"}
    inspect = os.stat

    def inspect_sick_mount(path: Any, **options: Any) -> os.stat_result:
        if sick & {Path(path), *Path(path).parents}:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return inspect(path, **options)

    folders = {"comfyui_output_dir": tmp_path / "output", "backup_dir": tmp_path / "backups"}
    async with opened_api(whole, **folders) as api:
        monkeypatch.setattr(os, "stat", inspect_sick_mount)
        shown = await figures(api)
    assert shown["anime_database_up",] == 1
    assert shown["anime_disk_free_bytes", "library"] > 0
    assert shown["anime_last_backup_timestamp_seconds",] == 0


async def test_a_folder_of_backups_that_hangs_is_not_waited_for(
    whole: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    looks: list[BackupFolder] = []

    def hang(folder: BackupFolder) -> list[str]:
        looks.append(folder)
        answers.wait()
        return ["20251202T030000Z"]

    monkeypatch.setattr(BackupFolder, "names", hang)
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0)
    monkeypatch.setattr(metrics, "DISK_SECONDS", 0.05)
    async with opened_api(whole, backup_dir=tmp_path) as api:
        try:
            for _ in "12":
                assert (await figures(api))["anime_last_backup_timestamp_seconds",] == 0
            assert len(looks) == 1
        finally:
            answers.set()


async def test_the_health_of_servers_and_the_space_on_disks_are_shown(
    whole: Settings, database: Database
) -> None:
    url = str(whole.comfyui_url)
    async with database.session_scope() as session:
        servers = ServerRepository(session)
        await servers.seed([url])
        await servers.set_health(url, ServerHealth.ZOMBIE, "It renders nothing.")
    async with opened_api(whole, comfyui_output_dir=Path("/nowhere/at/all")) as api:
        shown = await figures(api)
    healths = {key[1:] for key in shown if key[0] == "anime_comfyui_health"}
    assert healths == {("zombie", url)}
    folders = {key[1]: free for key, free in shown.items() if key[0] == "anime_disk_free_bytes"}
    assert folders.keys() == {"library", "comfyui_output"}
    assert all(free > 0 for free in folders.values())


async def test_without_a_database_the_figures_say_so(whole: Settings) -> None:
    async with opened_api(whole, database_url=NO_DATABASE) as api:
        shown = await figures(api)
    assert shown["anime_database_up",] == 0
    assert shown["anime_comfyui_up", whole.comfyui_url or ""] == 1


async def test_many_who_look_ask_the_services_once(
    whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = metrics._stats

    async def counted(url: str) -> object:
        asked.append(url)
        return await ask(url)

    monkeypatch.setattr(metrics, "_stats", counted)
    async with opened_api(whole) as api:
        await asyncio.gather(*(figures(api) for _ in range(10)))
    assert asked == [whole.comfyui_url]


async def test_prefect_without_our_deployment_is_not_ready(
    whole: Settings, prefect_peer: PrefectPeer
) -> None:
    prefect_peer.deployments.clear()
    async with opened_api(whole) as api:
        found = (await api.get("/ready")).json()["dependencies"]
    assert "deploy" in found["prefect"]["todo"]


async def test_a_server_that_was_removed_has_no_figures_any_more(
    whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0)
    async with opened_api(whole) as api:
        new = {"url": NOWHERE, "name": "gone"}
        assert (await api.post("/api/anime/servers", json=new)).status_code == 201
        assert (await figures(api))["anime_comfyui_up", NOWHERE] == 0
        assert (await api.delete("/api/anime/servers/gone")).status_code == 204
        shown = await figures(api)
    assert ("anime_comfyui_up", NOWHERE) not in shown
    assert shown["anime_comfyui_up", whole.comfyui_url or ""] == 1
