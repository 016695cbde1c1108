"""What PostgreSQL's errors mean for a person."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors as postgres
from sqlalchemy import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from anime.db.address import name_of
from anime.db.bounded import AnswerLost
from anime.db.credentials import CredentialsUnknown
from anime.errors import AnimeError, ConfigurationError, DatabaseUnavailable, InvalidRequest

_NOT_MIGRATED = (postgres.UndefinedTable, postgres.UndefinedColumn, postgres.InvalidSchemaName)
_BUSY = (
    postgres.LockNotAvailable,
    postgres.QueryCanceled,
    postgres.DeadlockDetected,
    postgres.SerializationFailure,
)
_REASON_CHARS = 300


@contextmanager
def errors_explained(address: URL) -> Iterator[None]:
    """Raise errors of ours for those of SQLAlchemy that are no bug.

    Raises:
        DatabaseUnavailable: nobody answers, no connection is free, no password can be had, or
            tables are missing.
        ConfigurationError: this user may not do that.
        InvalidRequest: PostgreSQL cannot hold a value, such as a NUL byte.
    """
    try:
        yield
    except SQLAlchemyError as fault:
        explained = explanation_of(fault, address)
        if explained is None:
            raise
        raise explained from fault


def reason_of(fault: SQLAlchemyError) -> str:
    """What PostgreSQL said, in one line and without the statement."""
    origin = fault.orig if isinstance(fault, DBAPIError) else fault
    said = str(origin)
    if isinstance(origin, postgres.Error) and origin.diag.message_primary:
        said = f"{origin.diag.message_primary} {origin.diag.message_detail or ''}"
    return " ".join(said.split())[:_REASON_CHARS].rstrip(".")


def explanation_of(fault: SQLAlchemyError, address: URL) -> AnimeError | None:
    """The error of ours that it amounts to; None for a bug."""
    name = name_of(address)
    if isinstance(fault, PoolTimeout):
        return DatabaseUnavailable(
            f"No connection to {name} came free in time.",
            "Try again, or raise the pool size of the Studio Database block.",
        )
    if not isinstance(fault, DBAPIError):
        return None
    if isinstance(fault.orig, _NOT_MIGRATED):
        return DatabaseUnavailable(
            f"The tables in {name} are missing or out of date: {reason_of(fault)}.",
            "Bring them up to date with `anime migrate`.",
        )
    if isinstance(fault.orig, postgres.InsufficientPrivilege):
        return ConfigurationError(
            f"This user may not do that in {name}: {reason_of(fault)}.",
            "Grant the right, or set ANIME_DATABASE_URL to a user who has it.",
        )
    if isinstance(fault.orig, postgres.ReadOnlySqlTransaction):
        return DatabaseUnavailable(
            f"PostgreSQL takes no writes into {name}: {reason_of(fault)}.",
            "Make it the primary server, or set ANIME_DATABASE_URL to the one that is.",
        )
    if isinstance(fault.orig, _BUSY):
        return DatabaseUnavailable(
            f"Others hold what is needed in {name}: {reason_of(fault)}.", "Try again in a moment."
        )
    if isinstance(fault, OperationalError | InterfaceError):
        return _without_answer(fault, name)
    if isinstance(fault, DataError):
        return InvalidRequest(
            f"A value is none that {name} can hold: {reason_of(fault)}.",
            "Remove characters that are no text, such as NUL bytes, and numbers out of range.",
        )
    return None


def _without_answer(fault: DBAPIError, name: str) -> DatabaseUnavailable:
    if isinstance(fault.orig, CredentialsUnknown):
        unknown = fault.orig.fault
        return DatabaseUnavailable(
            f"The password for {name} cannot be had: {unknown.what}", unknown.todo
        )
    if isinstance(fault.orig, AnswerLost):
        return DatabaseUnavailable(
            f"PostgreSQL did not answer for {name}: {reason_of(fault)}.",
            "Try again in a moment; if it stays so, look at the network and proxies on the way.",
        )
    return DatabaseUnavailable(
        f"PostgreSQL does not serve {name}: {reason_of(fault)}.",
        "Start everything with `anime up`, or correct ANIME_DATABASE_URL.",
    )
