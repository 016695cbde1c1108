"""Who may ask the API, as the settings say it."""

import time
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from anime.api.access import Access, admit, bearer_in
from anime.core.callers import Role, role_needed
from anime.errors import ConfigurationError, PageRefused
from anime.settings import Settings, load_settings
from anime.settings.tokens import picture_address, signed_address


def access(tokens: str | None = None, **values: object) -> Access:
    token = SecretStr(tokens) if tokens else None
    return Access.from_settings(load_settings(api_token=token, **values))


def test_where_no_token_is_set_everybody_may_ask() -> None:
    assert access().caller_with(None)
    assert not access().needs_token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5"])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="ANIME_API_TOKEN"):
        access(api_host=host)
    with pytest.raises(ConfigurationError, match="ANIME_API_TOKEN"):
        access(" , ", api_host=host)
    assert access("a-token", api_host=host).needs_token


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_loopback_needs_none(host: str) -> None:
    assert access(api_host=host).caller_with(None)


def test_each_of_several_tokens_opens_and_nothing_else_does() -> None:
    rules = access("first, second ,")
    assert rules.caller_with("first")
    assert rules.caller_with("second")
    for wrong in (None, "", "third", "first,second", "firs", "first ", "\udc80"):
        assert not rules.caller_with(wrong)


def test_a_token_may_be_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", "kept elsewhere")
    assert access("env:STUDIO_TOKEN").caller_with("kept elsewhere")
    monkeypatch.delenv("STUDIO_TOKEN")
    with pytest.raises(ConfigurationError, match="STUDIO_TOKEN"):
        access("env:STUDIO_TOKEN")


def test_a_token_that_no_header_can_carry_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="ANIME_API_TOKEN") as refused:
        access("schlüssel")
    assert "schlüssel" not in str(refused.value)


def test_the_rules_do_not_show_the_tokens() -> None:
    assert "very-secret" not in repr(access("very-secret"))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer ", None),
        (None, None),
    ],
)
def test_the_token_is_taken_from_the_header(header: str | None, token: str | None) -> None:
    assert bearer_in(header) == token


@pytest.mark.parametrize(
    ("origin", "host", "is_known"),
    [
        (None, "localhost:8330", True),  # no page: curl, a program
        ("http://localhost:8330", "localhost:8765", True),  # a page of ours, to another port
        ("http://127.0.0.1:8328", "127.0.0.1:8765", True),
        ("http://localhost:9999", "localhost:9999", True),  # where the port was a free one
        ("https://studio.example:3000", "localhost:8765", True),  # listed
        ("http://localhost:3000", "localhost:8765", False),
        ("https://evil.example", "localhost:8765", False),
        ("https://evil.example", "evil.example", False),
        ("http://localhost:x", "localhost:8765", False),
        ("http://[", "localhost:8765", False),
        ("null", "localhost:8765", False),
    ],
)
def test_pages_of_unknown_origin_open_no_socket(
    origin: str | None, host: str, is_known: bool
) -> None:
    rules = access(api_cors_origins="https://studio.example:3000/")
    assert rules.is_known_origin(origin, host) is is_known


def test_a_page_that_is_refused_a_socket_reads_which_origin_to_allow() -> None:
    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/ws",
        "query_string": b"",
        "headers": [(b"origin", b"https://evil.example"), (b"host", b"localhost:8765")],
    }
    with pytest.raises(PageRefused, match=r"https://evil\.example may not"):
        admit(HTTPConnection(scope), access())


@pytest.mark.parametrize("origins", ["*", "studio.example", "https://studio.example/page"])
def test_what_is_no_origin_is_refused_by_its_setting(origins: str) -> None:
    with pytest.raises(ConfigurationError, match="ANIME_API_CORS_ORIGINS"):
        load_settings(api_cors_origins=origins)


PATH = "/api/anime/files/1/content"


def signed(expires: int, token: str = "first", path: str = PATH) -> dict[str, str]:
    return dict(parse_qsl(signed_address(path, expires, (token,)).partition("?")[2]))


