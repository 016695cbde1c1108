"""A PostgreSQL with all tables, ours and Prefect's, of which others are copies.

To make the tables takes each stack two seconds of CPU, and a copy a tenth of one.
"""

import asyncio
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from anime.stack import postgres_cluster
from anime.stack.postgres import EmbeddedPostgres, serving_postgres
from anime.stack.postgres_cluster import Cluster
from tests.support.fork_server import ADDRESS
from tests.support.forks import Program, run_forked, start_fork_server
from tests.support.waiting import HUNG_SECONDS

_initialise = postgres_cluster._initialise


@contextmanager
def prepared_clusters() -> Iterator[None]:
    """Whatever cluster this process makes meanwhile is a copy, if a fork server runs anyway."""
    made = _initialise_by_copy if ADDRESS in os.environ else _initialise
    with patch.object(postgres_cluster, "_initialise", made):
        yield


def _initialise_by_copy(cluster: Cluster) -> None:
    _copy(_prepared(), cluster.data)


def _prepared() -> Path:
    """The data folder to be copied, made by the first who asks; it ends with the fork server."""
    data = Path(start_fork_server()).with_name("cluster")
    with data.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not data.exists():
            with (
                tempfile.TemporaryDirectory(dir=data.parent) as home,
                patch.object(postgres_cluster, "_initialise", _initialise),
            ):
                asyncio.run(_prepare(Path(home), data))
    return data


async def _prepare(home: Path, data: Path) -> None:
    postgres = None
    try:
        async with serving_postgres(home) as postgres:
            await asyncio.to_thread(_make_tables, postgres, home)
        _copy(postgres.data, data)
    finally:
        if postgres is not None:
            postgres.discard()


def _make_tables(postgres: EmbeddedPostgres, home: Path) -> None:
    ours = {"ANIME_HOME": str(home), "ANIME_DATABASE_URL": postgres.urls.database}
    prefects = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.urls.prefect,
    }
    log = home / "logs" / "tables.log"
    for module, arguments, variables in (
        ("anime.cli.app", ["migrate"], ours),
        ("prefect", ["server", "database", "upgrade", "--yes"], prefects),
    ):
        program = Program(module, arguments, os.environ | variables, log, log)
        done = run_forked(program, HUNG_SECONDS)
        assert done.returncode == 0, done.stdout


def _copy(data: Path, to: Path) -> None:
    """A copy, whole or not at all."""
    unfinished = to.with_suffix(".new")
    subprocess.run(["cp", "-a", data, unfinished], check=True)
    unfinished.rename(to)
