"""The database of Prefect's tables in a PostgreSQL that is not embedded: it is beside ours."""

import asyncio

import psycopg
import psycopg.errors
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import URL, make_url

from anime.db.address import libpq_url
from anime.db.bounded import BoundedConnection
from anime.errors import ConfigurationError, DatabaseUnavailable
from anime.net.vault import has_lease
from anime.settings import Settings, resolve_reference

CONNECT_TIMEOUT_SECONDS = 10
# Options that asyncpg has under another name, and options that may be left out.
RENAMED = {"sslmode": "ssl"}
KEEPALIVES = (
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
DROPPED = frozenset({"application_name", "connect_timeout", *KEEPALIVES})
UNDERSTOOD = frozenset({"host", "port", "ssl"})


async def prefect_database(settings: Settings) -> str:
    """The address of Prefect's database for asyncpg; the database is made if missing.

    Raises:
        ConfigurationError: it cannot be made, or its address has an option that asyncpg lacks or
            a user that Vault takes back.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    if settings.prefect_database_url:
        return for_asyncpg(await _lasting_address(settings.prefect_database_url))
    if settings.database_url is None:
        raise ConfigurationError("No PostgreSQL is known.", "Set ANIME_DATABASE_URL.")
    ours = await _lasting_address(settings.database_url)
    name = f"{ours.database}_prefect"
    await _ensure_database(ours, name)
    return for_asyncpg(ours.set(database=name))


async def _lasting_address(secret: SecretStr) -> URL:
    """The address, resolved once: Prefect's server keeps it for as long as it runs.

    Raises:
        ConfigurationError: its password is leased and would end meanwhile.
    """
    text = secret.get_secret_value()
    url = make_url(await asyncio.to_thread(resolve_reference, text))
    if has_lease(text):
        raise ConfigurationError(
            "Prefect's server cannot change the user of its database while it runs, and Vault "
            "takes that of the reference back.",
            "Set ANIME_PREFECT_DATABASE_URL to an address with a lasting user: docs/vault.md.",
        )
    return url


def for_asyncpg(url: URL) -> str:
    """The same database, addressed as asyncpg wants it.

    Raises:
        ConfigurationError: the address has an option that asyncpg lacks.
    """
    options = {RENAMED.get(name, name): value for name, value in url.query.items()}
    kept = {name: value for name, value in options.items() if name not in DROPPED}
    if strange := sorted(kept.keys() - UNDERSTOOD):
        raise ConfigurationError(
            f"Prefect's server cannot connect with the option {', '.join(strange)}.",
            "Set ANIME_PREFECT_DATABASE_URL to an address of its own, without it.",
        )
    return url.set(drivername="postgresql+asyncpg", query=kept).render_as_string(
        hide_password=False
    )


async def _ensure_database(ours: URL, name: str) -> None:
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    try:
        async with await BoundedConnection.connect(
            libpq_url(ours), autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
        ) as connection:
            found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            if found.rowcount == 0:
                await connection.execute(create)
    except psycopg.errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"Prefect needs the database {name}, and {ours.username} may not create it.",
            f'As a superuser: CREATE DATABASE "{name}" OWNER "{ours.username}";',
        ) from None
    except psycopg.OperationalError as fault:
        raise DatabaseUnavailable(
            f"PostgreSQL at {ours.render_as_string()} does not answer: {fault}".rstrip() + ".",
            "Start it, or correct ANIME_DATABASE_URL.",
        ) from fault