def test_a_signed_address_opens_its_own_path_until_it_expires() -> None:
    rules = access("first,second")
    assert rules.is_signed(PATH, signed(1000), now=999)
    assert rules.is_signed(PATH, signed(1000, "second"), now=999)
    assert not rules.is_signed(PATH, signed(1000), now=1001)
    assert not rules.is_signed(PATH, signed(1000, "third"), now=999)
    assert not rules.is_signed(PATH, signed(1000, path="/api/anime/files/2/content"), now=999)
    assert not rules.is_signed(PATH, signed(1000) | {"expires": "2000"}, now=999)
    assert not rules.is_signed(PATH, signed(1000) | {"expires": "01000"}, now=999)
    assert not rules.is_signed(PATH, {"expires": "９", "signature": ""}, now=0)
    assert not rules.is_signed(PATH, {"expires": "", "signature": signed(1000)["signature"]}, now=0)
    assert not rules.is_signed(PATH, {}, now=0)


def test_nothing_is_signed_where_no_token_is_set() -> None:
    assert not access().is_signed(PATH, signed(1000), now=0)
    assert picture_address(PATH, Settings()) == f"http://127.0.0.1:8330{PATH}"


def test_pages_get_signed_addresses_and_not_the_token() -> None:
    settings = load_settings(api_token=SecretStr("very-secret"))
    address = picture_address(PATH, settings)
    assert "very-secret" not in address
    query = dict(part.split("=") for part in address.partition("?")[2].split("&"))
    assert Access.from_settings(settings).is_signed(PATH, query, now=0)
    end = time.time() + settings.keep_runs_days * 86_400
    assert not Access.from_settings(settings).is_signed(PATH, query, now=end + 60)


def test_an_address_is_signed_with_the_first_token() -> None:
    settings = load_settings(api_token=SecretStr("new,old"))
    query = dict(parse_qsl(picture_address(PATH, settings).partition("?")[2]))
    assert access("new").is_signed(PATH, query, now=0)
    assert not access("old").is_signed(PATH, query, now=0)


def test_a_named_token_has_a_name_and_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEN_TOKEN", "two:parts")
    rules = access("plain", api_users="Mei:review:one, ken : VIEW : env:KEN_TOKEN,")
    found = [rules.caller_with(token) for token in ("one", "two:parts", "plain", "other")]
    assert [(each.name, each.role) if each else None for each in found] == [
        ("Mei", Role.REVIEW),
        ("ken", Role.VIEW),
        (None, Role.PRODUCE),
        None,
    ]
    assert access(api_users="mei:view:one", api_host="0.0.0.0").needs_token


@pytest.mark.parametrize(
    "users", ["secret-word", "mei:secret-word", ":view:secret-word", "mei:boss:secret-word",
              "mei:view:", "mei:view:s\u00e9cret-word", "mei:view:a,MEI:review:secret-word"]
)  # fmt: skip
def test_an_entry_that_is_not_understood_is_refused_without_showing_it(users: str) -> None:
    with pytest.raises(ConfigurationError, match="ANIME_API_USERS") as refused:
        access(api_users=users)
    assert "cret-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/api/anime/jobs", Role.VIEW),
        ("HEAD", "/api/anime/files/1/content", Role.VIEW),
        ("POST", "/api/anime/compose", Role.VIEW),
        ("POST", "/logout", Role.VIEW),
        ("POST", "/api/anime/reviews", Role.REVIEW),
        ("PUT", "/api/anime/characters/x/versions/2/canonical", Role.REVIEW),
        ("POST", "/api/anime/generate", Role.PRODUCE),
        ("PATCH", "/api/anime/projects/reviews-of-x", Role.PRODUCE),
        ("DELETE", "/api/anime/servers/a", Role.PRODUCE),
        ("BREW", "/api/anime/jobs", Role.PRODUCE),
    ],
)
def test_each_request_needs_a_role(method: str, path: str, role: Role) -> None:
    assert role_needed(method, path) is role
