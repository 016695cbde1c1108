"""What one process has from Vault: a token, and secrets that it keeps fresh.

Whoever needs a value that is known gets it from memory. Only the first who needs it waits for
Vault; all later questions are the renewer's.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from anime.core.secret_references import VaultReference
from anime.core.vault_leases import VaultLease
from anime.errors import AnimeError, VaultDenied, VaultRefused, VaultUnavailable
from anime.net.vault.login import log_in, token_of
from anime.net.vault.status import SecretStatus, VaultStatus
from anime.net.vault.vault_api import VaultAnswer, VaultApi, VaultToken
from anime.retry_policies import VAULT_RENEWAL
from anime.settings.vault import VaultConfig

CHECK_SECONDS = 10.0  # how often Vault is asked how it is
CLOSE_SECONDS = 2.0  # for each answer when the process ends
REFRESH_MIN_SECONDS = 5.0  # between two questions because somebody was refused
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """A secret as it was last read. `generation` counts its values; `due_at` is the renewer's.

    `token` is the one that it was read with: its lease ends with that token, whoever renews it.
    """

    path: str
    answer: VaultAnswer = field(repr=False)
    token: str = field(repr=False)
    read_at: float
    due_at: float
    generation: int = 1
    failures: int = 0

    @property
    def lease(self) -> VaultLease | None:
        """Until when Vault lets it be used; None if it does not say."""
        return self.answer.lease

    def has_ended(self, now: float) -> bool:
        """Whether Vault has taken it back by then."""
        return self.lease is not None and now >= self.lease.ends_at


class VaultSession:
    """The secrets of one process from one Vault. Every method may be called by any thread."""

    def __init__(
        self,
        config: VaultConfig,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`folder` keeps what a wrapped secret_id had."""
        self.config, self._folder = config, folder
        self._clock, self._chance = clock, chance
        self._api = VaultApi(config, clock)
        self.changed = threading.Event()  # set when something may be due earlier than it was
        self._asking = threading.RLock()  # one question at a time; memory is read without it
        self._token: VaultToken | None = None
        self._token_due_at = float("inf")
        self._token_failures = 0
        self._held: dict[str, HeldSecret] = {}
        self._mounts: dict[str, tuple[str, str]] = {}
        self._check_at = 0.0
        self._faults: dict[str, AnimeError] = {}  # by path, and of the token
        self._fault_at: dict[str, float] = {}
        self._fault_since = 0.0

    def values(self, references: Sequence[VaultReference]) -> list[str]:
        """The value of each, those of one path of one moment; waits for those not known yet.

        Raises:
            VaultUnavailable: Vault does not answer, and one is not known or its lease has ended.
            VaultRefused: Vault refuses, or the secret has no such key.
        """
        found = {each.path: self._current(each.path) for each in references}
        return [_value_of(found[each.path], each) for each in references]

    def known_values(self, references: Sequence[VaultReference]) -> list[str] | None:
        """The same from memory alone; None if one is not there, or its lease has ended."""
        now = self._clock()
        found = {each.path: self._held.get(each.path) for each in references}
        known = {path: held for path, held in found.items() if held and not held.has_ended(now)}
        if len(known) < len(found):
            return None
        return [_value_of(known[each.path], each) for each in references]

    def refresh(self, references: Sequence[VaultReference]) -> None:
        """Read again what others have refused, unless that was done just now.

        Raises:
            VaultUnavailable, VaultRefused: as `values`.
        """
        for path in {each.path for each in references}:
            with self._asking:
                held = self._held.get(path)
                if held is None or self._clock() - held.read_at >= REFRESH_MIN_SECONDS:
                    self._read(path)

    def renew_due(self) -> float:
        """Renew and replace what is due; seconds until something is due again.

        What fails is tried again, and logged when it begins to fail: nothing is raised.
        """
        now = self._clock()
        if now >= self._check_at:
            self._check()
        if self._token is not None and now >= self._token_due_at:
            self._renew_token(self._token)
        for held in list(self._held.values()):
            if now >= held.due_at:
                self._renew(held)
        due = [self._check_at, self._token_due_at, *(each.due_at for each in self._held.values())]
        return max(0.0, min(due) - self._clock())

    def status(self) -> VaultStatus:
        """How Vault is, by the last answers, and until when what is known can be used."""
        now = self._clock()
        held = sorted(self._held.values(), key=lambda each: each.path)
        leases = [each.lease for each in held if each.lease is not None]
        if leases and self._token is not None and self._token.lease is not None:
            leases.append(self._token.lease)  # its leases end with it
        faults = list(self._faults.values())
        fault = next(iter(faults), None)
        return VaultStatus(
            url=self._api.url,
            is_up=not any(isinstance(each, VaultUnavailable) for each in faults),
            fault=fault.what if fault else None,
            todo=fault.todo if fault else "",
            since=_date(self._fault_since - now) if fault else None,
            until=_date(min(each.ends_at for each in leases) - now) if leases else None,
            token=self._describe_token(now),
            warning=_warning_of(self._token) if self.config.auth == "token" else "",
            secrets=tuple(
                SecretStatus(
                    path=each.path,
                    generation=each.generation,
                    seconds_left=max(0.0, each.lease.ends_at - now) if each.lease else None,
                )
                for each in held
            ),
        )

    def close(self) -> None:
        """Give back the leases, as far as Vault answers: nobody else uses them."""
        token, held = self._token, list(self._held.values())
        self._token, self._held = None, {}
        self._api.timeout_seconds = CLOSE_SECONDS
        with suppress(AnimeError):
            if token is not None and self.config.auth != "token":
                self._api.revoke_token(token.value)  # we have made it; its leases end with it
            elif token is not None:
                for each in held:
                    if each.lease is not None:
                        self._api.revoke(each.answer.lease_id, token.value)
        self._api.close()

    def log_in(self) -> None:
        """Have a token, unless there is one.

        Raises:
            VaultUnavailable, VaultRefused, ConfigurationError: there can be none.
        """
        with self._asking, self._noting_fault_of("token"):
            if self._token is None:
                self._log_in()

    def _check(self) -> None:
        self._check_at = self._clock() + CHECK_SECONDS
        with suppress(AnimeError), self._noting_fault_of("server"):
            self._api.check()
            for subject, fault in list(self._faults.items()):
                # What we hold is asked for again; what nobody got may never be.
                if isinstance(fault, VaultUnavailable) and subject not in {*self._held, "token"}:
                    self._faults.pop(subject, None)

    def _current(self, path: str) -> HeldSecret:
        held = self._held.get(path)
        if held is not None and not held.has_ended(self._clock()):
            return held
        began_at = self._clock()
        with self._asking:
            held = self._held.get(path)
            if held is None or held.has_ended(self._clock()):
                self._share_fault(path, began_at)
                held = self._read(path)
            return held

    def _share_fault(self, path: str, began_at: float) -> None:
        """Raise what another thread was told meanwhile: many who wait for Vault wait together."""
        fault = self._faults.get(path)
        if isinstance(fault, VaultUnavailable) and self._fault_at.get(path, 0.0) >= began_at:
            raise VaultUnavailable(fault.what, fault.todo)

    def _read(self, path: str) -> HeldSecret:
        """The secret, read now; the next generation if its value is another one."""
        with self._asking, self._noting_fault_of(path):
            answer, token = self._answer(path)
            before, now = self._held.get(path), self._clock()
            generation = before.generation if before else 1
            if before is not None and before.answer.data != answer.data:
                generation += 1
                _log.info("Vault: %s is now of generation %d", path, generation)
            due_at = self._due_at(answer, now)
            held = HeldSecret(path, answer, token.value, now, due_at, generation)
            self._held[path] = held
            self.changed.set()
            return held

    def _answer(self, path: str) -> tuple[VaultAnswer, VaultToken]:
        """What the path has, and the token: a new one if Vault knows ours no more."""
        token = self._token or self._log_in()
        try:
            return self._ask(path, token), token
        except VaultDenied:
            if self._is_valid(token) or not self._can_log_in_anew(token):
                raise
            token = self._log_in()
            return self._ask(path, token), token

    def _ask(self, path: str, token: VaultToken) -> VaultAnswer:
        first = path.partition("/")[0]
        mount, kind = self._mounts.get(first) or self._api.mount_of(path, token.value)
        if "/" not in mount:
            self._mounts[first] = mount, kind
        if kind != "kv2":
            return self._api.read(path, token.value)
        within = path.removeprefix(mount).strip("/")
        answer = self._api.read(f"{mount}/data/{within}", token.value)
        return VaultAnswer(answer.data.get("data") or {}, answer.lease, answer.lease_id)

    def _log_in(self) -> VaultToken:
        """A new token. What the old one has leased ends with it, so all that is due at once."""
        with self._asking:
            is_first = self._token is None
            token = log_in(self._api, self.config, self._folder)
            self._take(token)
            self._faults.pop("token", None)
            if is_first:
                self._warn_about(token)
            else:
                _log.info("Vault: logged in anew")
                for path, held in list(self._held.items()):
                    if held.lease is not None:
                        self._held[path] = replace(held, due_at=self._clock())
            return token

    def _take(self, token: VaultToken) -> None:
        self._token, self._token_failures = token, 0
        self._token_due_at = token.lease.due_at(self._chance()) if token.lease else float("inf")

    def _is_valid(self, token: VaultToken) -> bool:
        try:
            self._api.look_up(token.value)
        except VaultRefused:
            return False
        return True

    def _can_log_in_anew(self, token: VaultToken) -> bool:
        """Whether another token can be had: of a given one, if its file has another by now."""
        return self.config.auth != "token" or token_of(self.config) != token.value

    def _renew_token(self, token: VaultToken) -> None:
        """Renew it, or log in anew if it cannot be renewed any more."""
        try:
            with self._asking, self._noting_fault_of("token"):
                if not self._is_renewed(token) and self._can_log_in_anew(token):
                    self._log_in()
        except AnimeError as fault:
            _log.debug("Vault: the token is not renewed: %s", fault)
        if self._token is token:  # look for another one, or for Vault, soon
            self._token_due_at = self._clock() + self._retry(self._token_failures)
            self._token_failures += 1

    def _is_renewed(self, token: VaultToken) -> bool:
        """Whether Vault has given it more time."""
        if token.lease is None or not token.lease.can_be_renewed:
            return False
        with suppress(VaultRefused):
            self._take(self._api.renew_token(token))
            return True
        return False

    def _renew(self, held: HeldSecret) -> None:
        """Renew the lease, or read the secret anew where there is none or it is at its end."""
        try:
            with self._asking, self._noting_fault_of(held.path):
                renewed = self._renewed(held)
                if renewed is None:
                    self._read(held.path)
                else:
                    self._held[held.path] = renewed
        except AnimeError as fault:
            _log.debug("Vault: %s is not renewed: %s", held.path, fault)
            again_at = self._clock() + self._retry(held.failures)
            latest = self._held.get(held.path, held)
            self._held[held.path] = replace(latest, due_at=again_at, failures=held.failures + 1)

    def _renewed(self, held: HeldSecret) -> HeldSecret | None:
        """The secret with more time; None if it is to be replaced by another one."""
        lease, token = held.lease, self._token
        if lease is None or token is None or token.value != held.token:
            return None
        if not lease.can_be_renewed or held.has_ended(self._clock()):
            return None
        with suppress(VaultRefused):
            lease = self._api.renew(held.answer.lease_id, lease, token.value)
            if lease.can_be_renewed:
                answer = replace(held.answer, lease=lease)
                return replace(held, answer=answer, due_at=lease.due_at(self._chance()), failures=0)
        return None

    def _due_at(self, answer: VaultAnswer, now: float) -> float:
        if answer.lease is not None:
            return answer.lease.due_at(self._chance())
        return now + self.config.refresh_seconds * (0.9 + 0.2 * self._chance())

    def _retry(self, failures: int) -> float:
        return VAULT_RENEWAL.delay(failures) + VAULT_RENEWAL.jitter_seconds * self._chance()

    @contextmanager
    def _noting_fault_of(self, subject: str) -> Iterator[None]:
        """Remember what is wrong with a secret or the token, for whoever asks how Vault is."""
        try:
            yield
        except AnimeError as fault:
            if not self._faults:
                self._fault_since = self._clock()
            is_new = subject not in self._faults or self._faults[subject].what != fault.what
            if is_new and self._held:  # else nothing goes on, and who asked says so
                _log.warning("%s", fault)
            self._faults[subject], self._fault_at[subject] = fault, self._clock()
            raise
        else:
            if self._faults.pop(subject, None) is not None:
                _log.info("Vault: all is well again with the %s", subject)

    def _warn_about(self, token: VaultToken) -> None:
        if warning := _warning_of(token):
            _log.warning("Vault: %s. %s", self._describe_token(self._clock()), warning)

    def _describe_token(self, now: float) -> str:
        token = self._token
        if token is None:
            return "not logged in"
        if token.is_root:
            return "a root token, which may do everything"
        if token.lease is None:
            return "a token that never ends"
        ends = f"{_date(token.lease.ends_at - now):%Y-%m-%d %H:%M:%S} UTC"
        if not token.lease.is_renewable:
            return f"a token that cannot be renewed: it ends at {ends}"
        return f"a token that is renewed, until {ends} by now"


def _warning_of(token: VaultToken | None) -> str:
    """What to do about a token that is not as it should be; empty if it is."""
    if token is not None and token.is_root:
        return "Give one whose policy allows no more than reading these secrets."
    if token is not None and token.lease is not None and not token.lease.is_renewable:
        return "Give a renewable one, or exchange it in its file before it ends."
    return ""


def _value_of(held: HeldSecret, reference: VaultReference) -> str:
    data: Mapping[str, Any] = held.answer.data
    value = data.get(reference.key)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if reference.key in data:
        raise VaultRefused(
            f"The key {reference.key} of the secret {reference.path} is no text.",
            "Store it as a text.",
        )
    raise VaultRefused(
        f"The secret {reference.path} has no key {reference.key}; it has: "
        f"{', '.join(sorted(data)) or 'none'}.",
        "Correct what follows # in the reference.",
    )


def _date(seconds_from_now: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds_from_now)
