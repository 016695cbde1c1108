"""A test's database made again what it was, which is far quicker than a new one."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeAlias

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import make_url

from tests.support.kept_sessions import pids_of_spare

_MOST_GROWTH_BYTES = 8 * 2**20  # deleted rows stay in the files, and a later scan reads them
# Every change of the schema writes one of these rows anew; ANALYZE and VACUUM do not.
_SCHEMA = r"""
WITH ours AS (
  SELECT oid, xmin FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), relations AS (
  SELECT oid, xmin FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
)
SELECT string_agg(line, ' ' ORDER BY line) FROM (
  SELECT format('n%s:%s', oid, xmin) AS line FROM ours
  UNION ALL SELECT format('r%s:%s', oid, xmin) FROM relations
  UNION ALL SELECT format('a%s.%s:%s', attrelid, attnum, xmin) FROM pg_attribute
    WHERE attrelid IN (SELECT oid FROM relations)
  UNION ALL SELECT format('t%s:%s', oid, xmin) FROM pg_trigger
  UNION ALL SELECT format('c%s:%s', oid, xmin) FROM pg_constraint
  UNION ALL SELECT format('p%s:%s', oid, xmin) FROM pg_proc
    WHERE pronamespace IN (SELECT oid FROM ours)
  UNION ALL SELECT format('s%s', setconfig) FROM pg_db_role_setting AS setting
    JOIN pg_database AS database ON database.oid = setting.setdatabase
    WHERE datname = current_database()
) AS lines
"""
_TABLES = """
SELECT schemaname, tablename FROM pg_tables
WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'
"""
_END_OTHER_SESSIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> ALL (%s::int[] || pg_backend_pid())
"""
# Where a test has written thousands of rows, empty pages stay. Sweeps look at some pages by chance.
_LARGE_TABLES = """
SELECT schemaname, tablename FROM pg_tables
WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'
  AND pg_relation_size(format('%I.%I', schemaname, tablename)::regclass) > 16 * 8192
"""
_RESTART_SEQUENCES = sql.SQL("""
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
FROM pg_sequences
""")


_ROWS = sql.SQL("SELECT coalesce(jsonb_agg(row), '[]') FROM {} AS row")
_INSERT = sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(null::{0}, {rows})")
_SIZE = "SELECT pg_database_size(current_database())"


Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


async def _connect(url: str) -> Connection:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return await psycopg.AsyncConnection.connect(plain, autocommit=True, connect_timeout=60)


async def _value(connection: Connection, query: str | sql.Composed) -> Any:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]


@dataclass
class PristineDatabase:
    """What a database was when nothing had used it yet."""

    url: str
    schema: str
    rows: tuple[tuple[sql.Identifier, list[Any]], ...]  # of each table
    size_bytes: int
    _connection: Connection | None = None

    @classmethod
    async def of(cls, url: str) -> Self:
        """Read a database that nothing has used yet."""
        async with await _connect(url) as connection:
            names = await (await connection.execute(_TABLES)).fetchall()
            tables = [sql.Identifier(*name) for name in names]
            rows = tuple([(each, await _value(connection, _ROWS.format(each))) for each in tables])
            schema, size = await _value(connection, _SCHEMA), await _value(connection, _SIZE)
            return cls(url, schema, rows, size)

    async def restore(self) -> bool:
        """End all sessions of the database and give it these rows; False if only a new one will do.

        That is so after a change of the schema, or when it has grown much. The connection is kept:
        what PostgreSQL reads and plans in a new one takes five times the CPU of all the rest.
        """
        if self._connection is not None:
            with suppress(psycopg.OperationalError):  # a test may have ended it, or the server
                return await self._restore(self._connection)
        self._connection = await _connect(self.url)
        return await self._restore(self._connection)

    @cached_property
    def statements(self) -> sql.Composed:
        """What gives the database these rows, in one transaction and one round trip."""
        # No trigger counts along, and no foreign key asks for an order.
        each: list[sql.Composable] = [sql.SQL("SET LOCAL session_replication_role = replica")]
        for table, rows in self.rows:
            each.append(sql.SQL("DELETE FROM {}").format(table))
            if rows:
                each.append(_INSERT.format(table, rows=Jsonb(rows)))
        return sql.SQL("; ").join([sql.SQL("BEGIN"), *each, _RESTART_SEQUENCES, sql.SQL("COMMIT")])

    async def aclose(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            await self._connection.close()

    async def _restore(self, connection: Connection) -> bool:
        await connection.execute(_END_OTHER_SESSIONS, [pids_of_spare(make_url(self.url))])
        if await _value(connection, _SIZE) > self.size_bytes + _MOST_GROWTH_BYTES:
            return False
        if await _value(connection, _SCHEMA) != self.schema:
            return False
        await connection.execute(self.statements)
        for name in await (await connection.execute(_LARGE_TABLES)).fetchall():
            await connection.execute(sql.SQL("VACUUM {}").format(sql.Identifier(*name)))
        return True
