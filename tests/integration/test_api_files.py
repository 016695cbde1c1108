"""Files of the library over HTTP: in parts, unchanged, small, gone."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import JsonValue

from anime.assets.inspection.whole_file import inspect_file
from anime.assets.store import sha256_of
from anime.assets.thumbnails import draw_thumbnail
from anime.core.paths import is_recorded, thumbnail_path
from anime.core.server_health import ServerHealth
from anime.core.servers import ServerFingerprint
from anime.db.repositories import AssetRow, FileRepository, JobRepository, ServerRepository
from anime.db.session import Database
from anime.settings import Settings
from tests.integration.api_client import problem_in

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def clip(api_settings: Settings) -> Path:
    path = api_settings.library / "clip.mp4"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def picture(api_settings: Settings) -> Path:
    path = api_settings.library / "rain.png"
    Image.new("RGB", (800, 400), "navy").save(path)
    return path


async def url_of(database: Database, path: Path, *, is_hashed: bool = True) -> str:
    new = AssetRow(
        filename=path.name,
        file_type="image",
        file_path=str(path),
        file_size=path.stat().st_size,
        sha256=sha256_of(path) if is_hashed else None,
    )
    async with database.session_scope() as session:
        [row] = await FileRepository(session).record([new])
    return f"/api/anime/files/{row.id}"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("bytes=0-9", CONTENT[:10]),
        ("bytes=1000-", CONTENT[1000:]),
        ("bytes=-5", CONTENT[-5:]),
        ("bytes=1020-99999", CONTENT[1020:]),
    ],
)
async def test_a_part_is_sent_as_it_is_asked_for(
    api: httpx.AsyncClient, database: Database, clip: Path, asked: str, sent: bytes
) -> None:
    url = await url_of(database, clip)
    answer = await api.get(f"{url}/content", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, sent)
    assert answer.headers["content-range"].endswith("/1024")


async def test_several_parts_come_one_after_another(
    api: httpx.AsyncClient, database: Database, clip: Path
) -> None:
    url = await url_of(database, clip)
    answer = await api.get(f"{url}/content", headers={"Range": "bytes=0-9,1000-1003"})
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert (answer.status_code, kind) == (206, "multipart/byteranges")
    parts = answer.content.split(f"--{boundary}".encode())
    contents = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts[1:-1]]
    assert contents == [CONTENT[:10], CONTENT[1000:1004]]


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=9-2", "lines=1-2"])
async def test_a_part_that_is_not_there_is_refused_with_the_length(
    api: httpx.AsyncClient, database: Database, clip: Path, asked: str
) -> None:
    url = await url_of(database, clip)
    answer = await api.get(f"{url}/content", headers={"Range": asked})
    assert "1024 bytes" in problem_in(answer, 416)["detail"]
    assert answer.headers["content-range"] == "bytes */1024"


async def test_a_download_goes_on_only_if_the_file_is_the_same(
    api: httpx.AsyncClient, database: Database, clip: Path
) -> None:
    url = f"{await url_of(database, clip)}/content"
    whole = await api.get(url)
    assert whole.headers["accept-ranges"] == "bytes"
    part = {"Range": "bytes=1000-"}
    for mark in ("etag", "last-modified"):
        again = await api.get(url, headers=part | {"If-Range": whole.headers[mark]})
        assert (again.status_code, again.content) == (206, CONTENT[1000:])
    other = await api.get(url, headers=part | {"If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, CONTENT)


@pytest.mark.parametrize("is_hashed", [True, False])
async def test_what_the_browser_has_is_not_sent_again(
    api: httpx.AsyncClient, database: Database, clip: Path, is_hashed: bool
) -> None:
    url = f"{await url_of(database, clip, is_hashed=is_hashed)}/content"
    whole = await api.get(url)
    tag, changed = whole.headers["etag"], whole.headers["last-modified"]
    for known in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"x", W/{tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": changed},
        {"If-Modified-Since": format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)},
        {"If-Modified-Since": changed.replace("GMT", "-0000")},  # UTC, of an unknown zone
    ):
        answer = await api.get(url, headers=known)
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["etag"] == tag
    for unknown in (
        {"If-None-Match": '"x"', "If-Modified-Since": changed},  # the tag counts
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
    ):
        assert (await api.get(url, headers=unknown)).content == CONTENT, unknown


async def test_one_may_ask_for_the_headers_alone(
    api: httpx.AsyncClient, database: Database, clip: Path
) -> None:
    answer = await api.head(f"{await url_of(database, clip)}/content")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "1024"


@pytest.mark.parametrize("is_hashed", [True, False])
async def test_a_missing_thumbnail_is_drawn_once_however_many_ask(
    api: httpx.AsyncClient,
    api_settings: Settings,
    database: Database,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_hashed: bool,
) -> None:
    drawn: list[Path] = []

    async def counted(source: Path, target: Path, px: int) -> str:
        drawn.append(target)
        return await draw_thumbnail(source, target, px)

    monkeypatch.setattr("anime.api.thumbnails.draw_thumbnail", counted)
    url = f"{await url_of(database, picture, is_hashed=is_hashed)}/thumbnail"
    answers = await asyncio.gather(*(api.get(url) for _ in range(8)))
    assert {answer.headers["content-type"] for answer in answers} == {"image/webp"}
    kept = api_settings.library / thumbnail_path(sha256_of(picture))
    assert drawn == [kept]
    assert {answer.content for answer in answers} == {kept.read_bytes()}
    with Image.open(kept) as small:
        assert small.size == (384, 192)
    known = {"If-None-Match": answers[0].headers["etag"]}
    assert (await api.get(url, headers=known)).status_code == 304
    assert drawn == [kept]


async def test_what_cannot_be_drawn_is_sent_itself(
    api: httpx.AsyncClient, api_settings: Settings, database: Database, clip: Path
) -> None:
    broken = api_settings.library / "broken.png"
    broken.write_bytes(CONTENT)
    for path in (clip, broken):
        answer = await api.get(f"{await url_of(database, path)}/thumbnail")
        assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_a_file_that_is_gone_is_not_found(
    api: httpx.AsyncClient, database: Database, picture: Path
) -> None:
    url = await url_of(database, picture)
    picture.unlink()
    for variant in ("content", "thumbnail"):
        assert picture.name in problem_in(await api.get(f"{url}/{variant}"), 404)["detail"]
    assert (await api.get(url)).json()["filename"] == picture.name


async def test_two_pictures_are_compared_and_one_is_rendered_again(
    api: httpx.AsyncClient, database: Database, api_settings: Settings
) -> None:
    graph = {
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "petals"}},
        "3": {"class_type": "KSampler", "inputs": {"seed": 7, "positive": ["6", 0]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "a"}},
    }
    texts = PngInfo()
    texts.add_text("prompt", json.dumps(graph))
    numbers = []
    for name, shade in (("one.png", "navy"), ("other.png", "blue")):
        path = api_settings.library / name
        Image.new("RGB", (16, 8), shade).save(path, pnginfo=texts)
        made = inspect_file(path).recipe().metadata()
        new = AssetRow(
            filename=name,
            file_type="image",
            file_path=str(path),
            file_size=path.stat().st_size,
            metadata=made,
        )
        async with database.session_scope() as session:
            [row] = await FileRepository(session).record([new])
        numbers.append(row.id)
    asked = {"first": numbers[0], "second": numbers[1]}
    found = (await api.get("/api/anime/diff", params=asked)).json()
    assert found["verdict"].startswith("Other pixels: 100.0 % of them")
    picture = await api.get("/api/anime/diff/picture", params=asked)
    with Image.open(BytesIO(picture.content)) as drawn:
        assert drawn.size == (16, 8)
    key, body = {"Idempotency-Key": "once"}, {"file_id": numbers[0]}
    again = await api.post("/api/anime/reproduce", json=body, headers=key)
    assert again.status_code == 202
    twice = await api.post("/api/anime/reproduce", json=body, headers=key)
    assert twice.json()["job_id"] == again.json()["job_id"]
    job = (await api.get(f"/api/anime/jobs/{again.json()['job_id']}")).json()
    assert is_recorded(job["workflow"])
    (api_settings.library / "other.png").unlink()
    gone = await api.get("/api/anime/diff", params=asked)
    assert "is not in the library" in problem_in(gone, 404)["detail"]
    problem_in(await api.post("/api/anime/reproduce", json={}), 422)


async def test_a_reproduction_that_is_asked_for_again_is_the_same_wherever_it_would_go_now(
    api: httpx.AsyncClient, database: Database, api_settings: Settings
) -> None:
    path = api_settings.library / "made.png"
    Image.new("RGB", (16, 8)).save(path)
    graph: dict[str, JsonValue] = {
        "8": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 8}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "a"}},
    }
    new = AssetRow(
        filename=path.name,
        file_type="image",
        file_path=str(path),
        file_size=path.stat().st_size,
        metadata={"graph": graph, "server": {"comfyui_version": "1"}},
    )
    url = "http://gpu-a:8188"
    async with database.session_scope() as session:
        [row] = await FileRepository(session).record([new])
        servers = ServerRepository(session)
        await servers.add(url, name="gpu-a", labels=())
        await servers.describe(url, ServerFingerprint(version="1"), {})
        await servers.set_health(url, ServerHealth.ALIVE, "It answers.")
    key, body = {"Idempotency-Key": "once"}, {"file_id": row.id}
    first = await api.post("/api/anime/reproduce", json=body, headers=key)
    assert first.status_code == 202, first.text
    async with database.session_scope() as session:
        await ServerRepository(session).drain(url)
    again = await api.post("/api/anime/reproduce", json=body, headers=key)
    assert again.raise_for_status().json()["job_id"] == first.json()["job_id"]
    async with database.session_scope() as session:
        request = await JobRepository(session).request_of(UUID(first.json()["job_id"]))
    assert request.server == "gpu-a"
