"""When a session renews and replaces what it has, by a clock and a Vault that a test leads."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from anime.core.secret_references import VaultReference
from anime.core.vault_leases import VaultLease, lease_of
from anime.errors import VaultRefused, VaultUnavailable
from anime.net.vault import session as sessions
from anime.net.vault.session import VaultSession
from anime.net.vault.vault_api import VaultAnswer, VaultToken
from anime.settings.vault import VaultConfig

PASSWORD = VaultReference("database/creds/anime", "password")
LEASE_SECONDS = 100


class LedVault:
    """Answers as its fields say, and counts what it was asked."""

    url = "http://vault"
    timeout_seconds = 1.0

    def __init__(self, config: VaultConfig, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.fault: VaultUnavailable | VaultRefused | None = None
        self.granted = LEASE_SECONDS  # by a renewal
        self.is_renewable = True
        self.reads = self.renewals = 0

    def look_up(self, token: str) -> VaultToken:
        return VaultToken(token, None)

    def mount_of(self, path: str, token: str) -> tuple[str, str]:
        return "database", "database"

    def check(self) -> None:
        if self.fault:
            raise self.fault

    def read(self, path: str, token: str) -> VaultAnswer:
        self.check()
        self.reads += 1
        lease = lease_of(LEASE_SECONDS, self.clock(), is_renewable=self.is_renewable)
        return VaultAnswer({"password": f"number {self.reads}"}, lease, f"lease-{self.reads}")

    def renew(self, lease_id: str, lease: VaultLease, token: str) -> VaultLease:
        self.check()
        self.renewals += 1
        return lease.renewed(self.granted, self.clock(), is_renewable=True)

    def close(self) -> None: ...


class Led:
    """The session, its Vault, and the clock of both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.now = 1000.0
        monkeypatch.setattr(sessions, "VaultApi", LedVault)
        config = VaultConfig(url="http://vault", auth="token", token=SecretStr("x"))
        self.session = VaultSession(config, folder, clock=lambda: self.now, chance=lambda: 0.5)
        assert isinstance(self.session._api, LedVault)
        self.vault: LedVault = self.session._api

    @property
    def password(self) -> str | None:
        known = self.session.known_values([PASSWORD])
        return known[0] if known else None

    def go_on(self, seconds: float) -> None:
        """Let so many seconds pass, in which the renewer does what is due."""
        end = self.now + seconds
        while (due := self.now + self.session.renew_due()) < end:
            self.now = max(due, self.now + 0.001)
        self.now = end
        self.session.renew_due()


@pytest.fixture
def led(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Led:
    led = Led(monkeypatch, tmp_path)
    assert led.session.values([PASSWORD]) == ["number 1"]
    return led


def seconds_left(led: Led) -> float | None:
    (secret,) = led.session.status().secrets
    return secret.seconds_left


def test_a_lease_is_renewed_at_half_its_time_by_what_the_answer_says(led: Led) -> None:
    led.vault.granted = 90  # not the 100 that are asked for
    led.go_on(54)
    assert led.vault.renewals == 0
    led.go_on(2)
    assert (led.vault.renewals, led.vault.reads) == (1, 1)
    assert seconds_left(led) == pytest.approx(89, abs=1)
    led.go_on(48)
    assert led.vault.renewals == 1
    led.go_on(2)  # 55 % of 90
    assert led.vault.renewals == 2
    assert led.password == "number 1"


def test_a_lease_at_the_end_of_its_life_is_replaced_before_80_percent_of_it(led: Led) -> None:
    led.vault.granted = 60  # less than three quarters
    led.go_on(56)
    assert led.password == "number 2"
    assert seconds_left(led) == pytest.approx(99, abs=1)
    assert [each.generation for each in led.session.status().secrets] == [2]


def test_a_lease_that_cannot_be_renewed_is_replaced_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    led = Led(monkeypatch, tmp_path)
    led.vault.is_renewable = False
    led.session.values([PASSWORD])
    led.go_on(56)
    assert (led.vault.renewals, led.password) == (0, "number 2")


def test_while_vault_is_away_what_is_known_goes_on_until_its_lease_ends(led: Led) -> None:
    led.vault.fault = VaultUnavailable("Vault is away.", "Start it.")
    led.go_on(99)
    status = led.session.status()
    assert led.password == "number 1"
    assert not status.is_up
    assert status.until is not None
    assert "What is known goes on until" in status.describe()
    led.go_on(2)
    assert led.password is None
    with pytest.raises(VaultUnavailable, match="Vault is away"):
        led.session.values([PASSWORD])
    led.vault.fault = None
    led.go_on(20)  # it is tried again with delays of up to 15 s
    assert led.password == "number 2"
    assert led.session.status().fault is None


def test_it_is_asked_less_and_less_often_while_it_is_away(led: Led) -> None:
    asked = 0

    def refuse(*_: object) -> None:
        nonlocal asked
        asked += 1
        raise VaultUnavailable("Vault is away.", "Start it.")

    led.vault.renew = refuse  # type: ignore[assignment, method-assign]
    led.go_on(95)
    assert 4 <= asked <= 8


def test_a_lease_that_vault_has_forgotten_is_replaced_at_once(led: Led) -> None:
    def refuse(*_: object) -> VaultLease:
        raise VaultRefused("lease not found", "")

    led.vault.renew = refuse  # type: ignore[assignment, method-assign]
    led.go_on(56)
    assert led.password == "number 2"
