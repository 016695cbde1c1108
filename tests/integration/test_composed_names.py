"""A name in two Unicode forms is one name, whoever types it; old rows are found by both."""

import hashlib
from typing import Any
from unicodedata import normalize

import httpx
import pytest

from anime.db.migrate import upgrade
from anime.db.repositories import (
    FileQuery,
    FileSearch,
    JobList,
    JobQuery,
    ProjectRepository,
)
from anime.db.session import Database
from tests.integration.old_client import execute
from tests.integration.test_api_records import (
    CHARACTERS,
    JOBS,
    PROJECTS,
    ids,
    made,
    submitted,
    walked,
)
from tests.support.jobs import newest_jobs

FORMS = tuple(normalize(form, "ガラスの街") for form in ("NFC", "NFD"))
COMPOSED, DECOMPOSED = FORMS
BEFORE = "0010"  # the revision before names were composed
FORMER_SLUG = f"project-{hashlib.sha256(DECOMPOSED.encode()).hexdigest()[:8]}"
OLD_ROWS = f"""
    INSERT INTO anime_api.projects (slug, name) VALUES ('{FORMER_SLUG}', '{DECOMPOSED}');
    INSERT INTO anime_api.production_jobs
        (id, project_id, character, shot, type, workflow, prompt, params, seed)
    SELECT gen_random_uuid(), id, '{DECOMPOSED}', '{DECOMPOSED}', 'image', 'txt2img', 'rain',
        jsonb_build_object('prompt', 'rain', 'project', '{DECOMPOSED}'), 7
    FROM anime_api.projects;
    INSERT INTO anime_api.anime_files (filename, file_type, file_path, file_size, project_id,
        metadata, organized_at)
    SELECT 'a.png', 'image', '/a.png', 1, id,
        jsonb_build_object('character', '{DECOMPOSED}', 'model', '{DECOMPOSED}'), now()
    FROM anime_api.projects
"""


@pytest.mark.parametrize("path", [PROJECTS, CHARACTERS])
async def test_the_other_form_is_no_second_project_or_character(
    api: httpx.AsyncClient, path: str
) -> None:
    first = await made(api, path, {"name": DECOMPOSED})
    assert first["name"] == COMPOSED
    assert (await api.post(path, json={"name": COMPOSED})).status_code == 409


async def test_jobs_of_both_forms_are_of_one_project_and_found_by_both(
    api: httpx.AsyncClient,
) -> None:
    jobs = [await submitted(api, project=name, character=name) for name in FORMS]
    [project] = await walked(api, PROJECTS)
    for name in FORMS:
        assert (await api.get(f"{PROJECTS}/{name}")).json() == project
        for query in ({"project": name}, {"character": name}):
            assert ids(await walked(api, JOBS, **query)) == [*reversed(jobs)]


async def test_a_request_repeated_in_the_other_form_is_the_same_request(
    api: httpx.AsyncClient,
) -> None:
    answers: list[dict[str, Any]] = []  # JSON
    for name in FORMS:
        answer = await api.post(
            "/api/anime/generate",
            json={"prompt": "rain", "project": name},
            headers={"Idempotency-Key": "shot 7"},
        )
        assert answer.is_success, answer.text
        answers.append(answer.json())
    assert answers[0]["job_id"] == answers[1]["job_id"]


async def test_rows_of_old_are_found_by_both_forms(empty_database_url: str) -> None:
    await upgrade(empty_database_url, to=BEFORE)
    await execute(empty_database_url, OLD_ROWS)
    await upgrade(empty_database_url)
    async with Database(empty_database_url) as database, database.session_scope() as session:
        for name in FORMS:
            project = await ProjectRepository(session).get(name)
            assert (project.slug, project.name) == (FORMER_SLUG, COMPOSED)
            assert await ProjectRepository(session).get_or_create(name) == (project.id, FORMER_SLUG)
            for query in (JobQuery(project=name), JobQuery(character=name)):
                [job], _ = await JobList(session).page(query, limit=9)
                assert job.character == COMPOSED
            assert len(await newest_jobs(database, project=name)) == 1
            for wanted in (
                FileQuery(project=name),
                FileQuery(character=name),
                FileQuery(model=name),
                FileQuery(project=name, character=name, model=name),
            ):
                assert len((await FileSearch(session).page(wanted, limit=9)).files) == 1


async def test_where_both_forms_were_projects_their_name_finds_what_is_of_either(
    database: Database, database_url: str
) -> None:
    await execute(database_url, OLD_ROWS)
    async with database.session_scope() as session:
        slug = "project-" + hashlib.sha256(COMPOSED.encode()).hexdigest()[:8]
        await execute(
            database_url,
            f"INSERT INTO anime_api.projects (slug, name) VALUES ('{slug}', '{COMPOSED}');"
            " INSERT INTO anime_api.anime_files (filename, file_type, file_path, file_size,"
            f" project_id, organized_at) SELECT 'b.png', 'image', '/b.png', 1, id, now()"
            f" FROM anime_api.projects WHERE slug = '{slug}'",
        )
        for name in FORMS:
            assert (await ProjectRepository(session).get_or_create(name)).slug == slug
            files, cursor = [], None
            while True:
                page = await FileSearch(session).page(
                    FileQuery(project=name), limit=1, cursor=cursor
                )
                files += [file.filename for file in page.files]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert files == ["b.png", "a.png"]
