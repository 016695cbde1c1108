"""How much is swept and searched."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SweepEffort:
    """The sizes of the goals; they take some six minutes on two cores."""

    new_files: int = 10_000
    kept_files: int = 100_000
    rows: int = 1_000_000
    rounds: int = 3
    late_rows: int = 20_000  # inserted since the table was last vacuumed
