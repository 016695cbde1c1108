"""Where a secret may have got to: the databases, Redis, Prefect's answers, what processes show."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil
from redis.asyncio import Redis

from tests.vault.postgres import rows_of
from tests.vault.production import Production

_TABLES = """
    SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""
POLL_SECONDS = 0.02


async def leaks_in_postgresql(
    production: Production, url: str, *with_rows: str
) -> dict[str, set[str]]:
    """The tables in which there is a secret, and which one; some tables must have rows."""
    found, counts = {}, {}
    for (table,) in await rows_of(url, _TABLES):
        # A value of the type bytea is written in hexadecimal digits.
        rows = [text for (text,) in await rows_of(url, f"SELECT t::text FROM {table} t")]
        counts[table.rpartition(".")[2]] = len(rows)
        if names := production.found_in("\n".join(rows).encode()):
            found[table] = names
    assert {name for name in with_rows if not counts[name]} == set(), "nothing was searched there"
    return found


async def leaks_in_redis(production: Production) -> dict[str, set[str]]:
    """The keys at which there is a secret, and which one."""
    async with production.redis() as redis:
        values = {repr(key): await _value_at(redis, key) for key in await redis.keys("*")}
    assert values
    return production.leaks_in({key: f"{key} {value!r}".encode() for key, value in values.items()})


async def _value_at(redis: Redis, key: bytes | str) -> object:
    """All that Redis has at the key, of whatever type."""
    match await redis.type(key):
        case b"string":
            return await redis.get(key)
        case b"hash":
            return await redis.hgetall(key)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"stream":
            return await redis.xrange(key)
        case b"set":
            return await redis.smembers(key)
        case b"zset":
            return await redis.zrange(key, 0, -1)
        case other:
            raise AssertionError(f"{key!r} is of the type {other!r}")


async def shown_by_prefect(production: Production) -> dict[str, bytes]:
    """What Prefect's pages ask for, by address: blocks, runs with their parameters, logs …"""
    asked = (
        *("block_documents", "flow_runs", "task_runs", "artifacts", "logs", "events"),
        *("deployments", "work_pools"),
    )
    async with production.stack.prefect() as prefect:
        answers = {
            each: (await prefect.post(f"/{each}/filter", json={})).raise_for_status()
            for each in asked
        }
    assert {each for each, answer in answers.items() if not answer.json()} == set()
    return {f"Prefect's {each}": answer.content for each, answer in answers.items()}


@dataclass
class Processes:
    """What was seen of programs that have begun since: their commands and their environment."""

    before: set[int]
    commands: dict[int, tuple[str, ...]] = field(default_factory=dict)
    environments: dict[int, str] = field(default_factory=dict)

    def look(self) -> None:
        """See whoever runs now."""
        for pid in set(psutil.pids()) - self.before:
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                self.commands[pid] = command = tuple(process.cmdline())
                self.environments[pid] = repr((command, process.environ()))

    def named(self, word: str) -> list[int]:
        """Those of whose command a word ends like that."""
        return [
            pid
            for pid, command in self.commands.items()
            if any(each.endswith(word) for each in command)
        ]


@contextmanager
def watched_processes(before: set[int]) -> Iterator[Processes]:
    """All processes but those, looked at again and again while the block lasts."""
    seen, is_over = Processes(before), threading.Event()

    def watch() -> None:
        while not is_over.wait(POLL_SECONDS):
            seen.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()
