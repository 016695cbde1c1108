"""What a request must pass before a route sees it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from anime.api import middleware
from anime.api.app import create_app
from anime.errors import ConfigurationError
from anime.settings import Settings
from anime.settings.tokens import picture_address
from tests.integration.api_client import TOKENS, opened_api, operations, problem_in
from tests.support.waiting import HUNG_SECONDS

BEARER = {"Authorization": "Bearer second"}
JOBS = "/api/anime/jobs"


async def test_with_a_token_set_every_route_asks_for_it(api_settings: Settings) -> None:
    async with opened_api(api_settings, **TOKENS) as api:
        document = (await api.get("/openapi.json")).json()
        asked = 0
        for method, path, _ in operations(document):
            if path == "/health":
                continue
            answer = await api.request(method, path.replace("{", "").replace("}", ""))
            assert problem_in(answer, 401)["type"] == "urn:anime:problem:token-missing", path
            assert answer.headers["www-authenticate"] == "Bearer"
            asked += 1
        assert asked > 15
        problem_in(await api.get("/api/anime/nothing"), 401)  # not even which routes exist
        for path in ("/health", "/api/anime/health", "/docs"):
            assert (await api.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer first", 200),
        ("bearer second", 200),
        ("Bearer third", 401),
        ("Bearer first,second", 401),
        ("Basic second", 401),
        ("second", 401),
        ("", 401),
    ],
)
async def test_one_of_the_tokens_opens_the_routes(
    api_settings: Settings, header: str, status: int
) -> None:
    async with opened_api(api_settings, **TOKENS) as api:
        assert (await api.get(JOBS, headers={"Authorization": header})).status_code == status


async def test_a_token_in_the_query_opens_no_http_route(api_settings: Settings) -> None:
    """It would be in the browser's history, and in the logs of every proxy."""
    async with opened_api(api_settings, **TOKENS) as api:
        problem_in(await api.get(JOBS, params={"token": "first"}), 401)


async def test_each_token_has_a_limit_of_its_own(api_settings: Settings) -> None:
    async with opened_api(api_settings, **TOKENS, api_requests_per_minute=3) as api:
        other = {"Authorization": "Bearer first"}
        for _ in range(3):
            assert (await api.get(JOBS, headers=BEARER)).status_code == 200
        answer = await api.get(JOBS, headers=BEARER)
        assert problem_in(answer, 429)["type"] == "urn:anime:problem:too-many-requests"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await api.get(JOBS, headers=other)).status_code == 200
        assert (await api.get("/health")).status_code == 200


async def test_whoever_tries_tokens_is_slowed_down(api_settings: Settings) -> None:
    async with opened_api(api_settings, **TOKENS, api_requests_per_minute=3) as api:
        tried = [
            (await api.get(JOBS, headers={"Authorization": f"Bearer {number}"})).status_code
            for number in range(5)
        ]
        assert tried == [401, 401, 401, 429, 429]
        assert (await api.get(JOBS, headers=BEARER)).status_code == 200


