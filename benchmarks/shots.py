"""Shots: how long a list takes to be checked and imported, and what finding their states costs.

In a PostgreSQL of its own, configured as by `anime up`: a project of 5,000 shots with ten takes
each, and one of 1,000 with twenty. One take of each shot is picked; every tenth was made from
another prompt. Both projects have a style and a character. Pages are asked for by HTTP; other times
are those of the functions that the API and the commands call.
"""

import time
from collections.abc import Awaitable
from contextlib import suppress
from io import BytesIO
from random import Random
from typing import TypeVar

import httpx
import psycopg
from openpyxl import Workbook
from pydantic import SecretStr
from sqlalchemy import make_url, update

from anime.assets.composer import Composer
from anime.assets.shot_lists import rows_of_list
from anime.core.catalogue import NewCharacter, NewVersion
from anime.core.paths import slug_of
from anime.core.shots import ListFormat, ShotState
from anime.core.styles import NewStyle, ProjectStyle
from anime.db.migrate import upgrade
from anime.db.models import ProductionJob
from anime.db.repositories import (
    CharacterRepository,
    ProjectRepository,
    ShotQuery,
    ShotRepository,
    StyleRepository,
)
from anime.db.session import Database
from anime.errors import InvalidRequest
from anime.jobs.service import JobService, connect_job_service
from anime.jobs.shots import all_shots, import_shots
from anime.settings import load_settings
from benchmarks.report import Reach, Row
from benchmarks.served_api import served_api
from benchmarks.studio import scratch_folder
from benchmarks.timing import percentile
from tests.support.embedded import embedded_postgres

LISTED, SHOTS, TAKES = 1_000, 5_000, 10  # shots of a list and of a project, takes of each shot
STALE_AMONG = 20_000  # takes of a project of LISTED shots
PAGES, PAGE_SHOTS, PER_EPISODE = 100, 50, 500
TABLE_SHOTS, TAKES_SHOTS = 100, 40  # of a page, as the studio's page asks for them
TOO_LONG = 100_000
PROJECT, SMALLER = "Neon City", "Harbour"
STYLE = ProjectStyle(workflow="txt2img", steps=30, prompt_before="anime", negative_prompt="blurry")
HEADINGS = ("code", "episode", "scene", "characters", "prompt", "width", "height")

JOBS = """
    WITH asked AS (
        SELECT s.*, p.slug, n, gen_random_uuid() AS job_id,
            CASE WHEN n = 1 AND s.sort_key LIKE '%%0' THEN 'another' ELSE s.prompt END AS words
        FROM anime_api.shots AS s JOIN anime_api.projects AS p ON p.id = s.project_id,
            generate_series(1, %(takes)s) AS n
        WHERE p.slug = %(project)s
    ), jobs AS (
        INSERT INTO anime_api.production_jobs
            (id, project_id, shot, type, workflow, prompt, params, seed, status, finished_at)
        SELECT job_id, project_id, code, 'image', 'txt2img', words,
            jsonb_build_object('prompt', words, 'shot', code, 'project', slug,
                'width', width, 'height', height, 'character', characters[1]),
            n, 'completed', now()
        FROM asked
    ), files AS (
        INSERT INTO anime_api.anime_files (filename, file_path, file_size, job_id, file_type)
        SELECT 'f.png', '/library/' || job_id || '.png', 1, job_id, 'image' FROM asked
        RETURNING id, job_id
    )
    INSERT INTO anime_api.takes (shot_id, number, file_id, job_id, is_picked, verdict)
    SELECT asked.id, n, files.id, job_id, n = 1, CASE n WHEN 1 THEN 'approved' END
    FROM asked JOIN files USING (job_id)
"""
T = TypeVar("T")


