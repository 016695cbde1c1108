"""Vault or OpenBao, where references of the other blocks lead."""

from typing import TYPE_CHECKING, Self

from prefect.blocks.core import Block
from pydantic import ConfigDict

from anime.errors import ConfigurationError
from anime.settings import Settings
from anime.settings.vault import VaultConfig

if TYPE_CHECKING:
    from anime.net.vault.resolver import VaultResolver


class StudioVault(VaultConfig, Block):
    """Where secrets are kept, and how workers log in there.

    What opens Vault is given as env:NAME or file:/PATH, so that Prefect's database has no secret.
    """

    model_config = ConfigDict(frozen=False, extra="ignore")

    _block_type_name = "Studio Vault"
    _block_type_slug = "studio-vault"
    _description = "The Vault or OpenBao that the studio's secrets are in."

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
        """What resolves `vault:` references in this process, from now on with this Vault."""
        from anime.net.vault import RESOLVER, use_vault

        use_vault(VaultConfig(**self.model_dump(include=set(VaultConfig.model_fields))))
        return RESOLVER
