"""The HTTP routes against a real database and library, in process."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from anime.api.app import create_app
from anime.api.routes_generation import GenerationStatus
from anime.core.job_status import FailureKind
from anime.core.paths import thumbnail_path
from anime.db.repositories import FileRepository, JobRepository, NewFile
from anime.db.session import Database
from anime.schemas import FileRecord
from anime.settings import Settings, load_settings
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer

PICTURE, THUMBNAIL = b"\x89PNG picture", b"RIFF thumbnail"
SHA256 = "ab" * 32


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest.fixture
def settings(prefect: PrefectPeer, database_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "library").mkdir()
    return load_settings(
        prefect_api_url=prefect.url,
        prefect_api_auth_string=AUTH,
        database_url=database_url,
        library_dir=tmp_path / "library",
    )


async def opened(settings: Settings, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app, **options)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8330") as client,
    ):
        yield client


@pytest_asyncio.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async for client in opened(settings):
        yield client


async def write_file(database: Database, path: Path, sha256: str | None = SHA256) -> FileRecord:
    new = NewFile(
        filename=path.name,
        file_type="image",
        file_path=str(path),
        file_size=len(PICTURE),
        sha256=sha256,
    )
    async with database.session_scope() as session:
        [row] = await FileRepository(session).record([new])
    return row


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem.keys() >= {"type", "title", "status", "detail", "todo", "instance"}
    assert problem["status"] == status
    assert "Traceback" not in answer.text
    return problem


async def test_the_old_request_works_verbatim(
    client: httpx.AsyncClient, prefect: PrefectPeer
) -> None:
    answer = await client.post(
        "/api/anime/generate",
        content='{"prompt": "anime character", "type": "image"}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted["status"] == "queued"
    await prefect.until_runs(1)
    assert list(prefect.runs) == [accepted["job_id"]]
    status = (await client.get(accepted["status_url"])).json()
    assert status.keys() >= {"id", "status", "progress", "stage", "output_path", "error"}
    assert (status["id"], status["status"], status["progress"]) == (
        accepted["job_id"],
        "queued",
        0.0,
    )
    assert answer.headers["location"] == accepted["status_url"]


async def test_the_same_idempotency_key_gives_the_same_job(
    client: httpx.AsyncClient, prefect: PrefectPeer
) -> None:
    answers = [
        await client.post(
            "/api/anime/generate", json={"prompt": "rain"}, headers={"Idempotency-Key": key}
        )
        for key in ("a", "a", "b")
    ]
    first, again, other = (answer.json()["job_id"] for answer in answers)
    assert first == again != other
    await prefect.until_runs(2)
    assert set(prefect.runs) == {first, other}


async def test_the_same_key_with_another_request_is_refused(
    client: httpx.AsyncClient, prefect: PrefectPeer
) -> None:
    key = {"Idempotency-Key": "take 7"}
    first = await client.post("/api/anime/generate", json={"prompt": "rain"}, headers=key)
    same = {"type": "image", "prompt": "rain", "priority": 50}  # what it is by default, spelled out
    again = await client.post("/api/anime/generate", json=same, headers=key)
    other = await client.post("/api/anime/generate", json={"prompt": "snow"}, headers=key)
    assert again.json() == first.json()
    assert problem_of(other, 409)["type"] == "urn:anime:problem:idempotency-conflict"
    await prefect.until_runs(1)
    assert [run["parameters"]["prompt"] for run in prefect.runs.values()] == ["rain"]


async def test_progress_is_a_share_of_one(client: httpx.AsyncClient, database: Database) -> None:
    job_id = (await client.post("/api/anime/generate", json={"prompt": "rain"})).json()["job_id"]
    async with database.session_scope() as session:
        lease = await JobRepository(session).lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        await JobRepository(session).renew(lease, seconds=60, progress=45)
    status = GenerationStatus.model_validate(
        (await client.get(f"/api/anime/generation/{job_id}/status")).json()
    )
    assert (status.status, status.progress) == ("processing", 0.45)


async def test_a_failed_generation_says_why(client: httpx.AsyncClient, database: Database) -> None:
    job_id = (await client.post("/api/anime/generate", json={"prompt": "rain"})).json()["job_id"]
    async with database.session_scope() as session:
        await JobRepository(session).fail_unleased(job_id, FailureKind.LOST, "Nobody ran it.")
    status = (await client.get(f"/api/anime/generation/{job_id}/status")).json()
    assert (status["status"], status["error_kind"]) == ("failed", "lost")
    assert status["error"] == "Nobody ran it."


@pytest.mark.parametrize("job_id", [str(uuid4()), "not-a-uuid", "%00", "1"])
async def test_an_unknown_job_is_not_found(client: httpx.AsyncClient, job_id: str) -> None:
    problem = problem_of(await client.get(f"/api/anime/generation/{job_id}/status"), 404)
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
    client: httpx.AsyncClient, prefect: PrefectPeer, order: dict[str, object], field: str
) -> None:
    answer = await client.post("/api/anime/generate", content=json.dumps(order), headers=JSON)
    problem = problem_of(answer, 422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert field in problem["detail"]
    assert len(answer.text) < 1000  # the value itself is not sent back
    assert prefect.runs == {}


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body", ['{"prompt": ', '"rain"', "[]", "", '{"prompt": "\\ud800"}', "NaN"]
)
async def test_what_is_no_request_at_all_is_refused(client: httpx.AsyncClient, body: str) -> None:
    problem_of(await client.post("/api/anime/generate", content=body, headers=JSON), 422)


async def test_a_page_elsewhere_cannot_post_without_asking(client: httpx.AsyncClient) -> None:
    """A form or a `no-cors` fetch may only send plain text, for which no browser asks first."""
    answer = await client.post(
        "/api/anime/generate",
        content='{"prompt": "rain"}',
        headers={"Content-Type": "text/plain"},
    )
    problem_of(answer, 422)


async def test_an_unknown_workflow_is_refused_with_those_that_exist(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/api/anime/generate", json={"prompt": "rain", "workflow": "txt"})
    problem = problem_of(answer, 422)
    assert "txt2img" in problem["todo"]


@pytest.mark.parametrize("job_id", [str(uuid4()), "not-a-uuid"])
async def test_an_unknown_job_cannot_be_cancelled(client: httpx.AsyncClient, job_id: str) -> None:
    problem_of(await client.post(f"/api/anime/generation/{job_id}/cancel"), 404)


async def test_a_dead_database_is_503_and_health_is_not_impressed(settings: Settings) -> None:
    dead = SecretStr("postgresql://nobody@127.0.0.1:9/nothing")
    async for client in opened(settings.model_copy(update={"database_url": dead})):
        answer = await client.post("/api/anime/generate", json={"prompt": "rain"})
        assert "anime up" in problem_of(answer, 503)["todo"]
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/api/anime/health"])
async def test_health_answers_on_both_addresses(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


async def test_unknown_addresses_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    problem_of(await client.get("/api/anime/nothing"), 404)
    problem_of(await client.get("/api/anime/generate"), 405)


async def test_a_bug_tells_nothing_of_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(JobRepository, "among", broken)
    async for client in opened(settings, raise_app_exceptions=False):
        answer = await client.get(f"/api/anime/generation/{uuid4()}/status")
        assert problem_of(answer, 500)["type"] == "urn:anime:problem:internal"
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
    client: httpx.AsyncClient, host: str, status: int
) -> None:
    assert (await client.get("/health", headers={"Host": host})).status_code == status


async def test_content_can_be_shown_by_prefects_pages(
    client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    path = settings.library / "幻 1.png"
    path.write_bytes(PICTURE)
    row = await write_file(database, path)
    answer = await client.get(f"/api/anime/files/{row.id}/content")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{SHA256}"'
    assert answer.headers["content-disposition"].startswith("inline")


async def test_what_the_browser_has_is_not_sent_again(
    client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    path = settings.library / "1.png"
    path.write_bytes(PICTURE)
    row = await write_file(database, path)
    answer = await client.get(
        f"/api/anime/files/{row.id}/content", headers={"If-None-Match": f'W/"x", "{SHA256}"'}
    )
    assert (answer.status_code, answer.content) == (304, b"")


async def test_a_part_of_a_video_can_be_asked_for(
    client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    path = settings.library / "1.mp4"
    path.write_bytes(b"0123456789")
    row = await write_file(database, path)
    answer = await client.get(f"/api/anime/files/{row.id}/content", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")


async def test_thumbnails_fall_back_to_the_file(
    client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    path = settings.library / "1.png"
    path.write_bytes(PICTURE)
    row = await write_file(database, path)
    url = f"/api/anime/files/{row.id}/thumbnail"
    full = await client.get(url)
    small = settings.library / thumbnail_path(SHA256)
    small.parent.mkdir(parents=True, exist_ok=True)
    small.write_bytes(THUMBNAIL)
    answer = await client.get(url)
    assert (full.content, answer.content) == (PICTURE, THUMBNAIL)
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["etag"] != full.headers["etag"]


async def test_nothing_outside_of_the_library_is_sent(
    client: httpx.AsyncClient, settings: Settings, database: Database, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"secret")
    link = settings.library / "link.png"
    link.symlink_to(outside)
    for path in (outside, link, settings.library / ".." / "secret.png", settings.library):
        row = await write_file(database, path, sha256=None)
        for variant in ("content", "thumbnail"):
            answer = await client.get(f"/api/anime/files/{row.id}/{variant}")
            assert b"secret" not in answer.content.replace(b"secret.png", b"")
            problem_of(answer, 404)


async def test_a_file_that_is_gone_is_not_found(
    client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    row = await write_file(database, settings.library / "gone.png")
    problem_of(await client.get(f"/api/anime/files/{row.id}/content"), 404)
    problem_of(await client.get("/api/anime/files/999999/content"), 404)
    assert (await client.get(f"/api/anime/files/{row.id}")).json()["filename"] == "gone.png"


async def test_a_contact_sheet_can_be_shown_by_prefects_pages(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    sheet = settings.library / ".sheets" / "batch-rooftops-0123456789ab.png"
    sheet.parent.mkdir()
    sheet.write_bytes(PICTURE)
    answer = await client.get(f"/api/anime/sheets/{sheet.name}")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize("name", ["missing.png", "..%2Fsecret.png", "link.png", "no-picture.txt"])
async def test_no_other_file_is_sent_as_a_contact_sheet(
    client: httpx.AsyncClient, settings: Settings, name: str
) -> None:
    (settings.library / ".sheets").mkdir()
    (settings.library / "secret.png").write_bytes(PICTURE)
    (settings.library / ".sheets" / "no-picture.txt").write_bytes(PICTURE)
    (settings.library / ".sheets" / "link.png").symlink_to(settings.library / "secret.png")
    answer = await client.get(f"/api/anime/sheets/{name}")
    assert answer.status_code in {404, 422}
    assert PICTURE not in answer.content


async def test_files_are_searched_a_page_at_a_time(
    client: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    for number in range(3):
        await write_file(database, tmp_path / f"{number}.png")
    asked = {"kind": "image", "since": "2020-01-01", "limit": "2"}
    first = (await client.get("/api/anime/files", params=asked)).json()
    asked["cursor"] = first["next_cursor"]
    second = (await client.get("/api/anime/files", params=asked)).json()
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
    client: httpx.AsyncClient, asked: dict[str, str], named: str
) -> None:
    problem = problem_of(await client.get("/api/anime/files", params=asked), 422)
    assert named in problem["detail"]
