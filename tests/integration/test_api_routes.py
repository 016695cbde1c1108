"""The HTTP routes against a real database and library, in process."""

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from anime.api.app import create_app
from anime.api.routes_generation import MAX_BATCH_BYTES, GenerationStatus
from anime.assets import folder_reader
from anime.core.batches import BatchRequest, expand
from anime.core.job_status import FailureKind
from anime.core.paths import thumbnail_path
from anime.db.repositories import AssetRow, FileRepository, JobRepository
from anime.db.session import Database
from anime.schemas import FileRecord
from anime.settings import SHIPPED_WORKFLOWS, Settings
from anime.stack.prefect_server import TUNING
from tests.integration.api_client import client_of, opened_api, problem_in
from tests.integration.prefect_peer import PrefectPeer
from tests.support.dead_mount import let_die

SECONDS = 20
PICTURE, THUMBNAIL = b"\x89PNG picture", b"RIFF thumbnail"
SHA256 = "ab" * 32


async def write_file(database: Database, path: Path, sha256: str | None = SHA256) -> FileRecord:
    new = AssetRow(
        filename=path.name,
        file_type="image",
        file_path=str(path),
        file_size=len(PICTURE),
        sha256=sha256,
    )
    async with database.session_scope() as session:
        [row] = await FileRepository(session).record([new])
    return row


