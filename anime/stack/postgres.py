"""The embedded PostgreSQL, reachable only through a socket in a private folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from urllib.parse import quote

import psycopg
from psycopg import sql

from anime.stack.home import prepare_home
from anime.stack.parts import Part
from anime.stack.postgres_cluster import ROLE, Cluster, prepare_cluster
from anime.stack.supervisor import Supervisor

DATABASE = "anime_production"
PREFECT_DATABASE = "anime_production_prefect"
CONNECT_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class PostgresUrls:
    """Addresses for SQLAlchemy: the database of our tables, and that of Prefect's tables."""

    database: str
    prefect: str


class EmbeddedPostgres:
    """The server of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.urls = PostgresUrls(
            database=self._url("postgresql+psycopg", DATABASE),
            prefect=self._url("postgresql+asyncpg", PREFECT_DATABASE),
        )

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder."""
        return self._cluster.data

    def part(self, logs: Path) -> Part:
        """The server as a part for the supervisor."""
        cluster = self._cluster
        server = cluster.programs / "postgres"
        return Part(
            name="postgresql",
            command=(
                *(str(server), "-D", str(cluster.data)),
                f"--config-file={cluster.configuration}",
            ),
            log=logs / "postgresql.log",
            environment={"LC_ALL": "C"},
            folder=Path("/"),
            is_ready=lambda _: self.is_ready(),
            url=self.urls.database,
            account=cluster.account,
            stop_signal=SIGINT,  # "fast": ends the sessions, then writes all to disk
            stop_timeout_seconds=30,
        )

    async def is_ready(self) -> bool:
        """Whether the server accepts connections."""
        try:
            async with await self._connect():
                return True
        except psycopg.OperationalError:
            return False

    async def create_databases(self) -> None:
        """Create those of the two databases that are missing."""
        async with await self._connect() as connection:
            rows = await connection.execute("SELECT datname FROM pg_database")
            present = {name for (name,) in await rows.fetchall()}
            for name in (DATABASE, PREFECT_DATABASE):
                if name not in present:
                    await connection.execute(
                        sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                    )

    def remove_sockets(self) -> None:
        """Remove the socket's folder if it lies outside of the cluster's."""
        if self._cluster.sockets.parent != self._cluster.base:
            shutil.rmtree(self._cluster.sockets, ignore_errors=True)

    def discard(self) -> None:
        """Delete the cluster with all its data. Only for clusters that tests have made."""
        shutil.rmtree(self._cluster.base)

    def _url(self, driver: str, database: str) -> str:
        folder = quote(str(self._cluster.sockets), safe="")
        return f"{driver}://{ROLE}@/{database}?host={folder}"

    async def _connect(self) -> psycopg.AsyncConnection[tuple[str, ...]]:
        return await psycopg.AsyncConnection.connect(
            host=str(self._cluster.sockets),
            user=ROLE,
            dbname="postgres",
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        )


def prepare_postgres(home: Path) -> EmbeddedPostgres:
    """The server of that data folder, ready to be started."""
    return EmbeddedPostgres(prepare_cluster(home))


@asynccontextmanager
async def serving_postgres(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """The PostgreSQL of that data folder, alone, for as long as the block lasts.

    Raises:
        StackError: it runs already, or does not start.
    """
    prepare_home(home)
    postgres = await asyncio.to_thread(prepare_postgres, home)
    supervisor = Supervisor()
    try:
        await supervisor.start(postgres.part(home / "logs"))
        await postgres.create_databases()
        yield postgres
    finally:
        await supervisor.stop()
        postgres.remove_sockets()
