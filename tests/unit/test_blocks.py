"""The forms of our blocks in the Prefect UI, and how they follow the settings."""

from pathlib import Path

import pytest
from prefect.blocks.core import Block
from pydantic import SecretStr

from anime.errors import ConfigurationError
from anime.settings import load_settings
from blocks import (
    AssetLibrary,
    ComfyUIServer,
    ProgressRedis,
    RegisteredComfyUI,
    StudioDatabase,
    StudioVault,
)

BLOCKS = [
    AssetLibrary,
    ComfyUIServer,
    ProgressRedis,
    RegisteredComfyUI,
    StudioDatabase,
    StudioVault,
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_field_says_what_it_is(block: type[Block]) -> None:
    for name, field in block.model_fields.items():
        assert field.annotation is not None, name
        assert str(field.description).endswith("."), name


@pytest.mark.parametrize("block", BLOCKS)
def test_a_duration_names_its_unit(block: type[Block]) -> None:
    for name, field in block.model_fields.items():
        if name.endswith("_seconds"):
            assert "second" in str(field.description), name
        if name.endswith("_mb"):
            assert "MB" in str(field.description), name


def test_the_blocks_follow_the_settings(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path,
        comfyui_url="http://gpu-a:8188/, http://gpu-b:8188",
        database_url=SecretStr("postgresql://anime@db/anime"),
        redis_url=SecretStr("redis://db/1"),
        poll_seconds=0.25,
        timezone="Asia/Tokyo",
    )
    assert ComfyUIServer.from_settings(settings).base_url == "http://gpu-a:8188"
    assert ComfyUIServer.from_settings(settings).poll_seconds == 0.25
    database = StudioDatabase.from_settings(settings)
    assert database.url.get_secret_value() == "postgresql://anime@db/anime"
    assert "anime@db" not in repr(database)
    library = AssetLibrary.from_settings(settings)
    assert (library.root, library.may_create) == (tmp_path / "library", True)
    assert str(library.zone) == "Asia/Tokyo"


def test_a_library_that_was_named_is_never_made(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, library_dir=tmp_path / "mount")
    assert AssetLibrary.from_settings(settings).may_create is False


def test_without_an_address_the_variable_to_set_is_named(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    with pytest.raises(ConfigurationError, match="ANIME_COMFYUI_URL"):
        ComfyUIServer.from_settings(settings)
    with pytest.raises(ConfigurationError, match="ANIME_DATABASE_URL"):
        StudioDatabase.from_settings(settings)
    assert ProgressRedis.from_settings(settings).url is None


def test_a_password_may_be_named_instead_of_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_DB", "postgresql://anime:secret@db/anime")
    block = StudioDatabase(url=SecretStr("env:STUDIO_DB"))
    assert block.client().address.host == "db"
    monkeypatch.delenv("STUDIO_DB")
    with pytest.raises(ConfigurationError, match="STUDIO_DB"):
        block.client()