async def test_without_tokens_each_address_has_a_limit(api_settings: Settings) -> None:
    async with opened_api(api_settings, api_requests_per_minute=2) as api:
        codes = [(await api.get(JOBS)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]


async def test_a_token_needs_no_known_name(api_settings: Settings) -> None:
    async with opened_api(api_settings, **TOKENS) as api:
        there = {"Host": "studio.lan:8330"}
        assert (await api.get(JOBS, headers=BEARER | there)).status_code == 200
        problem_in(await api.get(JOBS, headers=there), 401)


async def test_the_api_does_not_start_open_to_everybody(api_settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="ANIME_API_TOKEN"):
        create_app(api_settings.model_copy(update={"api_host": "0.0.0.0"}))


async def test_a_signed_address_shows_its_picture_and_nothing_else(api_settings: Settings) -> None:
    sheet = api_settings.library / ".sheets" / "batch-1.png"
    sheet.parent.mkdir()
    sheet.write_bytes(b"\x89PNG")
    settings = api_settings.model_copy(update=TOKENS)
    path = "/api/anime/sheets/batch-1.png"
    query = picture_address(path, settings).partition("?")[2]
    async with opened_api(settings) as api:
        assert (await api.get(f"{path}?{query}")).content == b"\x89PNG"
        problem_in(await api.get(path), 401)
        problem_in(await api.get(f"{JOBS}?{query}"), 401)
        problem_in(await api.get(f"{path}?{query}0"), 401)
        problem_in(await api.post(f"{path}?{query}"), 401)


async def test_without_a_token_signed_addresses_work_as_before(
    api_settings: Settings, api: httpx.AsyncClient
) -> None:
    """Those on old pages of Prefect, when the token was taken away again."""
    sheet = api_settings.library / ".sheets" / "batch-1.png"
    sheet.parent.mkdir()
    sheet.write_bytes(b"\x89PNG")
    answer = await api.get("/api/anime/sheets/batch-1.png?expires=1&signature=ab")
    assert answer.status_code == 200


async def test_pages_elsewhere_may_not_read_unless_they_are_listed(api_settings: Settings) -> None:
    elsewhere = {"Origin": "https://studio.example"}
    preflight = elsewhere | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization",
    }
    async with opened_api(api_settings) as api:
        answer = await api.get(JOBS, headers=elsewhere)
        assert "access-control-allow-origin" not in answer.headers
        assert (await api.options("/api/anime/generate", headers=preflight)).status_code == 405
    listed = {"api_cors_origins": ("https://studio.example",), **TOKENS}
    async with opened_api(api_settings, **listed) as api:
        answer = await api.options("/api/anime/generate", headers=preflight)
        assert answer.status_code == 200  # asked by the browser itself, without a token
        assert answer.headers["access-control-allow-origin"] == "https://studio.example"
        answer = await api.get(JOBS, headers=elsewhere | BEARER)
        assert answer.headers["access-control-allow-origin"] == "https://studio.example"
        other = await api.get(JOBS, headers={"Origin": "https://evil.example"} | BEARER)
        assert "access-control-allow-origin" not in other.headers


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for begin in range(0, size, 1000):
        yield b" " * min(1000, size - begin)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_that_is_too_long_is_refused(api_settings: Settings, is_chunked: bool) -> None:
    headers = {"Content-Type": "application/json"}
    async with opened_api(api_settings, api_max_body_bytes=10_000) as api:
        body = in_pieces(10_001) if is_chunked else b" " * 10_001
        answer = await api.post("/api/anime/generate", content=body, headers=headers)
        problem = problem_in(answer, 413)
        assert "ANIME_API_MAX_BODY_BYTES" in problem["todo"]
        whole = b'{"prompt": "rain"}'.ljust(10_000)
        answer = await api.post("/api/anime/generate", content=whole, headers=headers)
        assert answer.status_code == 202
        assert len((await api.get(JOBS)).json()["items"]) == 1


async def test_a_body_that_does_not_come_in_is_given_up(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(middleware, "DISCARD_SECONDS", 0.1)

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"prompt": '
        await asyncio.Event().wait()

    headers = {"Content-Type": "application/json"}
    async with asyncio.timeout(HUNG_SECONDS):
        answer = await api.post("/api/anime/generate", content=stalled(), headers=headers)
    assert problem_in(answer, 408)["type"] == "urn:anime:problem:request-stalled"
    assert answer.headers["connection"] == "close"
    assert (await api.get(JOBS)).json()["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/api/anime/health",
        "/api/anime/jobs",
        "/api/anime/projects",
        "/api/anime/files/1",
        "/api/anime/files/1/content",
        "/api/anime/sheets/a.png",
        "/metrics",
    ],
)
async def test_parameters_that_no_route_knows_are_refused_by_name(
    api: httpx.AsyncClient, path: str
) -> None:
    problem = problem_in(await api.get(path, params={"stauts": "x", "y": "1"}), 422)
    assert [fault["field"] for fault in problem["errors"]] == ["stauts", "y"]


async def test_a_parameter_that_comes_twice_is_refused_by_name(api: httpx.AsyncClient) -> None:
    """The list would be of one of the two, and nobody told that it is not of the other."""
    problem = problem_in(await api.get(f"{JOBS}?project=a&limit=1&project=b"), 422)
    assert problem["errors"] == [{"field": "project", "message": "is given twice"}]


async def test_a_key_that_comes_twice_in_a_body_is_refused_by_every_route(
    api: httpx.AsyncClient,
) -> None:
    document = (await api.get("/openapi.json")).json()
    refused = 0
    for method, path, operation in operations(document):
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            answer = await api.request(
                method,
                path.replace("{", "").replace("}", ""),
                content='{"prompt": "rain", "name": "a", "prompt": "snow", "name": "b"}',
                headers={"Content-Type": "application/json"},
            )
            assert "stands twice" in problem_in(answer, 422)["detail"], path
            refused += 1
    assert refused >= 6
