"""Secrets from Vault or OpenBao: read when a connection opens, renewed while the process runs.

hvac is imported when the first `vault:` reference is resolved.
"""

from anime.net.vault.resolver import RESOLVER, has_lease, use_vault, vault_status

__all__ = ["RESOLVER", "has_lease", "use_vault", "vault_status"]
