"""Vault or OpenBao, where references of the other blocks lead."""

from typing import TYPE_CHECKING, Self

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, ValidationError

from anime.errors import ConfigurationError
from anime.settings import Settings
from anime.settings.secret_references import resolve_without_vault
from anime.settings.vault import VaultConfig, resolved_fields
from blocks.reference_fields import ReferenceFields

if TYPE_CHECKING:
    from anime.net.vault.resolver import VaultResolver


class StudioVault(VaultConfig, ReferenceFields, Block):
    """Where secrets are kept, and how workers log in there.

    What opens Vault is given as env:NAME or file:/PATH, so that Prefect's database has no secret.
    """

    model_config = ConfigDict(frozen=False, extra="ignore")

    _block_type_name = "Studio Vault"
    _block_type_slug = "studio-vault"
    _description = "The Vault or OpenBao that the studio's secrets are in."

    url: str = Field(
        pattern=r"^(https?://[^/\s]+|(env|file):)", description="Address of Vault or OpenBao."
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The Vault that the settings name.

        Raises:
            ConfigurationError: they name none.
        """
        if settings.vault is None:
            raise ConfigurationError("No Vault is known.", "Set ANIME_VAULT_URL: docs/vault.md.")
        return cls(**settings.vault.model_dump())

    def client(self) -> "VaultResolver":
        """What resolves `vault:` references in this process, from now on with this Vault.

        Raises:
            ConfigurationError: a reference has no value, or one that cannot be used.
        """
        from anime.net.vault import RESOLVER, use_vault

        fields = self.model_dump(include=set(VaultConfig.model_fields))
        try:
            config = VaultConfig.model_validate(resolved_fields(fields))
        except ValidationError as fault:
            first = fault.errors()[0]
            raise ConfigurationError(
                f"The block {self._block_type_name} cannot be used: "
                f"{'_'.join(map(str, first['loc']))}: {first['msg']}.",
                "Correct it in Prefect.",
            ) from None
        use_vault(config)
        return RESOLVER

    @classmethod
    def _resolved_field(cls, name: str, text: str) -> str:
        return resolve_without_vault(f"{cls.__name__}.{name}", text)
