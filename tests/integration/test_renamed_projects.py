"""A renamed project is found by its slug and by the name that it has now, wherever it is named."""

import httpx
import pytest
import pytest_asyncio

from anime.core.catalogue import NewProject, ProjectChange
from anime.core.ownership import Known
from anime.core.paths import slug_of
from anime.db.repositories import ProjectRepository
from anime.db.repositories.sweeps import SweepRepository
from anime.db.session import Database
from tests.integration.api_client import api, api_settings, prefect_peer, problem_in

__all__ = ["api", "api_settings", "prefect_peer"]

BEFORE, NOW, SLUG = "Neon City", "Neo Tokyo", "neon-city"
PROJECTS = "/api/anime/projects"


@pytest_asyncio.fixture
async def renamed(api: httpx.AsyncClient) -> httpx.AsyncClient:
    """The API, with a project that had another name before."""
    await api.post(PROJECTS, json={"name": BEFORE})
    await api.patch(f"{PROJECTS}/{SLUG}", json={"name": NOW})
    return api


@pytest.mark.parametrize("name", [BEFORE, NOW, "neo TOKYO", SLUG])
async def test_a_request_that_names_it_makes_no_second_project(
    renamed: httpx.AsyncClient, name: str
) -> None:
    asked = {"prompt": "a roof", "project": name}
    accepted = (await renamed.post("/api/anime/generate", json=asked)).json()
    projects = (await renamed.get(PROJECTS)).json()["items"]
    assert [(each["slug"], each["name"]) for each in projects] == [(SLUG, NOW)]
    for named in (BEFORE, NOW, SLUG):
        jobs = (await renamed.get("/api/anime/jobs", params={"project": named})).json()["items"]
        assert [each["id"] for each in jobs] == [accepted["job_id"]]
    answer = await renamed.get(f"/api/anime/jobs/{accepted['job_id']}/composition")
    folder = answer.json()["request"]["project"] if answer.status_code == 200 else name
    assert slug_of(folder) == SLUG, "its files lie in the project's folder, which never changes"


async def test_its_own_route_takes_both_names_in_the_request(renamed: httpx.AsyncClient) -> None:
    for name in (BEFORE, NOW):
        asked = {"prompt": "a roof", "project": name}
        assert (await renamed.post(f"{PROJECTS}/{SLUG}/generate", json=asked)).status_code == 202
    asked = {"prompt": "a roof", "project": "Other"}
    problem_in(await renamed.post(f"{PROJECTS}/{SLUG}/generate", json=asked), 422)


@pytest.mark.parametrize("name", [BEFORE, NOW])
async def test_its_style_counts_under_both_names(renamed: httpx.AsyncClient, name: str) -> None:
    await renamed.put(f"{PROJECTS}/{SLUG}/style", json={"style": {"steps": 9}})
    asked = {"prompt": "a roof", "project": name}
    composed = (await renamed.post("/api/anime/compose", json=asked)).json()
    assert (composed["request"]["steps"], slug_of(composed["request"]["project"])) == (9, SLUG)


async def test_no_other_project_takes_its_name_or_its_slug(renamed: httpx.AsyncClient) -> None:
    for name in (BEFORE, NOW, "NEO tokyo"):
        taken = await renamed.post(PROJECTS, json={"name": name})
        assert SLUG in problem_in(taken, 409)["detail"]
    await renamed.post(PROJECTS, json={"name": "Other"})
    for name in (BEFORE, "neo tokyo"):
        problem_in(await renamed.patch(f"{PROJECTS}/other", json={"name": name}), 409)
    same = await renamed.patch(f"{PROJECTS}/{SLUG}", json={"name": "NEO TOKYO"})
    assert same.json()["name"] == "NEO TOKYO"
    back = await renamed.patch(f"{PROJECTS}/{SLUG}", json={"name": BEFORE})
    assert back.json()["name"] == BEFORE


async def test_of_two_that_fit_a_name_the_slug_counts(database: Database) -> None:
    async with database.session_scope() as session:
        projects = ProjectRepository(session)
        old = await projects.get_or_create("Glass")
        await projects.change("glass", ProjectChange(name="Crystal"))
        crystal = await projects.create(NewProject(name="Crystal 2", slug="crystal"))
        assert (await projects.get("Crystal")).id == crystal.id
        assert [key.id for key in await projects.keys_of("Crystal")] == [crystal.id, old.id]
        known = Known.of(await SweepRepository(session).projects(), [])
    named = {name: known.named(name) for name in ("crystal", "Crystal 2", "Glass", "none")}
    assert {name: each and each.id for name, each in named.items()} == {
        "crystal": crystal.id,
        "Crystal 2": crystal.id,
        "Glass": old.id,
        "none": None,
    }
