"""Secrets from Vault or OpenBao: read when a connection opens, renewed while the process runs.

hvac is imported when the first `vault:` reference is resolved.
"""

from anime.net.vault.resolver import RESOLVER, use_vault, vault_status

__all__ = ["RESOLVER", "use_vault", "vault_status"]
