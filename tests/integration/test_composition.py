"""Requests composed with styles and characters on a real database, wherever they come in."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from inspect import unwrap
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import event

from anime.comfyui.workflow_templates import load_template
from anime.core.batches import BatchRequest
from anime.core.catalogue import CatalogueLora, NewCharacter, NewProject, NewVersion, ProjectChange
from anime.core.character_policies import CharacterPolicy
from anime.core.composition.record import Composition
from anime.core.ids import seed_of
from anime.core.shots import ShotState
from anime.core.styles import NewStyle, ProjectStyle, SeedPolicy
from anime.core.takes import NewReview
from anime.db.repositories import (
    CharacterRepository,
    JobRepository,
    ProjectRepository,
    ShotQuery,
    StyleRepository,
)
from anime.db.session import Database
from anime.errors import InvalidRequest, KeyReused, NotFound
from anime.jobs.shots import (
    ShotRender,
    all_shots,
    batch_of_shots,
    import_shots,
    render_shots,
    review_take,
    takes_of,
)
from anime.schemas import GenerationRequest
from anime.settings import SHIPPED_WORKFLOWS
from tasks.batches import create_batch_jobs
from tasks.records import lease_job
from tests.integration.api_client import api, api_settings, prefect_peer, problem_in
from tests.integration.job_service import Office, open_office
from tests.integration.old_client import execute
from tests.integration.prefect_peer import running_prefect_peer
from tests.integration.test_cli_commands import Commands
from tests.integration.test_redis_queue import consuming, enqueue, redis, until_empty
from tests.support.jobs import newest_jobs

__all__ = ["api", "api_settings", "prefect_peer", "redis"]

PROJECT = "Neon City"
STYLE = ProjectStyle(workflow="sdxl", steps=12, prompt_before="anime screencap")
ASKED = GenerationRequest(prompt="@mei on a roof", project=PROJECT)
COMPOSED = "anime screencap, silver hair, Mei on a roof"
insert_jobs = unwrap(create_batch_jobs)  # without Prefect


@pytest_asyncio.fixture
async def studio(database: Database) -> AsyncIterator[Database]:
    """The database, with a project that has a style, and a character."""
    async with database.session_scope() as session:
        project = await ProjectRepository(session).create(NewProject(name=PROJECT))
        await StyleRepository(session).add(project.id, NewStyle(style=STYLE))
        characters = CharacterRepository(session)
        mei = await characters.create(NewCharacter(name="Mei"), None)
        await characters.add_version(mei.id, NewVersion(prompt="silver hair"))
    yield database


@pytest_asyncio.fixture
async def office(studio: Database, database_url: str, redis_url: str) -> AsyncIterator[Office]:
    """A service on it."""
    del studio
    async with (
        running_prefect_peer() as prefect,
        open_office(database_url, redis_url, prefect) as office,
    ):
        yield office


async def composition_of(database: Database, job_id: UUID) -> Composition:
    async with database.session_scope() as session:
        return await JobRepository(session).composition_of(job_id)


async def wear(database: Database, **fields: Any) -> None:
    """Give Mei another canonical version."""
    async with database.session_scope() as session:
        characters = CharacterRepository(session)
        [mei], _ = await characters.page(limit=1)
        new = NewVersion.model_validate({"prompt": "red hair", "is_canonical": True, **fields})
        await characters.add_version(mei.id, new)


async def test_a_job_keeps_the_request_as_given_and_what_it_became(office: Office) -> None:
    job_id = uuid4()
    job = await office.service.submit(ASKED, job_id=job_id)
    assert (job.workflow, job.prompt, job.character) == ("sdxl", ASKED.prompt, "Mei")
    made = await composition_of(office.database, job.id)
    assert (made.request.prompt, made.request.steps) == (COMPOSED, 12)
    assert (made.style_version, made.character_versions) == (1, {"Mei": 1})
    async with office.database.session_scope() as session:
        assert await JobRepository(session).request_of(job_id) == ASKED
    await wear(office.database)
    assert (await office.service.submit(ASKED, job_id=job_id)).id == job_id
    assert await composition_of(office.database, job.id) == made
    with pytest.raises(KeyReused):
        await office.service.submit(made.request, job_id=job_id)


async def test_a_run_that_takes_the_job_gets_what_it_became(office: Office) -> None:
    job = await office.service.submit(ASKED)
    lease = await office.begin(job.id, uuid4())
    assert lease.composition is not None
    assert lease.composition["request"]["prompt"] == COMPOSED


async def test_a_request_without_style_and_characters_is_not_composed(office: Office) -> None:
    plain = GenerationRequest(prompt="a@b.c at @nobody", project="Other", character="Zed")
    job = await office.service.submit(plain)
    assert (await office.begin(job.id, uuid4())).composition is None
    assert job.seed == seed_of(job.id)
    with pytest.raises(NotFound, match="as it was given"):
        await composition_of(office.database, job.id)


async def test_a_lora_of_another_architecture_is_refused_before_there_is_a_job(
    office: Office,
) -> None:
    await wear(office.database, loras=[CatalogueLora(name="mei-flux", architecture="flux")])
    asked = ASKED.model_copy(update={"workflow": "z_image"})
    with pytest.raises(InvalidRequest, match="mei-flux of character Mei, version 2 is for flux"):
        await office.service.submit(asked)
    batch = BatchRequest(name="b", requests=[asked])
    with pytest.raises(InvalidRequest, match="mei-flux"):
        await office.service.submit_batch(batch, key="b")
    assert await office.jobs() == []


async def test_a_lora_is_compared_with_the_model_of_the_request_if_some_workflow_is_for_that(
    office: Office,
) -> None:
    await wear(office.database, loras=[CatalogueLora(name="mei-sdxl", architecture="sdxl")])
    anime = load_template("anime", SHIPPED_WORKFLOWS).value_of("model")
    asked = ASKED.model_copy(update={"model": anime})
    with pytest.raises(InvalidRequest, match=f"is for sdxl, model {anime} for anima"):
        await office.service.submit(asked)
    assert await office.service.submit(ASKED)


async def test_a_project_that_is_renamed_under_a_running_batch_keeps_its_jobs_style_and_shots(
    studio: Database,
) -> None:
    await import_shots(studio, PROJECT, "code,prompt\nsc1,a roof\n")
    batch = BatchRequest(name="b", prompts=["@mei"], common={"project": PROJECT, "shot": "sc1"})
    [before] = await insert_jobs(studio, batch, None)
    async with studio.session_scope() as session:
        await ProjectRepository(session).change(PROJECT, ProjectChange(name="Neo Tokyo"))
    again = await insert_jobs(studio, batch, None)
    assert [job.job_id for job in again] == [before.job_id]
    more = batch.model_copy(update={"takes": 2})
    later = [job.job_id for job in await insert_jobs(studio, more, None)][1]
    assert "style 1 of Neo Tokyo" in str((await composition_of(studio, later)).fragments)
    async with studio.session_scope() as session:
        projects, _ = await ProjectRepository(session).page(limit=9)
    assert [(project.slug, project.name) for project in projects] == [("neon-city", "Neo Tokyo")]
    [shot] = await all_shots(studio, PROJECT, ShotQuery())
    assert shot.under_way == 2


async def test_takes_that_would_be_one_picture_are_refused_by_a_run_without_an_admission(
    studio: Database,
) -> None:
    batch = BatchRequest(name="form", prompts=["a roof"], common={"project": PROJECT}, takes=2)
    batch = batch.model_copy(update={"common": batch.common | {"shot": "sc1"}})
    once = batch.model_copy(update={"takes": 1})
    async with studio.session_scope() as session:
        project = await ProjectRepository(session).get(PROJECT)
        style = NewStyle(style=STYLE.model_copy(update={"seed_policy": SeedPolicy.SHOT}))
        await StyleRepository(session).add(project.id, style)
    with pytest.raises(InvalidRequest, match="2 takes would be one picture"):
        await insert_jobs(studio, batch, None)
    assert await newest_jobs(studio) == []
    await insert_jobs(studio, once, None)
    # One that has begun goes on, whatever the style is by now.
    assert len(await insert_jobs(studio, batch, None)) == 2


async def test_takes_that_would_be_one_picture_are_refused_before_there_is_a_run(
    office: Office, database_url: str
) -> None:
    async with office.database.session_scope() as session:
        project = await ProjectRepository(session).get(PROJECT)
        style = NewStyle(style=STYLE.model_copy(update={"seed_policy": SeedPolicy.SHOT}))
        await StyleRepository(session).add(project.id, style)
    await import_shots(office.database, PROJECT, "code,prompt,seed\nsc1,a roof,\nsc2,a door,7\n")
    takes = ShotRender(project=PROJECT, takes=3)
    one = "shot sc1: 3 takes would be one picture, as style 2 of Neon City gives all one seed"
    with pytest.raises(InvalidRequest, match=one) as refused:
        await render_shots(office.service, takes, key="three")
    assert "seed_policy=take" in refused.value.todo
    seeded = takes.model_copy(update={"codes": ["sc2"]})
    assert (await render_shots(office.service, seeded, key="seeded")).shots == 1
    once = takes.model_copy(update={"takes": 1})
    batch, _ = await batch_of_shots(office.service, once)
    [job, _] = await insert_jobs(office.database, batch, None)
    await complete(database_url, job.job_id)
    await takes_of(office.database, PROJECT, ShotQuery())
    no = {"project": PROJECT, "shot": "sc1", "take": 1, "action": "reject"}
    await review_take(office.database, NewReview.model_validate(no))
    batch, _ = await batch_of_shots(office.service, once)
    await office.service.submit_batch(batch, key="once")
    asked = [(request.shot, request.seed is None) for request in batch.requests]
    assert asked == [("sc1", True), ("sc1", False), ("sc2", False)]

    await wear(office.database, seed=7)
    mei = BatchRequest(name="b", prompts=["@mei waves"], takes=2)
    with pytest.raises(InvalidRequest, match="as character Mei, version 2 gives all one seed"):
        await office.service.submit_batch(mei, key="mei")
    several = BatchRequest(name="b", prompts=["@mei waves", "@mei runs"])
    assert await office.service.submit_batch(several, key="several")


async def test_a_batch_reads_styles_and_characters_once_and_composes_each_child(
    studio: Database,
) -> None:
    statements: list[str] = []
    engine = studio._engine.sync_engine

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    async def children(count: int) -> list[UUID]:
        batch = BatchRequest(
            name=f"of {count}",
            prompts=[f"@mei {number}" for number in range(count)],
            common={"project": PROJECT},
        )
        return [job.job_id for job in await insert_jobs(studio, batch, None)]

    await children(2)
    event.listen(engine, "before_cursor_execute", note)
    try:
        await children(3)
        few = len(statements)
        ids = await children(40)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 2 * few
    made = await composition_of(studio, ids[7])
    assert made.request.prompt == "anime screencap, silver hair, Mei 7"


async def test_one_of_a_batch_that_cannot_be_composed_says_why_in_its_row(
    studio: Database,
) -> None:
    await wear(studio, loras=[CatalogueLora(name="mei-flux", architecture="flux")])
    batch = BatchRequest(
        name="b", prompts=["@mei", "a roof"], common={"project": PROJECT, "workflow": "z_image"}
    )
    bad, good = await insert_jobs(studio, batch, None)
    assert "mei-flux" in str((await composition_of(studio, bad.job_id)).refused)
    assert (await composition_of(studio, good.job_id)).refused is None


async def test_a_requeued_job_is_composed_anew_if_that_was_refused(
    office: Office, database_url: str
) -> None:
    await wear(office.database, loras=[CatalogueLora(name="mei-flux", architecture="flux")])
    batch = BatchRequest(name="b", prompts=["@mei"], common={"project": PROJECT})
    [bad] = await insert_jobs(office.database, batch, None)
    await wear(office.database)
    for expected in ("mei-flux", "None"):
        made = await composition_of(office.database, bad.job_id)
        assert expected in str(made.refused)
        failed = "SET status = 'failed', error_kind = 'invalid_workflow', finished_at = now()"
        await execute(database_url, f"UPDATE anime_api.production_jobs {failed}")
        assert await office.service.requeue(bad.job_id) is not None
    assert made.request.prompt == "anime screencap, red hair, Mei"


async def test_a_run_that_somebody_starts_in_prefect_is_composed_when_its_job_is_written_down(
    studio: Database,
) -> None:
    job_id, run = uuid4(), uuid4()
    for _ in range(2):
        _, lease = await lease_job(
            studio, job_id, ASKED, seed=1, run_id=run, owner=run, lease_seconds=60
        )
        await wear(studio)  # later: what was composed stays
        assert lease is not None
        assert lease.composition is not None
        assert lease.composition["request"]["prompt"] == COMPOSED


async def test_warnings_are_in_the_timeline_whichever_way_a_request_comes_in(
    office: Office,
) -> None:
    await wear(office.database, loras=[CatalogueLora(name="mei")])
    submitted = await office.service.submit(ASKED)
    batch = BatchRequest(name="b", prompts=[ASKED.prompt], common={"project": PROJECT})
    [child] = await insert_jobs(office.database, batch, None)
    started, run = uuid4(), uuid4()
    await lease_job(
        office.database, started, ASKED, seed=1, run_id=run, owner=run, lease_seconds=60
    )
    for job_id in (submitted.id, child.job_id, started):
        said = [entry.message for entry in await office.service.lookup.timeline(job_id)]
        about = [each for each in said if "Whether LoRA mei of character Mei" in each]
        assert len(about) == 1, said


async def test_a_character_that_cannot_be_shown_is_refused_whichever_way_it_comes_in(
    studio: Database, database_url: str, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    shutil.copy(SHIPPED_WORKFLOWS / "txt2img.json", tmp_path / "blind.json")
    binding = 'title = "Blind"\noutput = "image"\nneeds_prompt = false\n[inputs]\n'
    seed = 'seed = { node = "Sampler", input = "seed" }\n'
    (tmp_path / "blind.toml").write_text(binding + seed)
    asked = ASKED.model_copy(update={"workflow": "blind"})
    said = "Workflow blind cannot show Mei"
    async with (
        running_prefect_peer() as prefect,
        open_office(
            *(database_url, redis_url, prefect),
            workflows_dir=tmp_path,
            unshown_characters=CharacterPolicy.ERROR,
        ) as office,
    ):
        with pytest.raises(InvalidRequest, match=said):
            await office.service.submit(asked)
        with pytest.raises(InvalidRequest, match=said):
            await office.service.submit_batch(BatchRequest(name="b", requests=[asked]), key="b")
        async with consuming(office):
            params = {"prompt": asked.prompt, "workflow": "blind"}
            entry = await enqueue(redis, project_id=PROJECT, params=json.dumps(params))
            await until_empty(redis)
        hash_ = await redis.hgetall(f"anime:job:{entry}")
        assert hash_["status"] == "failed"
        assert said in json.dumps(hash_)
        assert await office.jobs() == []


async def test_by_http_a_style_has_versions_and_a_request_is_explained(
    studio: Database, api: httpx.AsyncClient
) -> None:
    url = "/api/anime/projects/neon-city/style"
    same = {"style": STYLE.model_dump(mode="json", exclude_defaults=True)}
    assert (await api.put(url, json=same)).json()["version"] == 1
    changed = {"style": {"steps": 30}, "notes": "slower", "by": "ann"}
    assert (await api.put(url, json=changed)).json()["version"] == 2
    assert (await api.get(url)).json()["style"]["steps"] == 30
    first = (await api.get(f"{url}/versions", params={"limit": 1})).json()
    rest = (await api.get(f"{url}/versions", params={"cursor": first["next_cursor"]})).json()
    assert [each["version"] for each in first["items"] + rest["items"]] == [2, 1]
    refused = await api.put(url, json={"style": {"stepz": 3}})
    assert "stepz" in problem_in(refused, 422)["detail"]
    shown = (await api.post("/api/anime/compose", json={**ASKED.model_dump(mode="json")})).json()
    assert shown["request"]["steps"] == 30
    assert {
        "field": "prompt",
        "text": "silver hair",
        "source": "character Mei, version 1",
    } in shown["fragments"]
    job = (await api.post("/api/anime/generate", json={"prompt": "@mei"})).json()["job_id"]
    kept = (await api.get(f"/api/anime/jobs/{job}/composition")).json()
    assert kept["request"]["prompt"] == "silver hair, Mei"
    assert (await api.get("/api/anime/projects/none/style")).status_code == 404


async def test_two_who_change_a_style_at_once_make_two_versions(studio: Database) -> None:
    async def change(steps: int) -> int:
        async with studio.session_scope() as session:
            project = await ProjectRepository(session).get(PROJECT)
            style = NewStyle(style=ProjectStyle(steps=steps))
            return (await StyleRepository(session).add(project.id, style)).version

    assert sorted(await asyncio.gather(*map(change, range(1, 5)))) == [2, 3, 4, 5]


async def test_by_command_a_style_is_changed_and_a_request_explained(
    studio: Database, database_url: str
) -> None:
    commands = Commands({"ANIME_DATABASE_URL": database_url})
    change = ("projects", "style", PROJECT, "--set", "steps=20", "--set", "prompt_before=")
    changed = json.loads((await commands.call(*change, "--json")).out)
    assert (changed["version"], changed["style"]["steps"]) == (2, 20)
    assert (changed["style"]["prompt_before"], changed["style"]["workflow"]) == (None, "sdxl")
    listed = await commands.call("projects", "style", PROJECT, "--versions")
    assert "version 2" in listed.out
    assert "version 1" in listed.out
    refused = await commands.call("projects", "style", PROJECT, "--set", "steps=many")
    assert (refused.code, "steps" in refused.err) == (1, True)
    words = ("generate", "@mei waves", "--project", PROJECT, "--character", "Mei")
    explained = await commands.call(*words, "--character", "Ken", "--explain")
    assert "silver hair" in explained.out
    assert "character Mei, version 1" in explained.out
    assert "Nothing is known of how Ken looks" in explained.err
    made = json.loads((await commands.call(*words, "--explain", "--json")).out)
    assert made["request"]["prompt"] == "silver hair, Mei waves"
    assert (await commands.call("projects", "create", "Ice Age")).out == "ice-age\n"
    listed = json.loads((await commands.call("projects", "list", "--json")).out)
    assert [each["name"] for each in listed] == ["Ice Age", "Neon City"]
    none = await commands.call("projects", "style", "Ice Age")
    assert (none.code, "has no style" in none.err) == (1, True)
    wrong = await commands.call("projects", "style", "Ice Age", "--set", "steps")
    assert "--set steps has no value" in wrong.err


async def test_a_shot_is_stale_once_its_style_or_character_would_make_another_picture(
    studio: Database, database_url: str, redis_url: str
) -> None:
    await import_shots(studio, PROJECT, "code,prompt,characters\nsc1,a roof,Mei\nsc2,a door,\n")
    async with (
        running_prefect_peer() as prefect,
        open_office(database_url, redis_url, prefect) as office,
    ):

        async def rendered() -> list[str | None]:
            """The shots that a batch of all shots has new takes of; they are picked."""
            prefect.runs.clear()
            await render_shots(office.service, ShotRender(project=PROJECT), key=str(uuid4()))
            [run] = prefect.runs.values()
            batch = BatchRequest.model_validate(run["parameters"])
            jobs = await insert_jobs(studio, batch, None)
            new = [job for job in jobs if not job.status.is_final]
            for job in new:
                await complete(database_url, job.job_id)
            for take in await takes_of(studio, PROJECT, ShotQuery()):
                said = {"project": PROJECT, "shot": take.shot, "take": take.number}
                await review_take(studio, NewReview.model_validate({**said, "action": "pick"}))
            return [job.request.shot for job in new]

        async def stale() -> set[str]:
            composer = office.service.admission.composer
            found = await all_shots(studio, PROJECT, ShotQuery(), composer=composer)
            return {shot.code for shot in found if shot.state is ShotState.STALE}

        assert (await rendered(), await stale()) == (["sc1", "sc2"], set())
        made = await composition_of(studio, (await office.jobs())[0].id)
        sources = {each.source for each in made.fragments if each.field == "prompt"}
        assert sources >= {"style 1 of Neon City", f"shot {made.request.shot}"}
        assert await rendered() == []
        await wear(studio)
        assert (await stale(), await rendered(), await stale()) == ({"sc1"}, ["sc1"], set())
        async with studio.session_scope() as session:
            project = await ProjectRepository(session).get(PROJECT)
            style = NewStyle(style=STYLE.model_copy(update={"steps": 13}))
            await StyleRepository(session).add(project.id, style)
        assert await stale() == {"sc1", "sc2"}
        assert (await rendered(), await stale()) == (["sc1", "sc2"], set())
        takes = await takes_of(studio, PROJECT, ShotQuery(), ["sc1"])
        assert [take.style_version for take in takes] == [1, 1, 2]


async def complete(database_url: str, job_id: UUID) -> None:
    """Say that the job has made a file."""
    await execute(
        database_url,
        "UPDATE anime_api.production_jobs SET status = 'completed', finished_at = now()"
        f" WHERE id = '{job_id}'",
    )
    await execute(
        database_url,
        "INSERT INTO anime_api.anime_files (filename, file_path, file_size, job_id)"
        f" VALUES ('a.png', '/library/{job_id}.png', 1, '{job_id}')",
    )
