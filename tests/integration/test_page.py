"""The page as the API sends it: its policy, its languages, and files that browsers keep."""

import gzip
import re

import httpx
import pytest

from anime.api.page.frame import VIEW_PATHS, assets
from tests.integration.api_client import problem_in


@pytest.mark.parametrize("path", [*VIEW_PATHS.values(), "/library/7", "/login"])
async def test_every_view_loads_only_what_is_ours(api: httpx.AsyncClient, path: str) -> None:
    page = await api.get(path, params={"text": "any state of a view", "at": "7"})
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "ws://localhost:8330" in policy
    loaded = set(re.findall(r'(?:src|href)="(/page/assets/[^"#]+)', page.text))
    assert len(loaded) > 5
    for address in loaded:
        assert (await api.get(address)).is_success, address


async def test_a_host_that_is_no_name_gets_into_no_policy(api: httpx.AsyncClient) -> None:
    page = await api.get("/", headers={"Host": "localhost; script-src *"})
    assert "script-src *" not in page.headers.get("content-security-policy", "")


async def test_what_the_address_says_comes_before_cookie_and_browser(
    api: httpx.AsyncClient,
) -> None:
    japanese = {"Accept-Language": "ja-JP,ja;q=0.9,en;q=0.8"}
    assert 'lang="en"' in (await api.get("/")).text
    assert 'lang="ja"' in (await api.get("/", headers=japanese)).text
    chosen = await api.get("/?lang=en", headers=japanese)
    assert 'lang="en"' in chosen.text
    assert chosen.cookies["anime_lang"] == "en"
    assert 'lang="en"' in (await api.get("/", headers=japanese)).text
    unknown = await api.get("/?lang=%3Cscript%3E")
    assert "<script>" not in unknown.text


async def test_files_of_the_page_are_kept_as_long_as_they_are_the_same(
    api: httpx.AsyncClient,
) -> None:
    address = assets.address("page.css")
    styles = await api.get(address)
    assert styles.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert styles.headers["content-encoding"] == "gzip"
    plain = await api.get(address, headers={"Accept-Encoding": "identity"})
    assert plain.content == styles.content  # httpx has unpacked it
    assert len(gzip.compress(plain.content)) < len(plain.content) / 2
    old = await api.get("/page/assets/000000000000/page.css")
    assert old.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": old.headers["etag"]}
    assert (await api.get("/page/assets/page.css", headers=known)).status_code == 304
    assert problem_in(await api.get("/page/assets/frame.py"), 404)
    assert problem_in(await api.get("/page/assets/x/..%2Fframe.py"), 404)
