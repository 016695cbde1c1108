"""Addresses for asyncpg, and the settings as children are told them."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from anime.errors import ConfigurationError
from anime.settings import Settings
from anime.stack.environment import settings_environment, shared_values
from anime.stack.prefect_database import for_asyncpg


def settings_for(home: Path, **values: object) -> Settings:
    return Settings(home=home).model_copy(update=values)


def test_sslmode_is_called_ssl_for_asyncpg() -> None:
    url = make_url("postgresql+psycopg://me:secret@db.local:5433/anime?sslmode=require")
    assert for_asyncpg(url) == "postgresql+asyncpg://me:secret@db.local:5433/anime?ssl=require"


def test_a_socket_folder_stays_in_the_address() -> None:
    converted = make_url(for_asyncpg(make_url("postgresql://me@/anime?host=/run/a b")))
    assert converted.query == {"host": "/run/a b"}


def test_what_only_names_the_client_is_left_out() -> None:
    url = make_url("postgresql://me@db/anime?application_name=studio")
    assert for_asyncpg(url) == "postgresql+asyncpg://me@db/anime"


def test_an_option_that_asyncpg_lacks_is_named_with_the_way_out() -> None:
    url = make_url("postgresql://me@db/anime?sslrootcert=/etc/ca.pem")
    with pytest.raises(ConfigurationError, match=r"sslrootcert.*ANIME_PREFECT_DATABASE_URL"):
        for_asyncpg(url)


def test_children_are_told_each_setting_under_its_variable(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path,
        api_ports=(8001, 8002),
        redis_url=SecretStr("redis://r/1"),
        prefect_api_url="http://p/api",
    )
    told = settings_environment(settings)
    assert told["ANIME_HOME"] == str(tmp_path)
    assert told["ANIME_API_PORTS"] == "8001,8002"
    assert told["ANIME_REDIS_URL"] == "redis://r/1"
    assert told["PREFECT_API_URL"] == "http://p/api"


def test_what_is_unset_is_not_told(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    assert "ANIME_DATABASE_URL" not in settings_environment(settings)
    assert "database_url" not in shared_values(settings)
