"""Settings of Vault: where it is, and how this program logs in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from anime.core.secret_references import references_in
from anime.settings.secret_references import resolve_without_vault

VaultAuth = Literal["token", "approle", "kubernetes"]
SERVICE_ACCOUNT_TOKEN = "file:/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  a path

# What each way to log in shows, by field.
PROOFS: dict[str, tuple[str, ...]] = {
    "token": ("token",),
    "approle": ("role_id", "secret_id"),
    "kubernetes": ("jwt",),
}
# By each login, as files of tokens are exchanged while programs run.
RESOLVED_AT_LOGIN = frozenset(name for names in PROOFS.values() for name in names)


class VaultConfig(BaseModel):
    """One Vault or OpenBao, and the way to log in there: `ANIME_VAULT_` and a name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(pattern=r"^https?://[^/\s]+", description="Address of Vault or OpenBao.")
    namespace: str | None = Field(default=None, description="Namespace, if it has some.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that its certificate is from."
    )
    mount: str = Field(
        default="", description="Mount of references that begin with a slash: vault:/PATH#KEY."
    )
    auth: VaultAuth = Field(default="token", description="How to log in.")
    auth_mount: str | None = Field(
        default=None, description="Mount of the login method, if it is not the usual one."
    )
    token: SecretStr | None = Field(
        default=None, description="For token: where it is, such as file:/run/secrets/vault-token."
    )
    role: str | None = Field(
        default=None, description="Name of the role: for Kubernetes, and to check a wrapped secret."
    )
    role_id: SecretStr | None = Field(default=None, description="For AppRole: the role_id.")
    secret_id: SecretStr | None = Field(
        default=None, description="For AppRole: where it is, such as file:/run/secrets/secret-id."
    )
    is_wrapped: bool = Field(
        default=False, description="Whether secret_id is a wrapping token, which opens once."
    )
    jwt: SecretStr = Field(
        default=SecretStr(SERVICE_ACCOUNT_TOKEN),
        description="For Kubernetes: where the token of the service account is.",
    )
    timeout_seconds: float = Field(
        default=10, gt=0, le=120, description="How many seconds one answer may take."
    )
    refresh_seconds: float = Field(
        default=60,
        gt=0,
        description="After how many seconds secrets without a lease are read anew.",
    )

    @model_validator(mode="after")
    def _has_what_its_login_needs(self) -> Self:
        needed = {**self.proofs, "role": self.role} if self.auth == "kubernetes" else self.proofs
        if missing := [name for name, value in needed.items() if value is None]:
            variables = " and ".join(f"ANIME_VAULT_{name.upper()}" for name in missing)
            raise ValueError(f"to log in by {self.auth}, {variables} must be set")
        return self

    @model_validator(mode="after")
    def _login_is_not_in_vault(self) -> Self:
        for secret in self.proofs.values():
            if secret and any(
                each.scheme == "vault" for each in references_in(secret.get_secret_value())
            ):
                raise ValueError("what opens Vault cannot be in Vault")
        return self

    @property
    def proofs(self) -> dict[str, SecretStr | None]:
        """What this way to log in shows, by field."""
        return {name: getattr(self, name) for name in PROOFS[self.auth]}

    @property
    def login_mount(self) -> str:
        """The mount of the login method."""
        return (self.auth_mount or self.auth).strip("/")


def resolved_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of a `VaultConfig` with what their references stand for.

    Raises:
        ConfigurationError: one has no value, or is itself in Vault.
    """
    return {
        name: resolve_without_vault(f"ANIME_VAULT_{name.upper()}", str(value))
        if isinstance(value, str | Path) and name not in RESOLVED_AT_LOGIN
        else value
        for name, value in fields.items()
    }
