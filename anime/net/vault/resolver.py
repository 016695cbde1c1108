"""The one Vault session of a process, and the thread that renews what it holds."""

import atexit
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from anime.core.secret_references import VaultReference, references_in
from anime.errors import ConfigurationError
from anime.net.vault.process_status import StatusFile, name_of_command
from anime.net.vault.status import VaultStatus
from anime.settings.basic import BasicSettings
from anime.settings.vault import VaultConfig

if TYPE_CHECKING:
    from anime.net.vault.session import VaultSession

LONGEST_WAIT_SECONDS = 60.0
_log = logging.getLogger(__name__)


class VaultResolver:
    """Resolves `vault:` references for all of this process."""

    def __init__(self) -> None:
        self.process = ""  # what this process is called; the name of its command if empty
        self._lock = threading.Lock()
        self._config: VaultConfig | None = None
        self._session: VaultSession | None = None
        self._status_file: StatusFile | None = None

    def use(self, config: VaultConfig) -> None:
        """Take this Vault from now on, as a block in Prefect says."""
        with self._lock:
            if config == self._config:
                return
            # What the one before has leased may be in use, and ends by itself.
            self._session, self._config = None, config
            self._remove_status_file()

    def values(self, names: Sequence[str]) -> Mapping[str, str]:
        """The value of each name; it may wait for Vault.

        Raises:
            ConfigurationError: no Vault is known, or a reference is malformed.
            VaultUnavailable, VaultRefused: Vault does not give it.
        """
        found = self.session().values(self._parsed(names))
        return dict(zip(names, found, strict=True))

    def known_values(self, names: Sequence[str]) -> Mapping[str, str] | None:
        """The same from memory alone; None if one is not known."""
        session = self._session
        found = session.known_values(self._parsed(names)) if session else None
        return None if found is None else dict(zip(names, found, strict=True))

    def refresh(self, names: Sequence[str]) -> None:
        """Ask for the secrets anew, as what is known was refused.

        Raises:
            VaultUnavailable, VaultRefused: Vault does not give them.
        """
        self.session().refresh(self._parsed(names))

    def seconds_left(self, name: str) -> float | None:
        """How long the lease of what was resolved goes on, in seconds; None if it has none."""
        (reference,) = self._parsed([name])
        status = self.status()
        secrets = status.secrets if status else ()
        return next((each.seconds_left for each in secrets if each.path == reference.path), None)

    def status(self) -> VaultStatus | None:
        """How Vault is for this process; None if it has asked for nothing yet."""
        return self._session.status() if self._session else None

    def session(self) -> "VaultSession":
        """The session, made when it is first needed.

        Raises:
            ConfigurationError: no Vault is known.
        """
        with self._lock:
            if self._session is None:
                from anime.net.vault.session import VaultSession

                settings = BasicSettings()
                config = self._config = self._config or settings.vault
                if config is None:
                    raise ConfigurationError(
                        "A reference leads to Vault, and no Vault is known.",
                        "Set ANIME_VAULT_URL, ANIME_VAULT_AUTH and what it needs: docs/vault.md.",
                    )
                self._session = VaultSession(config, settings.home / "run")
                self._status_file = StatusFile(settings.home / "run")
                arguments = (self, self._session, self._status_file)
                threading.Thread(
                    target=_renew, args=arguments, daemon=True, name="vault-renewer"
                ).start()
            return self._session

    def is_current(self, session: "VaultSession") -> bool:
        """Whether that session is still the one of this process."""
        return self._session is session

    def close(self) -> None:
        """Give back what this process has from Vault, and forget it."""
        with self._lock:
            session, self._session, self._config = self._session, None, None
            self._remove_status_file()
        if session is not None:
            session.close()

    def forget(self) -> None:
        """Begin anew in a forked process: threads are not copied, and leases belong to one."""
        if self._status_file is not None:
            self._status_file.release()
        self.__init__()  # type: ignore[misc]  # every field, as at the start

    def _remove_status_file(self) -> None:
        if self._status_file is not None:
            self._status_file.remove()
            self._status_file = None

    def _parsed(self, names: Sequence[str]) -> list[VaultReference]:
        config = self._config
        usual_mount = config.mount if config else ""
        return [VaultReference.parse(name, usual_mount) for name in names]


def _renew(resolver: VaultResolver, session: "VaultSession", status_file: StatusFile) -> None:
    """Renew for as long as the session is the one in use; the process may end meanwhile."""
    while resolver.is_current(session):
        try:
            seconds = session.renew_due()
        except Exception:  # noqa: BLE001  the renewer has to go on, whatever it was
            _log.exception("Vault: the renewer goes on after an internal error")
            seconds = LONGEST_WAIT_SECONDS
        status_file.write(resolver.process or name_of_command(), session.status())
        session.changed.wait(min(seconds, LONGEST_WAIT_SECONDS))
        session.changed.clear()


RESOLVER = VaultResolver()
atexit.register(RESOLVER.close)
os.register_at_fork(after_in_child=RESOLVER.forget)


def use_vault(config: VaultConfig) -> None:
    """Resolve `vault:` references with that Vault from now on, in this process."""
    RESOLVER.use(config)


def has_lease(text: str) -> bool:
    """Whether Vault takes back what a reference of the text stands for; once that is resolved."""
    names = [each.name for each in references_in(text) if each.scheme == "vault"]
    return any(RESOLVER.seconds_left(name) is not None for name in names)


def vault_status() -> VaultStatus | None:
    """How Vault is for this process; None if it has asked for nothing yet."""
    return RESOLVER.status()
