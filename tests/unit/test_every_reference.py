"""Each setting and each field of a block is the same by a reference as it is given itself."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, get_args, get_origin

import pytest
from prefect.blocks.core import Block
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from anime.errors import ConfigurationError
from anime.net.vault import RESOLVER
from anime.settings import RESOLVED_LATER, Settings, load_settings, resolve_reference
from anime.settings.secret_references import value_in
from anime.settings.tokens import api_tokens
from anime.settings.variables import variable_of
from anime.settings.vault import RESOLVED_AT_LOGIN, VaultConfig
from anime.stack.environment import child_environment
from blocks import AssetLibrary, ComfyUIServer, ProgressRedis, StudioDatabase, StudioVault
from blocks.studio_blocks import _resolved

# Beside RegisteredComfyUI, a row of the table of servers, which all may read: docs/vault.md.
EXCEPTIONS = {"vault": "each of its fields is a variable of its own"}
GIVEN = {
    "timezone": "Asia/Tokyo",
    "api_host": "127.0.0.2",
    "api_ports": "1,2",
    "api_users": "Mei:review:mei-1, Kai:view:kai-1",
    "api_cors_origins": "https://studio.example",
    "comfyui_headers": '{"X-Token": "one"}',
    "headers": '{"X-Token": "one"}',
    "more_urls": '["http://b:8188"]',
    "api_max_body_bytes": "2048",
    "worker_max_mb": "512",
}
REFERENCE = "env:GIVEN_BY_REFERENCE"


def example(name: str, field: FieldInfo) -> str:
    """A text that such a field takes, and that is not its default."""
    if name in GIVEN:
        return GIVEN[name]
    kind = field.annotation
    kind = get_args(kind)[0] if get_origin(kind) in {UnionType, Annotated} else kind
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = tuple(each.value for each in kind)
    if kind is bool:
        choices = ("true", "false") if field.default is not True else ("false",)
    if choices:
        return next(str(each) for each in choices if each != field.default)
    if kind in {int, float}:
        return "7"
    return "/srv/studio" if kind is Path else "http://studio.example:8188"


def used(settings: Settings, name: str) -> object:
    """What programs take the setting for."""
    if name in {"api_token", "api_users"}:
        return api_tokens(settings)
    if name == "comfyui_url":
        return settings.comfyui_urls
    return plain(getattr(settings, name), is_later=name in RESOLVED_LATER)


def plain(value: object, *, is_later: bool) -> object:
    """The value, of which a secret shows itself."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return resolve_reference(text) if is_later and isinstance(text, str) else value


def settings_with(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    with monkeypatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        return load_settings()


def test_each_setting_is_the_same_by_a_reference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "given"
    for name, field in Settings.model_fields.items():
        if name in EXCEPTIONS:
            continue
        text, variable = example(name, field), variable_of(name)
        file.write_text(f"{text}\n")
        monkeypatch.setenv("GIVEN_BY_REFERENCE", text)
        given = used(settings_with({variable: text}, monkeypatch), name)
        assert given != used(settings_with({}, monkeypatch), name), f"{name} has its default"
        for reference in (REFERENCE, f"file:{file}"):
            assert used(settings_with({variable: reference}, monkeypatch), name) == given, name


OF_VAULT = {
    "ANIME_VAULT_URL": "https://vault:8200",
    "ANIME_VAULT_TOKEN": "token",
    "ANIME_VAULT_ROLE": "role",
    "ANIME_VAULT_ROLE_ID": "role",
    "ANIME_VAULT_SECRET_ID": "secret",
}


def test_each_setting_of_vault_is_the_same_by_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, field in VaultConfig.model_fields.items():
        text, variable = example(name, field), f"ANIME_VAULT_{name.upper()}"
        monkeypatch.setenv("GIVEN_BY_REFERENCE", text)

        def value(given: str, name: str = name, variable: str = variable) -> object:
            vault = settings_with(OF_VAULT | {variable: given}, monkeypatch).vault
            return plain(getattr(vault, name), is_later=name in RESOLVED_AT_LOGIN)

        assert value(REFERENCE) == value(text), name
        if name not in RESOLVED_AT_LOGIN:
            with pytest.raises(ConfigurationError, match=f"{variable} cannot be in Vault"):
                value("vault:kv/studio#vault")


BLOCKS: list[tuple[type[Block], dict[str, object]]] = [
    (AssetLibrary, {"root": "/srv/library"}),
    (ComfyUIServer, {}),
    (ProgressRedis, {}),
    (StudioDatabase, {"url": "postgresql://db/anime"}),
    (StudioVault, {"url": "https://vault", "token": "x", "role": "r", "role_id": "x"}),
]


@pytest.mark.parametrize(("block", "needed"), BLOCKS)
def test_each_field_of_a_block_is_the_same_by_a_reference(
    block: type[Block], needed: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = needed | ({"secret_id": "x"} if block is StudioVault else {})
    for name in fields_of(block):
        text = example(name, block.model_fields[name])
        monkeypatch.setenv("GIVEN_BY_REFERENCE", text)
        is_container = isinstance(value_in(text), dict | list)
        given = in_use(block, needed | {name: value_in(text) if is_container else text}, name)
        assert in_use(block, needed | {name: REFERENCE}, name) == given, name


def fields_of(block: type[Block]) -> list[str]:
    """Those of ours."""
    return [name for name in block.model_fields if name not in Block.model_fields]


def in_use(block: type[Block], data: dict[str, object], name: str) -> object:
    """What a run takes the field for, of a block that Prefect has."""
    loaded: BaseModel = _resolved(block.model_validate(data))
    if isinstance(loaded, StudioVault):
        loaded.client()
        loaded = RESOLVER.session().config
        RESOLVER.close()
    return plain(getattr(loaded, name), is_later=True)


def test_where_our_files_are_cannot_be_in_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIME_HOME", "vault:kv/studio#home")
    with pytest.raises(ConfigurationError, match="ANIME_HOME cannot be in Vault"):
        load_settings()
    block = StudioVault(url="https://vault", token="x", role="vault:kv/studio#role")
    with pytest.raises(ConfigurationError, match="ANIME_VAULT_ROLE cannot be in Vault"):
        block.client()


def test_headers_that_are_a_reference_stand_in_no_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "headers").write_text('{"X-Token": "kept-back-7c1d"}')
    monkeypatch.setenv("ANIME_COMFYUI_HEADERS", f"file:{tmp_path / 'headers'}")
    environment = child_environment(load_settings())
    assert environment["ANIME_COMFYUI_HEADERS"] == f"file:{tmp_path / 'headers'}"
    assert "kept-back-7c1d" not in str(environment)
