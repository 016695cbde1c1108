"""What a release says to PostgreSQL, kept so that later tables can be tried with it.

    python -m tests.support.release_statements

is run when a release is made. It runs the tests below and writes the statements of what they have
committed, one test a line, as far as a line has a kind of statement that none before it has.
Left out is what does not go through SQLAlchemy: the COPY of sweeps, NOTIFY, advisory locks.
"""

import gzip
import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncClientCursor
from sqlalchemy import Connection, Engine, event, make_url

TESTS = Path(__file__).resolve().parents[1]
KEPT = TESTS / "integration" / "samples" / "release_statements.jsonl.gz"
SOURCES = (
    *("db_bulk", "db_files", "db_jobs", "db_leases", "db_servers", "db_slots", "db_statements"),
    *("characters", "composition", "counters", "file_search", "importer", "inventory"),
    *("job_lookup", "job_service", "job_submission", "monitor", "organise", "retention"),
    *("server_watcher", "shots", "takes", "timeline", "webhooks"),
)


@dataclass(frozen=True)
class RecordedTest:
    """The statements that one test has committed, in that order."""

    name: str
    statements: Sequence[str]

    @classmethod
    def all_kept(cls) -> list["RecordedTest"]:
        """Those of the last release."""
        return [cls(**json.loads(line)) for line in gzip.decompress(KEPT.read_bytes()).splitlines()]


async def replay(url: str, statements: Sequence[str]) -> None:
    """Say the statements to that database, each in a transaction of its own."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


@dataclass
class Recorder:
    """A plugin of pytest that records what is committed, test by test."""

    found: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    _test: str = ""
    _open: dict[int, list[tuple[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        event.listen(Engine, "after_cursor_execute", self._note)
        event.listen(Engine, "commit", self._commit)
        event.listen(Engine, "rollback", self._take)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        self._test = item.nodeid
        self.found[item.nodeid], self.kinds[item.nodeid] = [], set()
        try:
            return (yield)
        finally:
            self._test = ""
            self._open.clear()

    def _note(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        driver = connection.connection.driver_connection
        if not self._test or not isinstance(driver, psycopg.AsyncConnection):
            return
        rows = parameters if isinstance(parameters, list) else [parameters]
        for row in rows:
            text = AsyncClientCursor(driver).mogrify(statement, row or None)
            self._open.setdefault(id(connection), []).append((statement, text))
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            self._commit(connection)

    def _commit(self, connection: Connection) -> None:
        for kind, text in self._take(connection):
            self.found[self._test].append(text)
            self.kinds[self._test].add(kind)

    def _take(self, connection: Connection) -> list[tuple[str, str]]:
        return self._open.pop(id(connection), []) if self._test else []


class Keeper:
    """Keeps the tests that can be said again and have something new, when all have run."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @pytest.fixture(scope="session", autouse=True)
    async def keep(self, migrated_databases: Any) -> Any:  # MigratedDatabases
        yield
        known: set[str] = set()
        kept = []
        for name, statements in _shortest_first(self._recorder.found):
            kinds = self._recorder.kinds[name]
            if kinds <= known:
                continue
            async with migrated_databases.lend() as url:
                with suppress(psycopg.Error):  # it needs what the test has made by other means
                    await replay(url, statements)
                    known |= kinds
                    kept.append({"name": name.rpartition("/")[2], "statements": statements})
        lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in kept)
        KEPT.write_bytes(gzip.compress(lines.encode(), mtime=0))


def _shortest_first(found: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    def size(name: str) -> tuple[int, str]:
        return sum(map(len, found[name])), name

    return ((name, found[name]) for name in sorted(found, key=size) if found[name])


if __name__ == "__main__":
    recorder = Recorder()
    files = [str(TESTS / "integration" / f"test_{name}.py") for name in SOURCES]
    sys.exit(pytest.main([*files, "-q"], plugins=[recorder, Keeper(recorder)]))
