"""A PostgreSQL for one module of tests, which may stop and start it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anime.db.migrate import upgrade
from anime.stack.home import prepare_home
from anime.stack.parts import ignore_status
from anime.stack.postgres import EmbeddedPostgres, prepare_postgres
from anime.stack.supervisor import SupervisedPart


class OwnPostgres:
    """The server: nobody starts it anew but the test."""

    def __init__(self, postgres: EmbeddedPostgres, logs: Path) -> None:
        self.url = postgres.urls.database
        self._server = SupervisedPart(postgres.part(logs), ignore_status, ())
        self.is_up = False

    async def start(self) -> None:
        """Start it and wait until it takes connections; nothing if it is up."""
        if not self.is_up:
            await self._server.start()
            self.is_up = True

    async def stop(self) -> None:
        """End it as an operator does: sessions are cut, transactions rolled back."""
        self.is_up = False
        await self._server.stop()


@asynccontextmanager
async def own_postgres(home: Path) -> AsyncIterator[OwnPostgres]:
    """A running server with a migrated database; its data are deleted after the block."""
    prepare_home(home)
    postgres = prepare_postgres(home)
    server = OwnPostgres(postgres, home / "logs")
    try:
        await server.start()
        await postgres.create_databases()
        await upgrade(server.url)
        yield server
    finally:
        await server.stop()
        postgres.remove_sockets()
        postgres.discard()
