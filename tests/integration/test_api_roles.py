"""Tokens with names: what each role may do, sessions of browsers, and whose name is written."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from anime.core.callers import Role, role_needed
from anime.settings import Settings
from anime.settings import tokens as session_tokens
from tests.integration.api_client import BASE_URL, opened_api, operations, problem_in

USERS = {"api_users": SecretStr("vera:view:v-token, rei:review:r-token, pia:produce:p-token")}
JOBS = "/api/anime/jobs"
REVIEWS = "/api/anime/reviews"
OUR_PAGE = {"Origin": BASE_URL}
REVIEW = {"project": "none", "shot": "sc1", "take": 1, "action": "approve"}


@pytest_asyncio.fixture
async def api(api_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with opened_api(api_settings, **USERS) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def log_in(api: httpx.AsyncClient, token: str, **form: str) -> httpx.Response:
    return await api.post("/login", data={"token": token, **form}, headers=OUR_PAGE)


async def test_each_role_may_do_what_it_says_and_no_more(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    refused: dict[Role, int] = dict.fromkeys(Role, 0)
    for method, path, _ in operations(document):
        needed = role_needed(method.upper(), path)
        for role, token in zip(Role, ("v-token", "r-token", "p-token"), strict=True):
            if role >= needed:
                continue
            answer = await api.request(method, path, headers=bearer(token))
            assert problem_in(answer, 403)["type"] == "urn:anime:problem:role-missing", path
            refused[role] += 1
    assert refused[Role.VIEW] > refused[Role.REVIEW] > 15
    assert not refused[Role.PRODUCE]
    assert (await api.get(JOBS, headers=bearer("v-token"))).status_code == 200
    problem_in(await api.post(REVIEWS, json=REVIEW, headers=bearer("v-token")), 403)
    problem_in(await api.post(REVIEWS, json=REVIEW, headers=bearer("r-token")), 404)


async def test_a_reviewer_changes_no_shots_prompt(api: httpx.AsyncClient) -> None:
    said = REVIEW | {"action": "reject", "retake": True, "prompt": "a calmer sea"}
    problem_in(await api.post(REVIEWS, json=said, headers=bearer("r-token")), 403)
    problem_in(await api.post(REVIEWS, json=said, headers=bearer("p-token")), 404)


async def test_no_view_offers_what_the_role_may_not_do(api: httpx.AsyncClient) -> None:
    offered = {"/make": "submit", "/shots": "render", "/review": "actions"}
    least = {"/make": Role.PRODUCE, "/shots": Role.PRODUCE, "/review": Role.REVIEW}
    for role, token in zip(Role, ("v-token", "r-token", "p-token"), strict=True):
        for path, button in offered.items():
            html = (await api.get(path, headers=bearer(token))).text
            assert f'data-role="{role}"' in html
            assert (f'id="{button}"' in html) == (role >= least[path]), (path, role)


async def test_what_is_written_down_has_the_name_of_the_token(api: httpx.AsyncClient) -> None:
    name = f"Signed {uuid4().hex[:8]}"
    new: dict[str, Any] = {"name": name}
    slug = (await api.post("/api/anime/projects", json=new, headers=bearer("p-token"))).json()[
        "slug"
    ]
    style = {"style": {"steps": 12}, "by": "somebody else"}
    written = await api.put(
        f"/api/anime/projects/{slug}/style", json=style, headers=bearer("p-token")
    )
    assert written.json()["created_by"] == "pia", written.text


async def test_a_browser_logs_in_and_has_the_role_of_its_token(api: httpx.AsyncClient) -> None:
    answer = await log_in(api, " r-token ", next="/shots?project=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/shots?project=x")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "r-token" not in cookie
    assert (await api.get(JOBS)).status_code == 200
    problem_in(await api.post("/api/anime/generate", json={}, headers=OUR_PAGE), 403)
    problem_in(await api.post(REVIEWS, json=REVIEW, headers=OUR_PAGE), 404)
    assert (await api.post("/logout", headers=OUR_PAGE)).headers["location"] == "/login"
    problem_in(await api.get(JOBS), 401)


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null"])
async def test_a_page_elsewhere_changes_nothing_with_the_cookie(
    api: httpx.AsyncClient, origin: str | None
) -> None:
    await log_in(api, "p-token")
    headers = {} if origin is None else {"Origin": origin}
    problem_in(await api.post(REVIEWS, json=REVIEW, headers=headers), 401)
    api.cookies.clear()
    refused = await api.post("/login", data={"token": "p-token"}, headers=headers)
    assert problem_in(refused, 403)["type"] == "urn:anime:problem:page-refused"


async def test_a_wrong_token_asks_again_and_gives_no_cookie(api: httpx.AsyncClient) -> None:
    answer = await log_in(api, "q-token", next="/shots")
    assert answer.headers["location"] == "/login?next=%2Fshots&wrong=1"
    assert "set-cookie" not in answer.headers
    problem_in(await api.get(JOBS, headers={"Cookie": "anime_session=0.0.0"}), 401)


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "//[", "shots", "/a\r\nb"],
)
async def test_a_login_leads_to_no_other_host(api: httpx.AsyncClient, target: str) -> None:
    assert (await log_in(api, "v-token", next=target)).headers["location"] == "/"


async def test_a_session_ends_with_its_time_and_with_its_token(
    api: httpx.AsyncClient, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log_in(api, "v-token")
    async with opened_api(
        api_settings, api_users=SecretStr("vera:view:new-token, rei:review:r-token")
    ) as changed:
        changed.cookies = api.cookies
        problem_in(await changed.get(JOBS), 401)
    monkeypatch.setattr(session_tokens, "SESSION_SECONDS", -1)
    problem_in(await api.get(JOBS), 401)


async def test_a_page_opened_without_a_session_leads_to_the_login(api: httpx.AsyncClient) -> None:
    opened = {"Accept": "text/html,application/xhtml+xml"}
    answer = await api.get("/shots?project=a&state=b", headers=opened)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fshots%3Fproject%3Da%26state%3Db"
    problem_in(await api.get(JOBS, headers=opened), 401)


async def test_views_show_what_a_role_may_do(api: httpx.AsyncClient) -> None:
    shown = {}
    for token in ("v-token", "r-token", "p-token"):
        shots = (await api.get("/shots", headers=bearer(token))).text
        review = (await api.get("/review", headers=bearer(token))).text
        assert 'id="by"' not in review, "the token has a name"
        shown[token] = (
            'id="render"' in shots,
            'data-action="reject"' in review,
            'name="again"' in review,
        )
    assert shown == {
        "v-token": (False, False, False),
        "r-token": (False, True, False),
        "p-token": (True, True, True),
    }
