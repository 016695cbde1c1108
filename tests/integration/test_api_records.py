"""Projects, characters and jobs over HTTP, on a real database."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest

from anime.core.job_status import FailureKind
from anime.db.repositories import JobRepository
from anime.db.session import Database
from tests.integration.api_client import problem_in
from tests.integration.old_client import execute

PROJECTS, CHARACTERS, JOBS = ("/api/anime/projects", "/api/anime/characters", "/api/anime/jobs")


async def made(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:  # JSON
    answer = await api.post(path, json=body)
    assert answer.is_success, answer.text
    created: dict[str, Any] = answer.json()  # JSON
    return created


async def submitted(api: httpx.AsyncClient, **order: object) -> str:
    job_id: str = (await made(api, "/api/anime/generate", {"prompt": "rain", **order}))["job_id"]
    return job_id


async def walked(api: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:  # JSON
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []  # JSON
    cursor: str | None = None
    while True:
        asked = query | ({"cursor": cursor} if cursor else {})
        answer = await api.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return items


def ids(items: Sequence[dict[str, Any]]) -> list[str]:  # JSON
    return [item["id"] for item in items]


async def test_a_project_is_written_down_and_found_by_id_and_by_slug(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.post(PROJECTS, json={"name": "Neon City", "metadata": {"episodes": 12}})
    assert answer.status_code == 201
    project = answer.json()
    assert project["slug"] == "neon-city"
    assert answer.headers["location"] == f"{PROJECTS}/neon-city"
    for named in (project["id"], "neon-city", project["id"].upper()):
        assert (await api.get(f"{PROJECTS}/{named}")).json() == project


async def test_a_project_with_a_folder_of_its_own_takes_what_is_made_for_it(
    api: httpx.AsyncClient,
) -> None:
    await made(api, PROJECTS, {"name": "Neon City", "slug": "nc"})
    accepted = await made(api, f"{PROJECTS}/nc/generate", {"prompt": "rain"})
    [job] = await walked(api, JOBS, project="nc")
    assert (job["id"], job["project"]) == (accepted["job_id"], "Neon City")
    assert len(await walked(api, PROJECTS)) == 1


async def test_a_second_project_with_the_same_folder_is_refused(api: httpx.AsyncClient) -> None:
    await made(api, PROJECTS, {"name": "Neon City"})
    problem = problem_in(await api.post(PROJECTS, json={"name": "NEON  city!"}), 409)
    assert problem["type"] == "urn:anime:problem:already-exists"
    assert len(await walked(api, PROJECTS)) == 1


async def test_what_is_said_of_a_project_changes_and_the_rest_stays(api: httpx.AsyncClient) -> None:
    project = await made(api, PROJECTS, {"name": "Neon City", "metadata": {"a": 1}})
    changed = (await api.patch(f"{PROJECTS}/neon-city", json={"name": "Neon City II"})).json()
    assert changed["updated_at"] > project["updated_at"]
    same = {"id", "slug", "metadata", "description", "created_at"}
    assert {key: changed[key] for key in same} == {key: project[key] for key in same}
    assert changed["name"] == "Neon City II"
    assert (await api.patch(f"{PROJECTS}/neon-city", json={})).json()["name"] == "Neon City II"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "x", "slug": "Not A Slug"}, "slug"),
        ({"name": "x", "slug": "unorganized"}, "slug"),
        ({"name": "x", "slug": "../x"}, "slug"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": "x", "metadata": {"a": ["b\x00"]}}, "metadata"),
    ],
)
async def test_a_project_that_cannot_be_is_refused_by_field(
    api: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    problem = problem_in(await api.post(PROJECTS, json=body), 422)
    assert [fault["field"] for fault in problem["errors"]] == [field]


@pytest.mark.parametrize("named", [str(UUID(int=7)), "nothing", "%00", "x" * 119])
async def test_an_unknown_project_is_not_found(api: httpx.AsyncClient, named: str) -> None:
    problem_in(await api.get(f"{PROJECTS}/{named}"), 404)
    problem_in(await api.get(f"{PROJECTS}/{named}/history"), 404)
    problem_in(await api.patch(f"{PROJECTS}/{named}", json={"name": "x"}), 404)
    problem_in(await api.post(f"{PROJECTS}/{named}/generate", json={"prompt": "rain"}), 404)


async def test_a_request_for_another_project_is_refused(api: httpx.AsyncClient) -> None:
    await made(api, PROJECTS, {"name": "Neon City"})
    url = f"{PROJECTS}/neon-city/generate"
    problem_in(await api.post(url, json={"prompt": "rain", "project": "Other"}), 422)
    assert await walked(api, JOBS) == []
    await made(api, url, {"prompt": "rain", "project": "neon city"})
    assert len(await walked(api, JOBS)) == 1


async def test_the_history_of_a_project_is_its_jobs_newest_first(api: httpx.AsyncClient) -> None:
    mine = [await submitted(api, project="Neon City") for _ in range(3)]
    await submitted(api, project="Other")
    assert ids(await walked(api, f"{PROJECTS}/neon-city/history", limit=2)) == mine[::-1]


async def test_jobs_are_found_by_state_project_character_and_type(
    api: httpx.AsyncClient, database: Database
) -> None:
    plain = await submitted(api)
    project = await submitted(api, project="Neon City", character="Mei")
    video = await submitted(api, type="video", character="Mei")
    two = await submitted(api, characters=["Mei", "Ren"])
    three = await submitted(api, character="Aiko", characters=["Ren", "Ken"])
    async with database.session_scope() as session:
        await JobRepository(session).fail_unleased(UUID(plain), FailureKind.LOST, "Nobody ran it.")
    expected: list[tuple[dict[str, str], list[str]]] = [
        ({}, [three, two, video, project, plain]),
        ({"status": "failed"}, [plain]),
        ({"project": "neon-city"}, [project]),
        ({"project": "Neon City", "status": "queued"}, [project]),
        ({"character": "Mei"}, [two, video, project]),
        ({"character": "Ren"}, [three, two]),
        ({"character": "Ren", "limit": "1"}, [three, two]),
        ({"character": "Mei", "type": "video"}, [video]),
        ({"project": "nothing"}, []),
    ]
    for query, found in expected:
        assert ids(await walked(api, JOBS, **query)) == found, query


async def test_pages_neither_repeat_nor_lose_jobs_while_others_come_in(
    api: httpx.AsyncClient, database_url: str
) -> None:
    jobs = [await submitted(api) for _ in range(5)]
    # Of one moment: the id decides.
    await execute(database_url, "UPDATE anime_api.production_jobs SET created_at = now()")
    first = (await api.get(JOBS, params={"limit": 2})).json()
    await submitted(api)
    rest = await walked(api, JOBS, limit=2, cursor=first["next_cursor"])
    assert sorted(ids(first["items"]) + ids(rest)) == sorted(jobs)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "MTc2NzMxMjAwMDAwMDAwMC43"}, "cursor"),  # of a list whose ids are numbers
        ({"limit": "0"}, "limit"),
        ({"limit": "100000"}, "limit"),
        ({"status": "running"}, "status"),
        ({"stauts": "queued"}, "stauts"),
    ],
)
async def test_a_list_that_cannot_be_given_is_refused_by_parameter(
    api: httpx.AsyncClient, query: dict[str, str], named: str
) -> None:
    assert named in problem_in(await api.get(JOBS, params=query), 422)["detail"]


async def test_the_first_version_of_a_character_counts_until_another_does(
    api: httpx.AsyncClient,
) -> None:
    mei = await made(api, CHARACTERS, {"name": "Mei"})
    assert mei["canonical"] is None
    url = f"{CHARACTERS}/{mei['id']}"
    first = await made(api, f"{url}/versions", {"prompt": "silver hair", "seed": 2**64 - 1})
    second = await made(
        api, f"{url}/versions", {"prompt": "red hair", "loras": [{"name": "mei.safetensors"}]}
    )
    assert (first["number"], second["number"]) == (1, 2)
    assert (first["seed"], first["is_canonical"], second["is_canonical"]) == (
        2**64 - 1,
        True,
        False,
    )
    assert (await api.get(url)).json()["canonical"] == first
    approved = None
    for _ in range(2):
        made_so = (await api.put(f"{url}/versions/2/canonical")).json()
        approved = approved or made_so["approved_at"]
        told = {"is_canonical": True, "approved_at": approved, "approved_by": "api"}
        assert made_so == second | told
    assert (await api.get(url)).json()["canonical"]["number"] == 2
    versions = await walked(api, f"{url}/versions", limit=1)
    assert [(each["number"], each["is_canonical"]) for each in versions] == [(2, True), (1, False)]


async def test_a_version_that_is_not_there_takes_nothing_from_the_one_that_counts(
    api: httpx.AsyncClient,
) -> None:
    mei = await made(api, CHARACTERS, {"name": "Mei"})
    url = f"{CHARACTERS}/{mei['id']}"
    await made(api, f"{url}/versions", {"prompt": "silver hair"})
    problem_in(await api.put(f"{url}/versions/7/canonical"), 404)
    assert (await api.get(url)).json()["canonical"]["number"] == 1


async def test_versions_added_at_once_have_numbers_of_their_own_and_one_counts(
    api: httpx.AsyncClient,
) -> None:
    mei = await made(api, CHARACTERS, {"name": "Mei"})
    url = f"{CHARACTERS}/{mei['id']}/versions"
    body = {"prompt": "silver hair", "is_canonical": True}
    await asyncio.gather(*(made(api, url, body) for _ in range(8)))
    versions = await walked(api, url)
    assert sorted(each["number"] for each in versions) == list(range(1, 9))
    assert sum(each["is_canonical"] for each in versions) == 1


async def test_a_name_is_given_once_in_a_project_and_once_outside_of_all(
    api: httpx.AsyncClient,
) -> None:
    project = await made(api, PROJECTS, {"name": "Neon City"})
    for where in ({}, {"project": "neon-city"}):
        await made(api, CHARACTERS, {"name": "Mei", **where})
        problem_in(await api.post(CHARACTERS, json={"name": "mei", **where}), 409)
    problem_in(await api.post(CHARACTERS, json={"name": "Mei", "project": "nothing"}), 404)
    assert len(await walked(api, CHARACTERS, limit=1)) == 2
    [inside] = await walked(api, CHARACTERS, project=project["id"])
    assert inside["project_id"] == project["id"]


async def test_what_is_said_of_a_character_changes(api: httpx.AsyncClient) -> None:
    mei = await made(api, CHARACTERS, {"name": "Mei", "metadata": {"age": 16}})
    changed = await api.patch(f"{CHARACTERS}/{mei['id']}", json={"description": "A red scarf."})
    assert changed.json()["description"] == "A red scarf."
    assert changed.json()["metadata"] == {"age": 16}
    problem_in(await api.patch(f"{CHARACTERS}/{mei['id']}", json={"hair": "red"}), 422)


@pytest.mark.parametrize("named", [str(UUID(int=7)), "Mei", "%00"])
async def test_an_unknown_character_is_not_found(api: httpx.AsyncClient, named: str) -> None:
    url = f"{CHARACTERS}/{named}"
    problem_in(await api.get(url), 404)
    problem_in(await api.get(f"{url}/versions"), 404)
    problem_in(await api.post(f"{url}/versions", json={"prompt": "silver hair"}), 404)
    problem_in(await api.put(f"{url}/versions/1/canonical"), 404)
    problem_in(await api.patch(url, json={"description": "x"}), 404)
