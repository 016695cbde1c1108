"""When a Vault lease is renewed, and when what it covers is replaced; times are in seconds."""

from dataclasses import dataclass

RENEW_AT = 0.5  # of the lease
JITTER = 0.1  # of the lease: many processes do not ask in the same moment
LAST_GRANT = 0.75  # a renewal that grants less of the first lease has reached the longest life


@dataclass(frozen=True, slots=True)
class VaultLease:
    """How long Vault lets something be used, as its last answer said.

    `granted_at` is when it was asked, by any clock that only goes forward; `first_seconds` is what
    the first answer granted.
    """

    seconds: float
    granted_at: float
    is_renewable: bool
    first_seconds: float

    @property
    def ends_at(self) -> float:
        """When Vault takes it back."""
        return self.granted_at + self.seconds

    @property
    def can_be_renewed(self) -> bool:
        """Whether a renewal gives more time: else it is to be replaced when it is due."""
        return self.is_renewable and self.seconds >= LAST_GRANT * self.first_seconds

    def due_at(self, chance: float) -> float:
        """When to renew or replace it: at 50 to 60 % of the lease, by a chance from 0 to 1.

        >>> VaultLease(10, 100, True, 10).due_at(0), VaultLease(10, 100, True, 10).due_at(1)
        (105.0, 106.0)
        """
        return self.granted_at + self.seconds * (RENEW_AT + JITTER * chance)

    def renewed(self, seconds: float, at: float, *, is_renewable: bool) -> "VaultLease":
        """The lease after a renewal, by what the answer says.

        >>> VaultLease(10, 100, True, 10).renewed(4, 105, is_renewable=True).can_be_renewed
        False
        """
        return VaultLease(seconds, at, is_renewable, self.first_seconds)


def lease_of(seconds: float, at: float, *, is_renewable: bool) -> VaultLease:
    """The lease that a first answer grants."""
    return VaultLease(seconds, at, is_renewable, seconds)
