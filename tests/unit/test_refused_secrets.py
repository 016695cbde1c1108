"""Secrets that cannot be sent as they are: refused, and no part of them is told."""

import pytest
from opentelemetry.util.re import parse_env_headers
from pydantic import SecretStr

from anime.comfyui.address import checked_address
from anime.comfyui.server_login import ServerLogin
from anime.db.address import url_of
from anime.errors import ConfigurationError
from anime.net.tracing import hide_headers
from anime.progress.redis_connection import redis_at
from anime.settings import load_settings

# Each would be taken for something else up to one of its characters.
PASSWORDS = ("5321/rest", "secret/rest", "secret@rest", "secret[rest", "5321/re@st", "secret/re%st")
TOLD = ("5321", "secret", "rest", "re@st", "re%st")


def assert_nothing_told(error: BaseException) -> None:
    fault: BaseException | None = error
    while fault is not None:  # all that a traceback shows
        assert not any(each in f"{fault!r} {fault}" for each in TOLD), fault
        fault = None if fault.__suppress_context__ else fault.__cause__ or fault.__context__


@pytest.mark.parametrize("password", PASSWORDS)
def test_an_address_of_comfyui(password: str) -> None:
    try:
        address = checked_address(f"http://artist:{password}@gpu-box:8188")
    except ConfigurationError as error:
        assert_nothing_told(error)
    else:
        assert address.endswith("@gpu-box:8188"), "a login that is understood all the same"


@pytest.mark.parametrize("password", PASSWORDS)
def test_an_address_of_redis(password: str) -> None:
    try:
        client = redis_at(f"redis://studio:{password}@cache:6379/1")
    except ConfigurationError as error:
        assert_nothing_told(error)
    else:
        assert client.connection_pool.connection_kwargs["host"] == "cache"


@pytest.mark.parametrize("password", PASSWORDS)
def test_an_address_of_postgresql(password: str) -> None:
    try:
        url = url_of(f"postgresql://studio:{password}@db/anime")
    except ConfigurationError as error:
        assert_nothing_told(error)
    else:
        assert (url.host, url.database) == ("db", "anime")


def test_an_address_of_a_collector() -> None:
    with pytest.raises(ConfigurationError, match="ANIME_OTLP_ENDPOINT") as told:
        load_settings(otlp_endpoint="http://studio:secret/rest@collector:4318")
    assert_nothing_told(told.value)


@pytest.mark.parametrize("secret", ["secret\n", " secret", "sec\nret", "sécret", "secret\x01"])
async def test_a_header_that_cannot_be_sent_is_named_and_not_told(secret: str) -> None:
    login = ServerLogin({"X-Studio": SecretStr(secret)})
    with pytest.raises(ConnectionError, match="The header X-Studio has a character") as told:
        await login.headers()
    assert_nothing_told(told.value)


def test_a_header_for_the_collector_that_is_not_understood_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hide_headers()
    parse_env_headers("Authorization: Bearer secret", liberal=True)
    assert "Header format invalid" in caplog.text
    assert "secret" not in caplog.text
