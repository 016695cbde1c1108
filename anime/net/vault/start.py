"""What API and worker do about references when they start."""

import asyncio

from anime.net.vault.references_check import references_of, texts_of, texts_resolved_later
from anime.net.vault.resolver import RESOLVER
from anime.settings import Settings
from anime.settings.secret_references import resolve_setting

# What only others connect with: a lease of it would be for nothing.
_OF_OTHERS = frozenset({"ANIME_PREFECT_DATABASE_URL"})


async def resolve_at_start(settings: Settings, process: str) -> None:
    """Resolve what the process will connect with, in a thread: later no event loop waits for Vault.

    Others are told how its Vault is under the name `process`.

    Raises:
        ConfigurationError, VaultUnavailable: a reference has no value; it names the setting.
    """
    RESOLVER.process = process
    texts = [text for text in texts_resolved_later(settings) if text[0] not in _OF_OTHERS]
    if references := list(references_of(texts)):
        await asyncio.to_thread(
            lambda: [resolve_setting(where, str(each)) for where, each in references]
        )


def check_vault_answers(settings: Settings) -> None:
    """Log in to Vault if a setting refers to it, and give back what that has made.

    Raises:
        ConfigurationError, VaultUnavailable: one cannot log in.
    """
    if any(each.scheme == "vault" for _, each in references_of(texts_of(settings))):
        RESOLVER.session().log_in()
    RESOLVER.close()
