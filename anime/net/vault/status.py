"""How Vault is, as doctor, `/ready` and `/metrics` tell it: never a value."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SecretStatus:
    """One secret that this process has; `seconds_left` is None if Vault never takes it back."""

    path: str
    generation: int
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """How Vault is for this process. `until` is when the first lease ends, unless renewed.

    `is_up` is whether it answers; what it refuses or lacks is a `fault` all the same.
    `warning` says what to do about a token that is not as it should be; mostly it is empty.
    """

    url: str
    is_up: bool
    fault: str | None
    todo: str
    since: datetime | None
    until: datetime | None
    token: str
    warning: str
    secrets: tuple[SecretStatus, ...]

    def describe(self) -> str:
        """A sentence or two for a person."""
        if self.fault is None:
            return f"{self.url} answers; {self.token}; {len(self.secrets)} secrets known"
        if self.is_up or not self.secrets:
            return self.fault
        since = f" since {self.since:%H:%M:%S} UTC" if self.since else ""
        return f"{self.fault} So it is{since}. {self.outlook}"

    @property
    def outlook(self) -> str:
        """How long this process can go on while Vault is away."""
        if not self.secrets:
            return "No secret is known."
        end = (
            f"until {self.until:%Y-%m-%d %H:%M:%S} UTC"
            if self.until
            else "for as long as this process runs"
        )
        return f"What is known goes on {end}; nothing new is promised."
