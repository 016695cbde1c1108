"""How Alembic reaches the database, and which of its tables are ours.

The connection is that of `anime.db.migrate`; from the command line (alembic.ini) it is opened
here, to `-x url=…` or to the database of the settings. `-x timezone=Asia/Tokyo` names the zone
of times that older services wrote down without one.
"""

import time
from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.schema import SchemaItem

from anime.db.address import parse_address
from anime.db.bounded import connect_arguments
from anime.db.models import SCHEMA
from anime.db.shot_models import Base  # and with it every table
from anime.errors import ConfigurationError, DatabaseUnavailable
from anime.settings import get_settings

VERSION_TABLE = "alembic_version"
ADVISORY_LOCK = 0x616E696D65  # "anime": one migration at a time in a database
TURN_TIMEOUT_SECONDS = 600  # another starter migrates, perhaps a table of millions
TURN_POLL_SECONDS = 0.2
TABLE_LOCK_TIMEOUT = "10s"  # rather fail than make every query wait behind us


def is_ours(name: str | None, kind: str, parents: Any) -> bool:  # a TypedDict that varies
    """Whether Alembic looks at that schema or table at all."""
    if kind == "schema":
        return name == SCHEMA
    if kind == "table":
        return parents["schema_qualified_table_name"] in Base.metadata.tables
    return True


def is_compared(
    item: SchemaItem,
    name: str | None,
    kind: str,
    reflected: bool,  # noqa: FBT001  Alembic's signature
    counterpart: SchemaItem | None,
) -> bool:
    """Whether a difference in that item counts.

    What only the database has does not: an adopted table keeps its other columns and indexes.
    """
    del item, name
    return not (reflected and counterpart is None and kind in {"column", "index"})


def migrate(connection: Connection) -> None:
    """Run what Alembic was called for, in one transaction: wholly or not at all.

    A revision that goes through millions of rows commits what came before it, then batches.
    """
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=is_ours,
        include_object=is_compared,
        compare_server_default=True,
    )
    changes_something = not context.get_context().opts.get("dont_mutate")
    if changes_something:
        _wait_for_turn(connection)
    with context.begin_transaction():
        if changes_something:
            _prepare(connection)
        context.run_migrations()


def _wait_for_turn(connection: Connection) -> None:
    """Be the only migration, for as long as the connection lasts.

    Asked for again and again, with no transaction open meanwhile: the other may make an index
    CONCURRENTLY, which waits for every statement that runs, a waiting one as well.

    Raises:
        DatabaseUnavailable: another migration takes too long.
    """
    ask, key = text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}
    deadline = time.monotonic() + TURN_TIMEOUT_SECONDS
    while True:
        with connection.begin():
            if connection.scalar(ask, key):
                return
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"Another migration has been at work for {TURN_TIMEOUT_SECONDS} seconds.",
                "Wait for it to end, then run `anime migrate` again.",
            )
        time.sleep(TURN_POLL_SECONDS)


def _prepare(connection: Connection) -> None:
    """Set the studio's time zone and time-outs, and make a schema to work in.

    For as long as the connection lasts: a migration may commit between its steps.
    """
    settings = {"lock_timeout": TABLE_LOCK_TIMEOUT, "statement_timeout": "0"}
    if zone := _argument("timezone"):
        settings["TimeZone"] = zone
    _set(connection, settings)
    # Not IF NOT EXISTS: that asks for the right to create schemas even where this one exists.
    if connection.scalar(text("SELECT to_regnamespace(:name) IS NULL"), {"name": SCHEMA}):
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))


def _set(connection: Connection, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        connection.execute(
            text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value}
        )


def _argument(name: str) -> str | None:
    """What the caller, or `-x` on the command line, says."""
    given = context.config.attributes.get(name)
    return given or context.get_x_argument(as_dictionary=True).get(name)


def _database_url() -> str:
    if given := _argument("url"):
        return given
    configured = get_settings().database_url
    if configured is None:
        raise ConfigurationError(
            "No database is known.", "Give `-x url=…`, or set ANIME_DATABASE_URL."
        )
    return configured.get_secret_value()


def _run() -> None:
    if context.is_offline_mode():
        raise ConfigurationError(
            "A migration cannot be printed as SQL: what it does depends on the tables it finds.",
            "Run it against the database, without --sql.",
        )
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    address = parse_address(_database_url())
    engine = create_engine(address, connect_args=connect_arguments(address))
    with engine.connect() as opened:
        migrate(opened)


_run()