async def measure() -> list[Row]:
    """Every figure, in a PostgreSQL of its own."""
    with scratch_folder() as folder:
        settings = load_settings(home=folder)
        async with embedded_postgres(folder) as urls:
            await upgrade(urls.database)
            settings = settings.model_copy(update={"database_url": SecretStr(urls.database)})
            async with connect_job_service(settings) as service:
                database = service.database
                rows = await _measure_lists(service)
                composer = Composer(settings)
                for project, shots, takes in (
                    (PROJECT, SHOTS, TAKES),
                    (SMALLER, LISTED, STALE_AMONG // LISTED),
                ):
                    await import_shots(database, project, _table(shots))
                    await _add_style(database, project)
                    await _add_takes(urls.database, project, takes)
                    await _keep_compositions(database, composer, project)
                rows += await _measure_states(database, composer)
            async with served_api(folder, urls.database) as url:
                return rows + await _measure_pages(url)


async def _measure_lists(service: JobService) -> list[Row]:
    table, database = _table(LISTED), service.database
    book = rows_of_list(_workbook(LISTED), ListFormat.XLSX)
    seconds = [
        await _timed(import_shots(database, "A", table, only_tries=True, service=service)),
        await _timed(import_shots(database, "B", book, only_tries=True, service=service)),
        await _timed(import_shots(database, "C", table, service=service)),
    ]
    too_long = _workbook(TOO_LONG)
    began = time.perf_counter()
    with suppress(InvalidRequest):
        rows_of_list(too_long, ListFormat.XLSX)
    refused = time.perf_counter() - began
    return [
        Row(f"a list of {LISTED:,} shots checked, s", seconds[0], None, Reach(3)),
        Row(f"a workbook of {LISTED:,} shots checked, s", seconds[1], None, Reach(3)),
        Row(f"a list of {LISTED:,} shots imported, s", seconds[2], None, Reach(3)),
        Row(f"a workbook of {TOO_LONG:,} rows refused, s", refused),
    ]


async def _measure_states(database: Database, composer: Composer) -> list[Row]:
    """Which shots are stale among so many takes."""
    await all_shots(database, SMALLER, ShotQuery(), composer=composer)  # prepares the statements
    began = time.perf_counter()
    found = await all_shots(database, SMALLER, ShotQuery(), composer=composer)
    seconds = time.perf_counter() - began
    stale = sum(shot.state is ShotState.STALE for shot in found)
    note = f"{stale} of {len(found):,} shots are stale"
    return [
        Row(f"stale found among {STALE_AMONG:,} takes, s", seconds, None, Reach(0.5), note),
    ]


async def _measure_pages(url: str) -> list[Row]:
    """Pages of shots and of their takes, as the page of the studio asks for them."""
    random = Random(1)  # noqa: S311  the same pages in each run, and no secret
    found = []
    async with httpx.AsyncClient(base_url=f"{url}/api/anime") as client:
        for path, limit in (("shots", PAGE_SHOTS), ("shots", TABLE_SHOTS), ("takes", TAKES_SHOTS)):
            seconds = []
            for _ in range(PAGES):
                after = f"c{random.randrange(SHOTS - limit)}"
                query = {"project": slug_of(PROJECT), "cursor": after, "limit": str(limit)}
                began = time.perf_counter()
                answer = (await client.get(f"/{path}", params=query)).raise_for_status()
                seconds.append(time.perf_counter() - began)
            what = f"GET /{path}, {limit} shots, {len(answer.content) / 1000:.0f} kB, p95, ms"
            found.append(Row(what, percentile(seconds, 95) * 1000, None, Reach(50)))
    return found


async def _add_style(database: Database, project: str) -> None:
    """A style, and the character that is in every shot."""
    async with database.session_scope() as session:
        project_id = (await ProjectRepository(session).get(project)).id
        await StyleRepository(session).add(project_id, NewStyle(style=STYLE))
        characters = CharacterRepository(session)
        mei = await characters.create(NewCharacter(name="Mei", project=project), project_id)
        await characters.add_version(mei.id, NewVersion(prompt="silver hair", seed=7))


async def _add_takes(url: str, project: str, takes: int) -> None:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute(JOBS, {"takes": takes, "project": slug_of(project)})
        await connection.execute("VACUUM ANALYZE")


async def _keep_compositions(database: Database, composer: Composer, project: str) -> None:
    """Keep what the takes were made from, as their submission would have; not of other prompts."""
    async with database.session_scope() as session:
        found = await ProjectRepository(session).get(project)
        shots, _ = await ShotRepository(session).page(found.id, ShotQuery(), limit=None)
        asked = [request for shot in shots if (request := shot.request(found.slug)) is not None]
        for request, made in zip(asked, await composer.compose_all(session, asked), strict=True):
            if made is not None:
                kept = made.model_dump(mode="json")
                await session.execute(
                    update(ProductionJob)
                    .where(
                        ProductionJob.project_id == found.id,
                        ProductionJob.shot == request.shot,
                        ProductionJob.prompt == request.prompt,
                    )
                    .values(composition=kept)
                )


async def _timed(work: Awaitable[T]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _rows(count: int) -> list[tuple[str, ...]]:
    return [
        (
            *(f"c{n}", str(1 + n // PER_EPISODE), str(n // 20), "Mei"),
            *(f"a roof at dusk, {n}", "512", "768"),
        )
        for n in range(count)
    ]


def _table(count: int) -> str:
    lines = (",".join(f'"{cell}"' for cell in row) for row in _rows(count))
    return "\n".join([",".join(HEADINGS), *lines]) + "\n"


def _workbook(count: int) -> bytes:
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in [HEADINGS, *_rows(count)]:
        sheet.append(row)
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()