async def test_the_old_request_works_verbatim(
    api: httpx.AsyncClient, prefect_peer: PrefectPeer
) -> None:
    answer = await api.post(
        "/api/anime/generate",
        content='{"prompt": "anime character", "type": "image"}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted["status"] == "queued"
    await prefect_peer.until_runs(1)
    assert list(prefect_peer.runs) == [accepted["job_id"]]
    status = (await api.get(accepted["status_url"])).json()
    assert status.keys() >= {"id", "status", "progress", "stage", "output_path", "error"}
    assert (status["id"], status["status"], status["progress"]) == (
        accepted["job_id"],
        "queued",
        0.0,
    )
    assert answer.headers["location"] == accepted["status_url"]


async def test_the_same_idempotency_key_gives_the_same_job(
    api: httpx.AsyncClient, prefect_peer: PrefectPeer
) -> None:
    answers = [
        await api.post(
            "/api/anime/generate", json={"prompt": "rain"}, headers={"Idempotency-Key": key}
        )
        for key in ("a", "a", "b")
    ]
    first, again, other = (answer.json()["job_id"] for answer in answers)
    assert first == again != other
    await prefect_peer.until_runs(2)
    assert set(prefect_peer.runs) == {first, other}


async def test_requests_under_one_key_at_once_make_one_job(
    api: httpx.AsyncClient, prefect_peer: PrefectPeer
) -> None:
    prompts, key = ("rain", "snow") * 5, {"Idempotency-Key": "take 7"}
    answers = await asyncio.gather(
        *(
            api.post("/api/anime/generate", json={"prompt": prompt}, headers=key)
            for prompt in prompts
        )
    )
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [409] * 5
    [job] = (await api.get("/api/anime/jobs")).json()["items"]
    taken = {answer.json()["job_id"] for answer in answers if answer.is_success}
    assert taken == {job["id"]}
    await prefect_peer.until_runs(1)
    assert list(prefect_peer.runs) == [job["id"]]


async def test_the_same_key_with_another_request_is_refused(
    api: httpx.AsyncClient, prefect_peer: PrefectPeer
) -> None:
    key = {"Idempotency-Key": "take 7"}
    first = await api.post("/api/anime/generate", json={"prompt": "rain"}, headers=key)
    same = {"type": "image", "prompt": "rain", "priority": 50}  # what it is by default, spelled out
    again = await api.post("/api/anime/generate", json=same, headers=key)
    other = await api.post("/api/anime/generate", json={"prompt": "snow"}, headers=key)
    assert again.json() == first.json()
    assert problem_in(other, 409)["type"] == "urn:anime:problem:idempotency-conflict"
    await prefect_peer.until_runs(1)
    assert [run["parameters"]["prompt"] for run in prefect_peer.runs.values()] == ["rain"]


async def test_a_batch_is_one_run_whose_jobs_are_named(
    api: httpx.AsyncClient, prefect_peer: PrefectPeer
) -> None:
    batch, key = {"name": "b", "prompts": ["rain", "snow"]}, {"Idempotency-Key": "batch 7"}
    answers = [await api.post("/api/anime/batches", json=batch, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    accepted = answers[0].json()
    assert answers[1].json() == accepted
    assert accepted["job_ids"] == [str(child.job_id(1)) for child in expand(BatchRequest(**batch))]
    [run] = prefect_peer.runs.values()
    assert (run["id"], run["parameters"]) == (accepted["flow_run_id"], batch)
    wrong = await api.post("/api/anime/batches", json=batch | {"common": {"workflow": "nope"}})
    assert "txt2img" in problem_in(wrong, 422)["todo"]


async def test_a_batch_may_be_longer_than_other_bodies(
    api_settings: Settings, prefect_peer: PrefectPeer
) -> None:
    batch = {"name": "b", "prompts": [f"rain {number}" for number in range(200)]}
    async with opened_api(api_settings, api_max_body_bytes=1024) as api:
        refused = await api.post("/api/anime/generate", json={"prompt": "rain " * 300})
        problem_in(refused, 413)
        accepted = await api.post("/api/anime/batches", json=batch)
    assert accepted.status_code == 202
    assert [run["parameters"] for run in prefect_peer.runs.values()] == [batch]
    assert str(MAX_BATCH_BYTES) == TUNING["PREFECT_SERVER_API_MAX_PARAMETER_SIZE"]


async def test_whoever_wants_a_run_first_gets_no_job_while_comfyui_is_away(
    api_settings: Settings, prefect_peer: PrefectPeer
) -> None:
    async with opened_api(api_settings, comfyui_url="http://127.0.0.1:9") as api:
        refused = await api.post("/api/anime/generate?dispatched=true", json={"prompt": "rain"})
        assert "127.0.0.1:9" in problem_in(refused, 503)["detail"]
        assert (await api.get("/api/anime/jobs")).json()["items"] == []
    assert not prefect_peer.runs


async def test_progress_is_a_share_of_one(api: httpx.AsyncClient, database: Database) -> None:
    job_id = (await api.post("/api/anime/generate", json={"prompt": "rain"})).json()["job_id"]
    async with database.session_scope() as session:
        lease = await JobRepository(session).lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        await JobRepository(session).renew(lease, seconds=60, progress=45)
    status = GenerationStatus.model_validate(
        (await api.get(f"/api/anime/generation/{job_id}/status")).json()
    )
    assert (status.status, status.progress) == ("processing", 0.45)


async def test_a_failed_generation_says_why(api: httpx.AsyncClient, database: Database) -> None:
    job_id = (await api.post("/api/anime/generate", json={"prompt": "rain"})).json()["job_id"]
    async with database.session_scope() as session:
        lost = UUID(job_id), FailureKind.LOST, "Nobody ran it."
        await JobRepository(session).fail_unleased(*lost)
    status = (await api.get(f"/api/anime/generation/{job_id}/status")).json()
    assert (status["status"], status["error_kind"]) == ("failed", "lost")
    assert status["error"] == "Nobody ran it."


@pytest.mark.parametrize("job_id", [str(UUID(int=7)), "not-a-uuid", "%00", "1"])
async def test_an_unknown_job_is_not_found(api: httpx.AsyncClient, job_id: str) -> None:
    problem = problem_in(await api.get(f"/api/anime/generation/{job_id}/status"), 404)
    assert problem["type"] == "urn:anime:problem:not-found"


BAD_ORDERS: list[tuple[dict[str, object], str]] = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": "   "}, "prompt"),
    ({"prompt": "x" * 100_000}, "prompt"),
    ({"prompt": "a\x00b"}, "prompt"),
    ({}, "prompt"),
    ({"prompt": "rain", "width": 0}, "width"),
    ({"prompt": "rain", "width": 10}, "width"),
    ({"prompt": "rain", "width": 100}, "width"),
    ({"prompt": "rain", "width": 10**6}, "width"),
    ({"prompt": "rain", "steps": -1}, "steps"),
    ({"prompt": "rain", "seed": 2**64}, "seed"),
    ({"prompt": "rain", "seed": -1}, "seed"),
    ({"prompt": "rain", "lora": "x"}, "lora"),
    ({"prompt": "rain", "loras": [{"name": "x", "strength": 99}]}, "loras.0.strength"),
    ({"prompt": "rain", "type": "song"}, "type"),
]


@pytest.mark.parametrize(("order", "field"), BAD_ORDERS)
async def test_a_bad_request_names_the_field(
    api: httpx.AsyncClient, prefect_peer: PrefectPeer, order: dict[str, object], field: str
) -> None:
    answer = await api.post("/api/anime/generate", content=json.dumps(order), headers=JSON)
    problem = problem_in(answer, 422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert field in problem["detail"]
    assert len(answer.text) < 1000  # the value itself is not sent back
    assert prefect_peer.runs == {}


async def test_of_a_thousand_faults_each_is_listed_and_the_first_are_said(
    api: httpx.AsyncClient,
) -> None:
    batch = {"name": "storm", "requests": [{"prompt": "rain", "sead": 1}] * 1000}
    problem = problem_in(await api.post("/api/anime/batches", json=batch), 422)
    assert len(problem["errors"]) == 1000
    assert problem["detail"].count("is not known.") == 20
    assert problem["detail"].endswith(" And 980 more.")


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body", ['{"prompt": ', '"rain"', "[]", "", '{"prompt": "\\ud800"}', "NaN"]
)
async def test_what_is_no_request_at_all_is_refused(api: httpx.AsyncClient, body: str) -> None:
    problem_in(await api.post("/api/anime/generate", content=body, headers=JSON), 422)


async def test_a_page_elsewhere_cannot_post_without_asking(api: httpx.AsyncClient) -> None:
    """A form or a `no-cors` fetch may only send plain text, for which no browser asks first."""
    answer = await api.post(
        "/api/anime/generate",
        content='{"prompt": "rain"}',
        headers={"Content-Type": "text/plain"},
    )
    assert "Content-Type: application/json" in problem_in(answer, 422)["todo"]


async def test_an_unknown_workflow_is_refused_with_those_that_exist(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.post("/api/anime/generate", json={"prompt": "rain", "workflow": "txt"})
    problem = problem_in(answer, 422)
    assert "txt2img" in problem["todo"]


@pytest.mark.parametrize("job_id", [str(UUID(int=7)), "not-a-uuid"])
async def test_an_unknown_job_cannot_be_cancelled(api: httpx.AsyncClient, job_id: str) -> None:
    problem_in(await api.post(f"/api/anime/generation/{job_id}/cancel"), 404)


async def test_a_dead_database_is_503_and_health_is_not_impressed(api_settings: Settings) -> None:
    dead = SecretStr("postgresql://nobody@127.0.0.1:9/nothing")
    async with opened_api(api_settings, database_url=dead) as api:
        answer = await api.post("/api/anime/generate", json={"prompt": "rain"})
        assert "anime up" in problem_in(answer, 503)["todo"]
        assert (await api.get("/health")).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/api/anime/health"])
async def test_health_answers_on_both_addresses(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


async def test_unknown_addresses_and_methods_are_problems(api: httpx.AsyncClient) -> None:
    problem_in(await api.get("/api/anime/nothing"), 404)
    problem_in(await api.get("/api/anime/generate"), 405)


async def test_a_bug_tells_nothing_of_itself(
    api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(JobRepository, "among", broken)
    async with client_of(create_app(api_settings), raises_bugs=False) as api:
        answer = await api.get(f"/api/anime/generation/{uuid4()}/status")
        assert problem_in(answer, 500)["type"] == "urn:anime:problem:internal"
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8330", 200),
        ("127.0.0.1:8328", 200),
        ("[::1]:8330", 200),
        ("localhost", 200),
        ("rebound.example.com:8330", 400),
        ("localhost.example.com", 400),
    ],
)
async def test_only_names_of_this_machine_are_answered(
    api: httpx.AsyncClient, host: str, status: int
) -> None:
    assert (await api.get("/health", headers={"Host": host})).status_code == status


async def test_content_can_be_shown_by_prefects_pages(
    api: httpx.AsyncClient, api_settings: Settings, database: Database
) -> None:
    path = api_settings.library / "幻 1.png"
    path.write_bytes(PICTURE)
    row = await write_file(database, path)
    answer = await api.get(f"/api/anime/files/{row.id}/content")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{SHA256}"'
    assert answer.headers["content-disposition"].startswith("inline")


async def test_what_the_browser_has_is_not_sent_again(
    api: httpx.AsyncClient, api_settings: Settings, database: Database
) -> None:
    path = api_settings.library / "1.png"
    path.write_bytes(PICTURE)
    row = await write_file(database, path)
    answer = await api.get(
        f"/api/anime/files/{row.id}/content", headers={"If-None-Match": f'W/"x", "{SHA256}"'}
    )
    assert (answer.status_code, answer.content) == (304, b"")


async def test_a_part_of_a_video_can_be_asked_for(
    api: httpx.AsyncClient, api_settings: Settings, database: Database
) -> None:
    path = api_settings.library / "1.mp4"
    path.write_bytes(b"0123456789")
    row = await write_file(database, path)
    answer = await api.get(f"/api/anime/files/{row.id}/content", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")


async def test_thumbnails_fall_back_to_the_file(
    api: httpx.AsyncClient, api_settings: Settings, database: Database
) -> None:
    path = api_settings.library / "1.png"
    path.write_bytes(PICTURE)
    row = await write_file(database, path)
    url = f"/api/anime/files/{row.id}/thumbnail"
    full = await api.get(url)
    small = api_settings.library / thumbnail_path(SHA256)
    small.parent.mkdir(parents=True, exist_ok=True)
    small.write_bytes(THUMBNAIL)
    answer = await api.get(url)
    assert (full.content, answer.content) == (PICTURE, THUMBNAIL)
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["etag"] != full.headers["etag"]


async def test_nothing_outside_of_the_library_is_sent(
    api: httpx.AsyncClient, api_settings: Settings, database: Database, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"secret")
    link = api_settings.library / "link.png"
    link.symlink_to(outside)
    for path in (outside, link, api_settings.library / ".." / "secret.png", api_settings.library):
        row = await write_file(database, path, sha256=None)
        for variant in ("content", "thumbnail"):
            answer = await api.get(f"/api/anime/files/{row.id}/{variant}")
            assert b"secret" not in answer.content.replace(b"secret.png", b"")
            problem_in(answer, 404)


async def test_a_file_that_is_gone_is_not_found(
    api: httpx.AsyncClient, api_settings: Settings, database: Database
) -> None:
    row = await write_file(database, api_settings.library / "gone.png")
    problem_in(await api.get(f"/api/anime/files/{row.id}/content"), 404)
    problem_in(await api.get("/api/anime/files/999999/content"), 404)
    assert (await api.get(f"/api/anime/files/{row.id}")).json()["filename"] == "gone.png"


async def test_a_library_that_does_not_answer_holds_up_nothing_but_its_files(
    api: httpx.AsyncClient,
    api_settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folder_reader, "ANSWER_SECONDS", 0.5)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    row = await write_file(database, api_settings.library / "1.png")
    (api_settings.library / "1.png").write_bytes(PICTURE)
    (api_settings.library / ".sheets").mkdir()
    (api_settings.library / ".sheets" / "a.png").write_bytes(PICTURE)
    is_back = let_die(api_settings.library, monkeypatch, seconds=SECONDS)
    paths = [f"/api/anime/files/{row.id}/{what}" for what in ("content", "thumbnail")]
    paths += ["/api/anime/sheets/a.png"]
    for path in paths:
        problem = problem_in(await api.get(path), 503)
        assert problem["type"] == "urn:anime:problem:storage-unavailable"
    answer = await api.post("/api/anime/generate", json={"prompt": "rain"})
    assert answer.status_code == 202
    is_back.set()
    monkeypatch.setattr(folder_reader, "ANSWER_SECONDS", SECONDS)
    assert (await api.get(paths[0])).content == PICTURE


async def test_recorded_graphs_of_a_library_that_does_not_answer_hold_up_nothing_else(
    api: httpx.AsyncClient, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.jobs.admission.ANSWER_SECONDS", 0.5)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    name, recorded = f"recorded-{'0' * 40}", api_settings.library / ".recorded"
    recorded.mkdir()
    for suffix in (".json", ".toml"):
        shutil.copy(SHIPPED_WORKFLOWS / f"txt2img{suffix}", recorded / f"{name}{suffix}")
    is_back = let_die(api_settings.library, monkeypatch, seconds=SECONDS)
    asked = {"prompt": "rain", "workflow": name}
    posts = [api.post("/api/anime/generate", json=asked) for _ in range(20)]
    for answer in await asyncio.gather(*posts):
        problem = problem_in(answer, 503)
        assert problem["type"] == "urn:anime:problem:storage-unavailable"
    assert (await api.post("/api/anime/generate", json={"prompt": "rain"})).status_code == 202
    is_back.set()
    assert (await api.post("/api/anime/generate", json=asked)).status_code == 202


async def test_pictures_for_a_library_that_does_not_answer_hold_up_nothing_else(
    api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.api.app.READ_SECONDS", 0.5)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    (api_settings.library / ".incoming").mkdir()
    async with opened_api(api_settings) as api:
        is_back = let_die(api_settings.library, monkeypatch, seconds=SECONDS)
        given = [api.post("/api/anime/inputs/upload", content=PICTURE) for _ in range(20)]
        for answer in await asyncio.gather(*given):
            problem = problem_in(answer, 503)
            assert problem["type"] == "urn:anime:problem:storage-unavailable"
        answer = await api.post("/api/anime/generate", json={"prompt": "rain"})
        assert answer.status_code == 202
        is_back.set()


async def test_a_contact_sheet_can_be_shown_by_prefects_pages(
    api: httpx.AsyncClient, api_settings: Settings
) -> None:
    sheet = api_settings.library / ".sheets" / "batch-rooftops-0123456789ab.png"
    sheet.parent.mkdir()
    sheet.write_bytes(PICTURE)
    answer = await api.get(f"/api/anime/sheets/{sheet.name}")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert (await api.head(f"/api/anime/sheets/{sheet.name}")).headers["etag"]
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize("name", ["missing.png", "..%2Fsecret.png", "link.png", "no-picture.txt"])
async def test_no_other_file_is_sent_as_a_contact_sheet(
    api: httpx.AsyncClient, api_settings: Settings, name: str
) -> None:
    (api_settings.library / ".sheets").mkdir()
    (api_settings.library / "secret.png").write_bytes(PICTURE)
    (api_settings.library / ".sheets" / "no-picture.txt").write_bytes(PICTURE)
    (api_settings.library / ".sheets" / "link.png").symlink_to(api_settings.library / "secret.png")
    answer = await api.get(f"/api/anime/sheets/{name}")
    assert answer.status_code in {404, 422}
    assert PICTURE not in answer.content


async def test_files_are_searched_a_page_at_a_time(
    api: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    for number in range(3):
        await write_file(database, tmp_path / f"{number}.png")
    asked = {"kind": "image", "since": "2020-01-01", "limit": "2"}
    first = (await api.get("/api/anime/files", params=asked)).json()
    asked["cursor"] = first["next_cursor"]
    second = (await api.get("/api/anime/files", params=asked)).json()
    found = [file["filename"] for file in (*first["items"], *second["items"])]
    assert found == ["2.png", "1.png", "0.png"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"projet": "x"}, "projet"),
        ({"kind": "picture"}, "kind"),
        ({"since": "yesterday"}, "yesterday"),
        ({"cursor": "forged"}, "none of this list"),
        ({"text": "a\x00b"}, "text"),
        ({"seed": str(2**64)}, "seed"),
        ({"limit": "0"}, "limit"),
    ],
)
async def test_a_search_that_cannot_be_is_refused_by_name(
    api: httpx.AsyncClient, asked: dict[str, str], named: str
) -> None:
    problem = problem_in(await api.get("/api/anime/files", params=asked), 422)
    assert named in problem["detail"]
