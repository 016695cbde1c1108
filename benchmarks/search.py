"""Searches: how long a page of each kind takes, and what it costs to make rows searchable.

Rows of three years in a PostgreSQL of its own, configured as by `anime up`. They are inserted
before the revision that makes them searchable, whose time and locks are measured, too.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from sqlalchemy import make_url

from anime.db.migrate import upgrade
from anime.db.repositories import FileQuery, FileSearch
from anime.db.session import Database
from benchmarks.report import Reach, Row
from benchmarks.studio import scratch_folder
from benchmarks.timing import percentile
from tests.support.embedded import embedded_postgres

BATCH_ROWS = 50_000
SWEPT_ROWS = 10_000
SEARCHES = 40  # of each kind
PAGE_FILES = 50
MAX_MS = 50
SINCE = datetime(2023, 1, 1, tzinfo=UTC)
BEFORE_THE_SEARCH = "0003"

PROJECTS = """
    INSERT INTO anime_api.projects (slug, name)
    SELECT 'p' || n, 'P' || n FROM generate_series(0, 40) AS n
"""
# Words as in a language: the first is by far the most common. Some are as rare as their names say,
# and one is no longer used. Seven files of ten belong to the project of their time.
FILES = """
    INSERT INTO anime_api.anime_files (
        filename, project_id, job_id, file_type, file_path, file_size, sha256, metadata, created_at
    )
    SELECT 'f' || n || '.png',
        (SELECT array_agg(id ORDER BY length(slug), slug) FROM anime_api.projects)[
            1 + CAST(floor(40 * CASE WHEN random() < 0.7 THEN age ELSE random() END) AS integer)
        ],
        gen_random_uuid(),
        CASE WHEN chance < 0.9 THEN 'image' WHEN chance < 0.99 THEN 'video' ELSE 'audio' END,
        %(library)s || '/p' || n %% 40 || '/images/' || 20230000 + n / 1000 || '/f' || n || '.png',
        length('f' || n), encode(sha256(convert_to('f' || n, 'UTF8')), 'hex'),
        jsonb_build_object(
            'prompt', concat_ws(
                ', ', words,
                CASE WHEN random() < 0.9 THEN 'masterpiece' END,
                CASE WHEN random() < 0.02 THEN 'uncommon' END,
                CASE WHEN random() < 0.0005 THEN 'rare' END,
                CASE WHEN age < 0.2 THEN 'outmoded' END,
                places[1 + CAST(floor(random() * 8) AS integer)]
                    || places[1 + CAST(floor(random() * 8) AS integer)]
            ),
            'seed', CASE WHEN random() < 0.5 THEN '42' ELSE floor(random() * 1e15) || '' END,
            'model', 'model' || least(11, floor(-2 * ln(1 - random()))) || '.safetensors',
            'character', CASE WHEN random() < 0.6 THEN 'Hero' || floor(random() * 60) END,
            'graph', repeat('node ', 180)
        ),
        timestamptz '2023-01-01Z' + age * interval '1095 days' + random() * interval '1 day'
    FROM generate_series(%(first)s::integer, %(last)s::integer) AS n
    CROSS JOIN LATERAL (
        SELECT n / %(rows)s::float8 AS age, random() + 0 * n AS chance,
            ARRAY['夜の街', '雪の森', '青い空', '東京', '屋上', '少女', '桜', '雨'] AS places
    ) AS given
    CROSS JOIN LATERAL (
        SELECT string_agg('w' || floor(3 * exp(random() * ln(20003 / 3.0)) - 3), ', ') AS words
        FROM generate_series(1, 25) WHERE n > 0
    ) AS prompt
