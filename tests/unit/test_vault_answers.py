"""Answers that no Vault gives: of a proxy before it, or of what stands at a wrong address."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from anime.core.vault_leases import lease_of
from anime.errors import VaultRefused, VaultUnavailable
from anime.net.vault.vault_api import VaultApi, VaultToken
from anime.settings.vault import VaultConfig

LEASE = lease_of(60, 0.0, is_renewable=True)
CALLS: tuple[Callable[[VaultApi], object], ...] = (
    lambda vault: vault.check(),
    lambda vault: vault.log_in("approle", {}),
    lambda vault: vault.look_up("token"),
    lambda vault: vault.renew_token(VaultToken("token", LEASE)),
    lambda vault: vault.mount_of("kv/studio", "token"),
    lambda vault: vault.renew("lease", LEASE, "token"),
    lambda vault: vault.creation_path("token"),
    lambda vault: vault.unwrap("token"),
)


@pytest.mark.parametrize("status", [200, 404, 500, 503])
@pytest.mark.parametrize(
    "body",
    [
        *(b"null", b"[]", b'"x"', b"{}", b"<html>", b"[" * 100_000, b'{"errors": [1, {}]}'),
        *(b'{"data": null, "auth": null}', b'{"data": ["s3cret"], "auth": ["s3cret"]}'),
        b'{"auth": {"client_token": "s3cret", "lease_duration": "soon", "renewable": 1}}',
    ],
)
def test_an_answer_that_is_not_vaults_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    def answer(_: HTTPAdapter, request: PreparedRequest, **_options: object) -> Response:
        response = Response()
        response.status_code, response._content, response.request = status, body, request
        return response

    monkeypatch.setattr(HTTPAdapter, "send", answer)
    vault = VaultApi(VaultConfig(url="http://vault", token=SecretStr("env:TOKEN")))
    for call in CALLS:
        with pytest.raises((VaultUnavailable, VaultRefused)) as refused:
            call(vault)
        assert refused.value.todo
        assert "s3cret" not in str(refused.value)
