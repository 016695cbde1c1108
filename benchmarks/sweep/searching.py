"""A million rows, and how long a page of each kind of search takes."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from anime.db.repositories import FileQuery, FileSearch
from anime.db.session import Database
from benchmarks.report import Reach, Row
from benchmarks.sweep.bare import BareDatabase
from benchmarks.sweep.effort import SweepEffort
from benchmarks.timing import percentile

MOST_MS = 50
PAGE = 50
_AT_ONCE = 50_000  # rows in a statement
_WORDS = 4000
_SEED = "({row} * 2654435761) % 4294967296"
_BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
_SECONDS_APART = 60
_PROJECTS = """
    INSERT INTO anime_api.projects (slug, name) SELECT 'p-' || n, 'P ' || n
    FROM generate_series(1, 50) AS n
"""
# Common words are in every other prompt, rare ones in one of some thousand: as the power 3 has it.
_ROWS = """
    INSERT INTO anime_api.anime_files
        (filename, project_id, job_id, file_type, file_path, file_size, metadata, created_at,
         organized_at, sha256, source_path, width, height, frames, media_type)
    SELECT n || '.png', project.id, md5((n / 4)::text)::uuid,
        CASE n % 20 WHEN 0 THEN 'video' WHEN 1 THEN 'audio' ELSE 'image' END,
        '/library/made/' || n || '.png', 100000,
        jsonb_build_object('prompt', prompt.text, 'seed', ({seed})::text, 'steps', 28,
            'model', 'model-' || n % 21, 'character', 'character ' || n % 211),
        '2024-01-01 00:00+00'::timestamptz + n * interval '{apart} seconds', clock_timestamp(),
        md5(n::text) || md5((-n)::text), 'made/' || n || '.png', 1024, 1024, 1, 'image/png'
    FROM generate_series({first}, {last}) AS n
    JOIN (SELECT id, row_number() OVER (ORDER BY slug) - 1 AS number FROM anime_api.projects
        WHERE slug LIKE 'p-%') AS project ON project.number = n % 50
    CROSS JOIN LATERAL (
        SELECT string_agg('word' || (power(random(), 3) * {words})::integer, ' ') AS text
        FROM generate_series(1, 20 + 0 * n)
    ) AS prompt
"""

Asked = dict[str, Any]  # fields of a FileQuery


def fill(bare: BareDatabase, first: int, last: int) -> None:
    """Write the rows of those numbers."""
    if first == 1:
        bare.run(_PROJECTS)
    for at in range(first, last + 1, _AT_ONCE):
        bare.run(
            _ROWS.format(
                seed=_SEED.format(row="n"),
                apart=_SECONDS_APART,
                first=at,
                last=min(at + _AT_ONCE - 1, last),
                words=_WORDS,
            )
        )


async def measure_searches(url: str, effort: SweepEffort, when: str) -> list[Row]:
    """The 95th percentile of the time for the first page, for each kind of search."""
    random = Random(7)  # noqa: S311  to be the same again is what it is for
    rows = []
    async with Database(url) as database:
        for kind, ask in _kinds(random, effort.rows).items():
            await _milliseconds(database, ask())  # connecting is not searching
            taken = [await _milliseconds(database, ask()) for _ in range(effort.searches)]
            what = f"search {kind}{when}, p95 ms"
            rows.append(Row(what, percentile(taken, 95), reach=Reach(MOST_MS)))
        taken = [await _later_page(database, random) for _ in range(effort.searches)]
        rows.append(Row(f"second page{when}, p95 ms", percentile(taken, 95), reach=Reach(MOST_MS)))
    return rows


def _kinds(random: Random, rows: int) -> dict[str, Callable[[], Asked]]:
    """What is asked for, by kind; each call asks for something else."""

    def row() -> int:
        return random.randrange(1, rows)

    def moment() -> datetime:
        return _BEGAN + timedelta(seconds=row() * _SECONDS_APART)

    def project() -> str:
        return f"p-{random.randrange(1, 51)}"

    def rare() -> str:
        return f"word{random.randrange(_WORDS * 3 // 4, _WORDS)}"

    def common() -> str:
        return f"word{random.randrange(1, 10)}"

    return {
        "for nothing: the newest": dict,
        "by project": lambda: {"project": project()},
        "by character": lambda: {"character": f"Character {random.randrange(211)}"},
        "by job": lambda: {"job_id": _job_of(row())},
        "by kind": lambda: {"kind": random.choice(["image", "video", "audio"])},
        "by dates": lambda: {"since": (start := moment()), "until": start + timedelta(days=3)},
        "by seed": lambda: {"seed": row() * 2654435761 % 4294967296},
        "by model": lambda: {"model": f"model-{random.randrange(21)}"},
        "by a common word": lambda: {"text": common()},
        "by a rare word": lambda: {"text": rare()},
        "by two words": lambda: {"text": f"{common()} {rare()}"},
        "by a word's beginning": lambda: {"text": f"word{random.randrange(10, 40)}*"},
        "by a word of no file": lambda: {"text": "aardvark"},
        "by project and word": lambda: {"project": project(), "text": rare()},
        "by project and dates": lambda: {"project": project(), "until": moment()},
        "by everything": lambda: {
            "project": project(),
            "kind": "video",
            "text": common(),
            "model": f"model-{random.randrange(21)}",
            "until": moment(),
        },
    }


def _job_of(row: int) -> UUID:
    import hashlib

    return UUID(hashlib.md5(str(row // 4).encode(), usedforsecurity=False).hexdigest())


async def _milliseconds(database: Database, asked: Asked, cursor: str | None = None) -> float:
    query = FileQuery(**asked)
    began = time.perf_counter()
    async with database.session_scope() as session:
        await FileSearch(session).page(query, limit=PAGE, cursor=cursor)
    return (time.perf_counter() - began) * 1000


async def _later_page(database: Database, random: Random) -> float:
    asked: Asked = {"project": f"p-{random.randrange(1, 51)}"}
    async with database.session_scope() as session:
        first = await FileSearch(session).page(FileQuery(**asked), limit=PAGE)
    await asyncio.sleep(0)
    return await _milliseconds(database, asked, first.next_cursor)
