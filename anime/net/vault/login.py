"""How a process logs in to Vault: by a token, AppRole or Kubernetes."""

import hashlib
import logging
import os
from pathlib import Path

from pydantic import SecretStr

from anime.errors import UnwrapFailed, VaultRefused
from anime.net.vault.vault_api import VaultApi, VaultToken
from anime.settings.process_lock import acquire_lock
from anime.settings.secret_references import resolve_reference
from anime.settings.vault import VaultConfig

_log = logging.getLogger(__name__)


def log_in(api: VaultApi, config: VaultConfig, folder: Path) -> VaultToken:
    """A token. `folder` keeps what a wrapping had, which opens once, for the next process.

    Raises:
        VaultUnavailable, VaultRefused: it cannot be had.
        UnwrapFailed: somebody else may have the secret_id.
        ConfigurationError: a file or variable is not there.
    """
    if config.auth == "token":
        return api.look_up(token_of(config))
    if config.auth == "kubernetes":
        proof = {"role": config.role or "", "jwt": _value(config.jwt)}
        return api.log_in(config.login_mount, proof)
    secret_id = _value(config.secret_id)
    if config.is_wrapped:
        secret_id = _unwrapped(api, config, secret_id, folder)
    proof = {"role_id": _value(config.role_id), "secret_id": secret_id}
    return api.log_in(config.login_mount, proof)


def token_of(config: VaultConfig) -> str:
    """The token that is given, which somebody may have exchanged.

    Raises:
        ConfigurationError: its file or variable is not there.
    """
    return _value(config.token)


def _value(secret: SecretStr | None) -> str:
    return resolve_reference(secret.get_secret_value()).strip() if secret else ""


def _unwrapped(api: VaultApi, config: VaultConfig, wrapping_token: str, folder: Path) -> str:
    """The secret_id in the wrapping: opened by the first process, kept for all others."""
    digest = hashlib.sha256(wrapping_token.encode()).hexdigest()[:16]
    kept = folder / f"vault-secret-id-{digest}"
    lock = acquire_lock(folder / "vault-secret-id.lock")
    try:
        if kept.exists():
            return kept.read_text()
        secret_id = _opened(api, config, wrapping_token)
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secret_id)
        return secret_id
    finally:
        os.close(lock)


def _opened(api: VaultApi, config: VaultConfig, wrapping_token: str) -> str:
    """What is wrapped, once it is sure that our AppRole has made it.

    Raises:
        UnwrapFailed: it is another's, or was opened before.
    """
    expected = f"auth/{config.login_mount}/role/{config.role or '*'}/secret-id"
    try:
        found = api.creation_path(wrapping_token)
        if not _is_from(found, expected):
            raise _incident(f"It was made at {found}, not at {expected}: somebody exchanged it.")
        return str(api.unwrap(wrapping_token)["secret_id"])
    except UnwrapFailed:
        raise
    except VaultRefused as fault:
        raise _incident(
            "It was opened before or has expired: if nobody of you opened it, somebody has read "
            f"the secret_id on its way. {fault.what}"
        ) from fault


def _is_from(found: str, expected: str) -> bool:
    before, _, after = expected.partition("*")
    return found == expected or (
        "*" in expected and found.startswith(before) and found.endswith(after)
    )


def _incident(why: str) -> UnwrapFailed:
    error = UnwrapFailed(
        f"INCIDENT: the wrapped secret_id of Vault cannot be trusted. {why}",
        "Revoke the secret_ids of the role, look into Vault's audit log for who opened it, and "
        "give a new one: `bao write -wrap-ttl=5m -f auth/approle/role/ROLE/secret-id`.",
    )
    _log.critical(error.what)
    return error
