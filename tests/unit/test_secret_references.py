"""References in settings: which texts have some, what they become, and what is refused."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from anime.comfyui.address import canonical_url
from anime.comfyui.client import ComfyUIClient
from anime.core.secret_references import VaultReference, references_in
from anime.errors import ConfigurationError
from anime.net.vault.references_check import texts_of, texts_of_block
from anime.settings import get_settings, load_settings, resolve_reference
from anime.settings.process_lock import acquire_lock
from anime.settings.secret_references import known_value
from anime.settings.services_file import write_services
from anime.settings.stack_record import StackRecord, lock_path, write_record
from anime.settings.vault import VaultConfig
from anime.stack.environment import settings_environment, shared_values


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://anime:secret@db/anime",
        "redis://db/1",
        "anime:{curly}",
        "{nothing:here}",
        "http://[::1]:8188",
        "",
    ],
)
def test_a_text_without_references_stays_as_it_is(text: str) -> None:
    assert references_in(text) == ()
    assert resolve_reference(text) == known_value(text) == text


def test_variables_and_files_stand_for_what_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "p/w")
    file = tmp_path / "user"
    file.write_text("anime\n")
    assert resolve_reference("env:DB_PASSWORD") == "p/w"
    assert resolve_reference(f"file:{file}") == "anime"
    url = f"postgresql://{{file:{file}}}:{{env:DB_PASSWORD}}@db/anime"
    assert resolve_reference(url) == "postgresql://anime:p%2Fw@db/anime"
    file.write_text("another one \r\n")  # only the line's end is none of it
    assert resolve_reference(f"file:{file}") == "another one "


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"\xff\xfe", "is no text"), (b"x" * 70_000, "longer than 65536")],
)
def test_a_file_that_cannot_be_a_secret_is_refused(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as error:
        resolve_reference(f"file:{file}")
    assert error.value.todo
    with pytest.raises(ConfigurationError, match="no absolute path"):
        resolve_reference("file:secret")


@pytest.mark.parametrize(
    "name", ["kv/db", "kv#key", "#key", "kv/db#", "/db#key", "kv//db#key", "kv/../sys#key"]
)
def test_a_reference_that_names_no_secret_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no reference to a secret"):
        VaultReference.parse(name)


def test_what_people_send_is_never_taken_for_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    assert "leaked" not in canonical_url("http://gpu:8188/{env:SECRET}")
    with pytest.raises(ConfigurationError) as error:
        ComfyUIClient("http://{env:SECRET}.example:8188/")
    assert "leaked" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "to log in by token, ANIME_VAULT_TOKEN must be set"),
        (
            {"auth": "approle", "role_id": "x"},
            "to log in by approle, ANIME_VAULT_SECRET_ID must be set",
        ),
        ({"auth": "kubernetes"}, "to log in by kubernetes, ANIME_VAULT_ROLE must be set"),
        ({"token": "vault:kv/a#b"}, "what opens Vault cannot be in Vault"),
        ({"token": "x", "addr": "y"}, "Extra inputs are not permitted"),
        ({"token": "x", "url": "vault:8200"}, "should match pattern"),
    ],
)
def test_a_vault_that_nobody_could_log_in_to_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        VaultConfig.model_validate({"url": "https://vault:8200", **fields})


def test_the_variables_of_vault_are_read_and_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIME_VAULT_URL", "https://vault:8200")
    monkeypatch.setenv("ANIME_VAULT_TOKEN", "file:/run/secrets/vault-token")
    monkeypatch.setenv("ANIME_VAULT_CA_FILE", "/etc/ssl/studio.pem")
    get_settings.cache_clear()
    settings = get_settings()
    assert settings.vault is not None
    assert settings.vault.ca_file == Path("/etc/ssl/studio.pem")
    told = settings_environment(settings)
    assert told["ANIME_VAULT_TOKEN"] == "file:/run/secrets/vault-token"
    assert told["ANIME_VAULT_TIMEOUT_SECONDS"] == "10"
    assert "ANIME_VAULT_NAMESPACE" not in told
    monkeypatch.setenv("ANIME_VAULT_AUTH", "password")
    with pytest.raises(ConfigurationError, match="ANIME_VAULT_AUTH cannot be used"):
        load_settings()


def test_an_address_with_references_is_not_checked_before_they_are_resolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "http://artist:{env:COMFYUI_PASSWORD}@gpu:8188/"
    settings = load_settings(comfyui_url=f"{text}, http://b:8188")
    assert settings.comfyui_texts == (text.rstrip("/"), "http://b:8188")
    monkeypatch.setenv("COMFYUI_PASSWORD", "s/1")
    assert settings.comfyui_urls == ("http://artist:s%2F1@gpu:8188", "http://b:8188")


def test_a_wrong_setting_of_vault_is_told_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANIME_VAULT_URL", "https://vault:8200")
    monkeypatch.setenv("ANIME_VAULT_AUTH", "kubernetes")  # which needs a role
    monkeypatch.setenv("ANIME_VAULT_TOKEN", "canary")
    monkeypatch.setenv("ANIME_TIMEZONE", "vault:kv/studio#zone")
    with pytest.raises(
        ConfigurationError, match=r"^ANIME_VAULT_… cannot be used: .* ANIME_VAULT_ROLE must be set"
    ) as error:
        load_settings()
    assert "canary" not in str(error.value)


def test_secrets_are_shown_in_no_representation() -> None:
    config = VaultConfig(url="https://vault", auth="token", token=SecretStr("canary"))
    assert "canary" not in repr(config) + config.model_dump_json()


def test_any_other_setting_is_resolved_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slots").write_text("7\n")
    monkeypatch.setenv("STUDIO_ZONE", "Asia/Tokyo")
    monkeypatch.setenv("ANIME_TIMEZONE", "env:STUDIO_ZONE")
    monkeypatch.setenv("ANIME_IN_FLIGHT", f"file:{tmp_path / 'slots'}")
    monkeypatch.setenv("PREFECT_API_URL", "env:PREFECT_OF_STUDIO")
    monkeypatch.setenv("PREFECT_OF_STUDIO", "http://prefect/api")
    settings = load_settings()
    assert (settings.timezone, settings.in_flight) == ("Asia/Tokyo", 7)
    assert settings.prefect_api_url == "http://prefect/api"
    assert ("ANIME_TIMEZONE", "env:STUDIO_ZONE") in set(texts_of(settings))
    monkeypatch.delenv("STUDIO_ZONE")
    with pytest.raises(ConfigurationError, match="STUDIO_ZONE, which is not set here"):
        load_settings()


def test_commands_elsewhere_find_the_vault_of_a_running_stack(tmp_path: Path) -> None:
    config = VaultConfig(url="https://vault:8200", auth="token", token=SecretStr("file:/run/token"))
    shared = shared_values(load_settings(home=tmp_path, vault=config))
    record = StackRecord(pid=1, started_at=datetime.now(UTC), parts={}, settings=shared)
    lock = acquire_lock(lock_path(tmp_path))
    try:
        write_record(tmp_path, record)
        assert load_settings(home=tmp_path).vault == config
    finally:
        os.close(lock)


def test_commands_find_the_vault_of_installed_services(tmp_path: Path) -> None:
    write_services(
        tmp_path,
        {
            "ANIME_VAULT_URL": "https://vault:8200",
            "ANIME_VAULT_TOKEN": "file:/run/token",
            "ANIME_VAULT_CA_FILE": "/etc/ssl/studio.pem",
        },
    )
    vault = load_settings(home=tmp_path).vault
    assert vault is not None
    assert (vault.url, vault.ca_file) == ("https://vault:8200", Path("/etc/ssl/studio.pem"))


def test_references_in_headers_and_lists_are_checked_too() -> None:
    settings = load_settings(comfyui_headers={"X-Token": SecretStr("env:COMFYUI_TOKEN")})
    assert ("ANIME_COMFYUI_HEADERS[X-Token]", "env:COMFYUI_TOKEN") in set(texts_of(settings))
    block = {"base_url": "http://a", "more_urls": ["http://{env:LOGIN}@b"], "in_flight": 2}
    assert ("comfyui.more_urls", "http://{env:LOGIN}@b") in set(texts_of_block("comfyui", block))


def test_a_reference_whose_brace_is_open_is_told_and_not_its_text() -> None:
    with pytest.raises(ConfigurationError, match=r"begins with \{vault: has no end") as error:
        references_in("redis://:{env:A}canary{vault:kv/a#b@cache")
    assert "canary" not in str(error.value)


def test_a_setting_that_cannot_be_resolved_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^ANIME_TIMEZONE cannot be resolved: env:NONE"):
        load_settings(timezone="env:NONE")
