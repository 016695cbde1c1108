"""The tables of counters. Triggers on jobs and files keep them, and nobody else writes.

A counter's value is its row in `counters`, if it has one, and the sum of its changes: a writer
appends a change and waits for nobody. Every thousandth change folds all that there are.
"""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from anime.db.character_models import Base

__all__ = ["Base", "Counter", "CounterChange"]


class Counter(Base):
    """How many there were when the changes were last folded.

    `name` is `jobs/STATE/KIND` (the kind of failure, or nothing), `files/organised`, or
    `files/made/DAY`, in days since 1970 (UTC).
    """

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class CounterChange(Base):
    """How many more, or fewer, there are since."""

    __tablename__ = "counter_changes"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    change: Mapped[int] = mapped_column(BigInteger)