"""
# Older than all others, so that it changes no result of a search.
INSERT_FILE = "INSERT INTO anime_api.anime_files (filename, created_at) VALUES ('a', '2022-12-01Z')"
SIZE = "SELECT pg_relation_size(CAST(%s AS regclass)) / 1e6"
WITHOUT_TRIGGERS = "ALTER TABLE anime_api.anime_files {} TRIGGER USER"
QueryFields = Mapping[str, Any]  # of a FileQuery, each of its own type


def _days(random: Random, number: int) -> QueryFields:
    """A range of that many days."""
    since = SINCE + timedelta(days=random.randrange(1095 - number))
    return {"since": since, "until": since + timedelta(days=number)}


def _project(random: Random) -> str:
    return f"p{random.randrange(40)}"


def _hero(random: Random) -> str:
    return f"hero{random.randrange(60)}"


KINDS: dict[str, Callable[[Random], QueryFields]] = {
    "newest": lambda _: {},
    "project": lambda r: {"project": _project(r)},
    "character": lambda r: {"character": _hero(r)},
    "kind": lambda _: {"kind": "audio"},
    "model": lambda r: {"model": f"model{r.randrange(12)}.safetensors"},
    "seed of one": lambda r: {"seed": r.getrandbits(50)},
    "seed of half": lambda _: {"seed": 42},
    "state that none has": lambda _: {"state": "missing"},
    "three days": lambda r: _days(r, 3),
    "word that 90 % have": lambda _: {"text": "masterpiece"},
    "word that 2 % have": lambda _: {"text": "uncommon"},
    "word that 0.05 % have": lambda _: {"text": "rare"},
    "word that none has": lambda _: {"text": "nothing"},
    "word that only the oldest fifth has": lambda _: {"text": "outmoded"},
    "any word": lambda r: {"text": f"w{r.randrange(20000)}"},
    "two words": lambda r: {"text": f"w{r.randrange(200)} w{r.randrange(20)}"},
    "beginning of a word": lambda r: {"text": f"w1{r.randrange(99)}*"},
    "Japanese": lambda _: {"text": "夜の街"},
    "Japanese that none has": lambda _: {"text": "街夜"},
    "old project, common word": lambda r: {"project": f"p{r.randrange(3)}", "text": "masterpiece"},
    "new project, outmoded word": lambda _: {"project": "p39", "text": "outmoded"},
    "project, rare word": lambda r: {"project": _project(r), "text": "rare"},
    "project, character": lambda r: {"project": _project(r), "character": _hero(r)},
    "project, rare model": lambda r: {"project": _project(r), "model": "model11.safetensors"},
    "character, rare model": lambda r: {"character": _hero(r), "model": "model11.safetensors"},
    "character, kind, word": lambda r: {"character": _hero(r), "kind": "video", "text": "w5"},
    "character, kind, seed": lambda r: {"character": _hero(r), "kind": "audio", "seed": 42},
    "month, common word": lambda r: {**_days(r, 30), "text": "masterpiece"},
    "200 days, rare word": lambda r: {**_days(r, 200), "text": "rare"},
}


async def measure(rows: int) -> list[Row]:
    """Migration, searches and inserts with that many rows; some ten minutes for a million."""
    with scratch_folder() as folder:
        async with embedded_postgres(folder) as urls:
            await upgrade(urls.database, to=BEFORE_THE_SEARCH)
            await insert_rows(urls.database, rows)
            found = await _measure_migration(urls.database)
            found += await measure_searches(urls.database)
            return found + await _measure_inserts(urls.database, rows)


def file_of(library: Path, number: int) -> tuple[Path, bytes]:
    """The file that a row of `insert_rows` is of, and its content."""
    day = f"{20230000 + number // 1000}"
    return library / f"p{number % 40}/images/{day}/f{number}.png", f"f{number}".encode()


async def insert_rows(url: str, rows: int, library: str = "/library") -> None:
    """Insert that many rows of files of a library, and vacuum them."""
    async with await _connect(url) as connection:
        await connection.execute(PROJECTS)
        await connection.execute("SELECT setseed(0.5)")
        for first in range(1, rows + 1, BATCH_ROWS):
            last = min(rows, first + BATCH_ROWS - 1)
            await connection.execute(
                FILES, {"first": first, "last": last, "rows": rows + 1, "library": library}
            )
        await connection.execute("VACUUM ANALYZE")


async def insert_more_rows(url: str, rows: int, more: int) -> None:
    """Insert that many more, the newest, and do not vacuum them."""
    ids = {"first": rows + 1, "last": rows + more, "rows": rows + more + 1}
    async with await _connect(url) as connection:
        await connection.execute(FILES, {**ids, "library": "/library"})


async def _measure_migration(url: str) -> list[Row]:
    """The migration, while another program inserts a file every twentieth of a second."""
    waits: list[float] = []
    began = time.perf_counter()
    migration = asyncio.create_task(upgrade(url))
    async with await _connect(url) as connection:
        while not migration.done():
            fields = time.perf_counter()
            await connection.execute(INSERT_FILE)
            waits.append(time.perf_counter() - fields)
            await asyncio.sleep(0.05)
        await migration
        seconds = time.perf_counter() - began
        await connection.execute("VACUUM ANALYZE")  # as autovacuum does within minutes
        sizes = {
            name: (await (await connection.execute(SIZE, [f"anime_api.{name}"])).fetchone() or [0])
            for name in ("anime_files", "searchable_files", "searchable_files_terms_idx")
        }
    return [
        Row("migration of these rows, s", seconds),
        Row("a writer's longest wait meanwhile, ms", max(waits) * 1000, None, Reach(2000)),
        *(Row(f"{name}, MB", float(size)) for name, [size] in sizes.items()),
    ]


async def measure_searches(url: str, when: str = "") -> list[Row]:
    """The 95th percentile of each kind of search."""
    random = Random(1)  # noqa: S311  the same searches in each run, and no secret
    async with Database(url, pool_size=1) as database:
        await _seconds(database, {})  # connects and prepares the statement
        return [
            Row(
                f"{kind}{when}, p95, ms",
                percentile(
                    [await _seconds(database, fields_of(random)) for _ in range(SEARCHES)], 95
                )
                * 1000,
                None,
                Reach(MAX_MS),
            )
            for kind, fields_of in KINDS.items()
        ]


async def _seconds(database: Database, fields: QueryFields) -> float:
    """How long one search takes."""
    began = time.perf_counter()
    async with database.session_scope() as session:
        await FileSearch(session).page(FileQuery(**fields), limit=PAGE_FILES)
    return time.perf_counter() - began


async def _measure_inserts(url: str, rows: int) -> list[Row]:
    """The insert of a large sweep's files, with the triggers and without."""
    ids = {"first": rows + 1, "last": rows + SWEPT_ROWS, "rows": rows + SWEPT_ROWS + 1}
    seconds = {}
    async with await _connect(url) as connection:
        for action in ("ENABLE", "DISABLE"):
            await connection.execute(WITHOUT_TRIGGERS.format(action).encode())
            began = time.perf_counter()
            await connection.execute(FILES, {**ids, "library": "/library"})
            seconds[action] = time.perf_counter() - began
    note = "the other column: without the triggers"
    what = f"{SWEPT_ROWS:,} more files inserted, s"
    return [Row(what, seconds["ENABLE"], seconds["DISABLE"], note=note)]


async def _connect(url: str) -> psycopg.AsyncConnection:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return await psycopg.AsyncConnection.connect(address, autocommit=True)
