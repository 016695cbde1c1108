"""Takes and reviews on a real database, by function, command and HTTP."""

import asyncio
import json
import os
import unicodedata
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy import text

from anime.assets.verify import verify
from anime.core.batches import BatchRequest, expand
from anime.core.composition.record import Composition
from anime.core.shots import ShotChange, ShotEvent, ShotState
from anime.core.sweep_plan import Mode
from anime.core.takes import NewReview, PicturePoint, TakeRecord, Verdict
from anime.db.repositories import JobRepository, NewJob, ShotQuery
from anime.db.session import Database
from anime.errors import InvalidRequest, NotFound
from anime.jobs.admission import Admission
from anime.jobs.shots import (
    ShotRender,
    all_shots,
    batch_of_shots,
    import_shots,
    render_shots,
    review_and_retake,
    review_take,
    takes_of,
)
from anime.progress.keys import SHOTS_CHANNEL
from anime.schemas import GenerationRequest
from tests.integration.api_client import problem_in
from tests.integration.import_folder import MADE, Stage, picture
from tests.integration.job_service import Office, open_office
from tests.integration.old_client import execute
from tests.integration.prefect_peer import running_prefect_peer
from tests.integration.test_cli_commands import Commands
from tests.integration.test_db_jobs import until_waiting
from tests.support.waiting import HUNG_SECONDS

PROJECT = "Neon City"
LIST = "code,prompt,seed\nsc1,a roof,7\nsc2,a door,\n"


@pytest_asyncio.fixture
async def project(database: Database) -> AsyncIterator[Database]:
    """The database, with two shots."""
    await import_shots(database, PROJECT, LIST)
    yield database


async def rendered(
    database: Database, database_url: str, shot: str, prompt: str = "a roof", files: int = 1
) -> UUID:
    """A completed job for the shot, with its files."""
    job_id = uuid4()
    request = GenerationRequest(prompt=prompt, project=PROJECT, shot=shot)
    async with database.session_scope() as session:
        await JobRepository(session).create(job_id, request, workflow="txt2img", seed=7)
    await execute(
        database_url,
        "UPDATE anime_api.production_jobs SET status = 'completed', finished_at = now()"
        f" WHERE id = '{job_id}'",
    )
    for number in range(files):
        await execute(
            database_url,
            "INSERT INTO anime_api.anime_files (filename, file_path, file_size, job_id)"
            f" VALUES ('{number}.png', '/library/{shot}/{job_id}/{number}.png', 1, '{job_id}')",
        )
    return job_id


async def takes(database: Database, *codes: str) -> list[TakeRecord]:
    return await takes_of(database, PROJECT, ShotQuery(), codes)


async def states(database: Database) -> dict[str, ShotState]:
    return {shot.code: shot.state for shot in await all_shots(database, PROJECT, ShotQuery())}


async def said(database: Database, shot: str, take: int, action: str, **more: Any) -> TakeRecord:
    fields = {"project": PROJECT, "shot": shot, "take": take, "action": action, "by": "ann"}
    return await review_take(database, NewReview.model_validate({**fields, **more}))


async def test_each_file_of_a_shot_has_a_number_that_is_never_given_twice(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=2)
    await rendered(project, database_url, "sc2")
    first = await takes(project)
    assert [(each.shot, each.number) for each in first] == [("sc1", 1), ("sc1", 2), ("sc2", 1)]
    await execute(database_url, "DELETE FROM anime_api.takes WHERE number = 2")
    await execute(database_url, "DELETE FROM anime_api.anime_files WHERE filename = '1.png'")
    await rendered(project, database_url, "sc1")
    assert [each.number for each in await takes(project, "sc1")] == [1, 3]


@pytest.mark.parametrize("back", ["verify", "relink", "sweep"])
async def test_a_take_that_was_rejected_while_its_file_was_missing_is_archived_like_others(
    project: Database, database_url: str, tmp_path: Path, back: str
) -> None:
    stage = Stage(tmp_path / "output", tmp_path / "library", project, database_url)
    stage.library.mkdir()
    job_id = await rendered(project, database_url, "sc1", files=0)
    source = stage.put("a.png", picture(1, job_id=job_id))
    stage.put("other.png", picture(2))
    await stage.sweep(Mode.COPY)
    [(path,)] = await execute(
        database_url, f"SELECT file_path FROM anime_api.anime_files WHERE job_id = '{job_id}'"
    )
    hidden = Path(path).rename(tmp_path / "hidden.png")
    assert (await verify(project, stage.library)).missing == 1
    await said(project, "sc1", 1, "reject")
    if back == "sweep":
        os.utime(source, (MADE + 5, MADE + 5))
        await stage.sweep(Mode.COPY)
    else:
        hidden.rename(path if back == "verify" else stage.library / "moved.png")
    await verify(project, stage.library)
    state = f"SELECT state FROM anime_api.anime_files WHERE job_id = '{job_id}'"
    assert await execute(database_url, state) == [("rejected",)]
    await said(project, "sc1", 1, "approve")
    assert await execute(database_url, state) == [("present",)]


async def test_a_take_of_a_shot_whose_code_is_written_otherwise_is_one(
    database: Database, database_url: str
) -> None:
    await import_shots(database, PROJECT, "code,prompt\nが_sc1,a roof\n")
    await rendered(database, database_url, unicodedata.normalize("NFD", "が_SC1"))
    request = GenerationRequest(prompt="a roof", project=PROJECT, shot="が_Sc1")
    async with database.session_scope() as session:
        await JobRepository(session).create_all({uuid4(): NewJob.of(uuid4(), request)})
    [shot] = await all_shots(database, PROJECT, ShotQuery())
    assert (shot.takes, shot.under_way) == (1, 1)
    assert [take.number for take in await takes(database, "が_SC1")] == [1]


async def test_two_who_look_at_once_see_the_same_numbers(
    project: Database, database_url: str
) -> None:
    for _ in range(5):
        await rendered(project, database_url, "sc1")
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(takes(project, "sc1")) for _ in range(4)]
    assert [each.number for each in looks[0].result()] == [1, 2, 3, 4, 5]
    assert all(each.result() == looks[0].result() for each in looks)


async def test_a_shot_goes_from_missing_over_review_to_approved_and_stale(
    project: Database, database_url: str
) -> None:
    assert (await states(project))["sc1"] is ShotState.MISSING
    await rendered(project, database_url, "sc1")
    assert (await states(project))["sc1"] is ShotState.TO_REVIEW
    picked = await said(project, "sc1", 1, "pick")
    assert (picked.verdict, picked.is_picked, picked.reviewed_by) == (
        Verdict.APPROVED,
        True,
        "ann",
    )
    assert await states(project) == {"sc1": ShotState.APPROVED, "sc2": ShotState.MISSING}
    await import_shots(project, PROJECT, "code,prompt\nsc1,a roof at dusk\n")
    assert (await states(project))["sc1"] is ShotState.STALE
    await import_shots(project, PROJECT, "code,prompt,notes\nsc1,a roof,as it was\n")
    assert (await states(project))["sc1"] is ShotState.APPROVED


async def test_one_take_of_a_shot_is_picked_and_undo_brings_the_former_back(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=2)
    await said(project, "SC1", 1, "pick")
    await said(project, "sc1", 2, "pick")
    assert [each.is_picked for each in await takes(project, "sc1")] == [False, True]
    await said(project, "sc1", 2, "undo")
    found = await takes(project, "sc1")
    assert [(each.verdict, each.is_picked) for each in found] == [
        (Verdict.APPROVED, True),
        (None, False),
    ]
    history = await execute(
        database_url, "SELECT action, is_undone FROM anime_api.reviews ORDER BY id"
    )
    assert [tuple(row) for row in history] == [("pick", False), ("pick", True), ("undo", True)]


async def test_a_rejected_file_is_one_for_retention_until_that_is_undone(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1")
    await said(project, "sc1", 1, "reject", reason="hands", note="the left one")
    [take] = await takes(project, "sc1")
    assert (take.verdict, take.reason, take.note) == (Verdict.REJECTED, "hands", "the left one")
    state = "SELECT state FROM anime_api.anime_files"
    assert [row[0] for row in await execute(database_url, state)] == ["rejected"]
    assert (await states(project))["sc1"] is ShotState.MISSING
    await said(project, "sc1", 1, "undo")
    assert [row[0] for row in await execute(database_url, state)] == ["present"]
    assert (await states(project))["sc1"] is ShotState.TO_REVIEW
    with pytest.raises(InvalidRequest, match="undone"):
        await said(project, "sc1", 1, "undo")


async def test_notes_of_a_take_are_kept_with_their_points_until_they_are_undone(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=2)
    await said(project, "sc1", 1, "note", note="six fingers", point={"x": 0.25, "y": 1})
    await said(project, "sc1", 1, "approve", note="else fine", by="ben")
    await said(project, "sc1", 1, "note", note="too dark")
    take = await said(project, "sc1", 1, "undo")
    assert [(note.text, note.by) for note in take.notes] == [
        ("six fingers", "ann"),
        ("else fine", "ben"),
    ]
    assert [note.point for note in take.notes] == [PicturePoint(x=0.25, y=1), None]
    assert take.note == "else fine"
    assert (await takes(project, "sc1"))[1].notes == []


@pytest.mark.parametrize(
    "fields",
    [{"action": "pick", "note": None}, {"point": {"x": 1.1, "y": 0}}, {"point": {"x": 1}}],
)
def test_a_point_lies_in_the_picture_and_says_what_of_it(fields: dict[str, Any]) -> None:
    said = {"project": PROJECT, "shot": "sc1", "take": 1, "action": "note", "note": "dark"}
    NewReview.model_validate({**said, "point": {"x": 1, "y": 0}})
    with pytest.raises(ValidationError, match="point"):
        NewReview.model_validate({**said, "point": {"x": 1, "y": 0}, **fields})


async def test_two_who_review_one_take_at_once_are_both_in_its_history(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=2)
    async with asyncio.TaskGroup() as group:
        group.create_task(said(project, "sc1", 1, "pick"))
        group.create_task(said(project, "sc1", 2, "pick"))
        group.create_task(said(project, "sc1", 1, "reject"))
    found = await takes(project, "sc1")
    assert sum(each.is_picked for each in found) <= 1
    assert (found[1].verdict, len(await execute(database_url, "TABLE anime_api.reviews"))) == (
        Verdict.APPROVED,
        3,
    )


@pytest.mark.parametrize(("shot", "take"), [("sc9", 1), ("sc1", 1)])
async def test_what_is_not_there_is_not_reviewed(project: Database, shot: str, take: int) -> None:
    with pytest.raises(NotFound):
        await said(project, shot, take, "pick")


async def test_a_rejected_take_is_rendered_anew_with_another_seed(
    project: Database, database_url: str, redis_url: str
) -> None:
    await rendered(project, database_url, "sc1")
    await said(project, "sc1", 1, "reject")
    async with (
        running_prefect_peer() as prefect,
        open_office(database_url, redis_url, prefect) as office,
    ):
        missing = ShotRender(project=PROJECT, states=[ShotState.MISSING])
        await render_shots(office.service, missing, key="again")
        [run] = prefect.runs.values()
    children = expand(BatchRequest.model_validate(run["parameters"]))
    asked = [(child.request.shot, child.request.seed) for child in children]
    assert asked == [("sc1", 7), ("sc1", 8), ("sc2", None)]


async def test_by_command_takes_are_listed_and_reviewed(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1")
    anime, of_project = Commands({"ANIME_DATABASE_URL": database_url}), ("--project", PROJECT)
    done = await anime.call("review", "reject", "sc1", "1", *of_project, "--reason", "hands")
    assert (done.code, "rejected" in done.out, "hands" in done.out) == (0, True, True)
    [take] = json.loads((await anime.call("takes", "sc1", *of_project, "--json")).out)
    assert (take["verdict"], take["number"]) == ("rejected", 1)
    note = ("--note", "dark", "--point", "0.5,0.25")
    assert (
        "dark (0.5,0.25)"
        in (await anime.call("review", "note", "sc1", "1", *of_project, *note)).out
    )
    nowhere = await anime.call("review", "note", "sc1", "1", *of_project, *note[:3], "0.5")
    assert (nowhere.code, "point" in nowhere.err) == (1, True)
    wrong = await anime.call("review", "pick", "sc1", "1", *of_project, "--reason", "x")
    assert (wrong.code, wrong.out) == (1, "")
    assert "only a rejection has" in wrong.err
    listed = await anime.call("shots", "list", *of_project, "--state", "missing", "--json")
    assert [shot["code"] for shot in json.loads(listed.out)] == ["sc1", "sc2"]


async def test_over_http_takes_are_listed_and_reviewed(
    api: httpx.AsyncClient, database: Database, database_url: str
) -> None:
    listed = {"project": PROJECT, "table": LIST}
    assert (await api.post("/api/anime/shots/import", json=listed)).json()["added"] == 2
    await rendered(database, database_url, "sc2")
    of_shot = {"project": "neon-city", "shot": "sc2"}
    [take] = (await api.get("/api/anime/takes", params=of_shot)).json()["items"]
    picked = await api.post(
        "/api/anime/reviews", json={**of_shot, "take": take["number"], "action": "pick"}
    )
    assert picked.json()["is_picked"] is True
    shots = (await api.get("/api/anime/shots", params={"project": PROJECT})).json()["items"]
    assert [shot["state"] for shot in shots] == ["missing", "stale"]  # of another prompt
    assert (await api.get(f"/api/anime/shots/{shots[0]['id']}")).json() == shots[0]
    nobody = {**of_shot, "take": 9, "action": "pick"}
    assert problem_in(await api.post("/api/anime/reviews", json=nobody), 404)
    assert problem_in(await api.get(f"/api/anime/shots/{uuid4()}"), 404)


async def test_takes_come_in_the_pages_of_their_shots(
    api: httpx.AsyncClient, database: Database, database_url: str
) -> None:
    await import_shots(database, PROJECT, "code,episode\na1,1\na2,1\na10,1\nb1,2\n")
    for code in ("a1", "a2", "a2", "a10", "b1"):
        await rendered(database, database_url, code)
    of_episode = {"project": "neon-city", "episode": "1", "limit": "2"}
    first = (await api.get("/api/anime/takes", params=of_episode)).json()
    assert [(take["shot"], take["number"]) for take in first["items"]] == [
        ("a1", 1),
        ("a2", 1),
        ("a2", 2),
    ]
    shots = (await api.get("/api/anime/shots", params=of_episode)).json()
    assert first["next_cursor"] == shots["next_cursor"] == "a2"
    behind = await api.get("/api/anime/takes", params={**of_episode, "cursor": "a2"})
    assert [take["shot"] for take in behind.json()["items"]] == ["a10"]
    assert behind.json()["next_cursor"] is None
    lost = {"project": "neon-city", "cursor": "z9"}
    assert problem_in(await api.get("/api/anime/takes", params=lost), 422)


@pytest_asyncio.fixture
async def office(project: Database, database_url: str, redis_url: str) -> AsyncIterator[Office]:
    """A job service over the project, with a stand-in for Prefect."""
    reasons = "hands, off model"
    async with (
        running_prefect_peer() as prefect,
        open_office(database_url, redis_url, prefect, rejection_reasons=reasons) as found,
    ):
        yield found


def rejection(**more: Any) -> NewReview:
    fields = {"project": PROJECT, "shot": "sc1", "take": 1, "action": "reject", "by": "ann"}
    return NewReview.model_validate({**fields, "reason": "hands", "retake": True, **more})


async def test_a_rejected_take_is_rendered_anew_if_that_is_asked_for(
    office: Office, database_url: str
) -> None:
    await rendered(office.database, database_url, "sc1")
    take = await review_and_retake(office.service, rejection(prompt="a roof, empty"))
    again = await review_and_retake(office.service, rejection())
    assert take.retake_job_id == again.retake_job_id
    newest, _ = await office.jobs()
    assert (newest.id, newest.prompt) == (take.retake_job_id, "a roof, empty")
    assert newest.seed != 7, "that of the shot is that of its first take"
    [shot, _] = await all_shots(office.database, PROJECT, ShotQuery())
    assert (shot.state, shot.retakes, shot.prompt) == (ShotState.RENDERING, 1, "a roof, empty")
    for _ in (take, again):
        await review_take(office.database, rejection(action="undo", reason=None, retake=False))
    assert [each.verdict for each in await takes(office.database, "sc1")] == [None]


async def test_a_shot_has_so_many_retakes_and_no_more(office: Office, database_url: str) -> None:
    await rendered(office.database, database_url, "sc1", files=4)
    for number in (1, 2, 3):
        await review_and_retake(office.service, rejection(take=number))
    with pytest.raises(InvalidRequest, match="has had 3 retakes"):
        await review_and_retake(office.service, rejection(take=4))
    assert [each.verdict for each in await takes(office.database, "sc1")][3] is None
    await review_and_retake(office.service, rejection(take=4, max_retakes=4))
    assert len(await office.jobs()) == 5


async def test_a_retake_counts_as_the_take_that_a_batch_would_render(
    office: Office, database_url: str
) -> None:
    await rendered(office.database, database_url, "sc1")
    await review_and_retake(office.service, rejection())
    missing = ShotRender(project=PROJECT, codes=["sc1"])
    batch, _ = await batch_of_shots(office.service, missing)
    assert len(batch.requests) == 1, "the retake is the second one"


async def test_a_reason_that_the_studio_does_not_have_is_refused(
    office: Office, database_url: str
) -> None:
    await rendered(office.database, database_url, "sc1")
    with pytest.raises(InvalidRequest, match="none of the studio's") as caught:
        await review_and_retake(office.service, rejection(reason="meh"))
    assert "hands, off model" in caught.value.todo
    await review_and_retake(office.service, rejection(reason="OFF MODEL", retake=False))
    assert [each.reason for each in await takes(office.database, "sc1")] == ["off model"]


async def test_a_shot_without_a_prompt_is_rejected_and_not_retaken(
    office: Office, database_url: str
) -> None:
    await import_shots(office.database, PROJECT, "code,prompt\nsc1,\n")
    await rendered(office.database, database_url, "sc1")
    with pytest.raises(InvalidRequest, match="has no prompt"):
        await review_and_retake(office.service, rejection())
    assert [each.verdict for each in await takes(office.database, "sc1")] == [None]


@pytest.mark.parametrize(
    "fields", [{"action": "pick", "reason": None}, {"retake": False, "prompt": "x"}]
)
def test_only_a_rejection_asks_for_a_retake(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rejection(**fields)


async def test_who_listens_on_redis_hears_of_a_review(
    office: Office, database_url: str, redis_url: str
) -> None:
    await rendered(office.database, database_url, "sc1")
    async with (
        Redis.from_url(redis_url, decode_responses=True) as redis,
        redis.pubsub() as heard,
    ):
        await heard.subscribe(SHOTS_CHANNEL)
        await heard.get_message(timeout=HUNG_SECONDS)
        await review_and_retake(office.service, rejection(action="pick", reason=None, retake=False))
        message = await heard.get_message(timeout=HUNG_SECONDS)
    assert message is not None
    event = ShotEvent.model_validate_json(message["data"])
    assert (event.project, event.code, event.take) == ("neon-city", "sc1", 1)
    assert (event.change, event.state) == (ShotChange.REVIEW, ShotState.APPROVED)


async def test_takes_are_composed_once_for_the_batch_that_renders_them(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[int] = []
    compose_all = Admission.compose_all

    async def count(
        admission: Admission, requests: Sequence[GenerationRequest]
    ) -> list[Composition | None]:
        composed.append(len(requests))
        return await compose_all(admission, requests)

    monkeypatch.setattr(Admission, "compose_all", count)
    await render_shots(office.service, ShotRender(project=PROJECT, codes=["sc1"], takes=4), key="k")
    assert composed == [1, 4]  # what is rendered already is of the shot as it is now, and the takes


async def test_who_listens_hears_of_a_job_that_waits_and_is_cancelled(
    office: Office, redis_url: str
) -> None:
    asked = GenerationRequest(prompt="a roof", project=PROJECT, shot="sc1")
    async with (
        Redis.from_url(redis_url, decode_responses=True) as redis,
        redis.pubsub() as heard,
    ):
        await heard.subscribe(SHOTS_CHANNEL)
        await heard.get_message(timeout=HUNG_SECONDS)
        job = await office.service.admit(asked)
        await office.service.cancel(job.id)
        messages = [await heard.get_message(timeout=HUNG_SECONDS) for _ in range(2)]
    events = [ShotEvent.model_validate_json(each["data"]) for each in messages if each]
    assert [(each.change, each.state, each.job_id) for each in events] == [
        (ShotChange.JOB, ShotState.RENDERING, job.id),
        (ShotChange.JOB, ShotState.MISSING, job.id),
    ]


async def test_what_was_rejected_before_the_shot_was_changed_is_not_made_up_for(
    office: Office, database_url: str
) -> None:
    await rendered(office.database, database_url, "sc2", prompt="a door", files=1)
    await review_and_retake(office.service, rejection(shot="sc2", retake=False))
    asked = ShotRender(project=PROJECT, codes=["sc2"])
    batch, _ = await batch_of_shots(office.service, asked)
    assert len(batch.requests) == 2, "the first one is the rejected one"
    await import_shots(office.database, PROJECT, "code,prompt\nsc2,a window\n")
    batch, _ = await batch_of_shots(office.service, asked)
    assert [each.prompt for each in batch.requests] == ["a window"]


async def test_a_retake_whose_rejection_was_undone_leaves_the_shot_with_its_takes(
    office: Office, database_url: str
) -> None:
    await rendered(office.database, database_url, "sc1")
    await review_and_retake(office.service, rejection())
    await review_take(office.database, rejection(action="undo", reason=None, retake=False))
    batch, _ = await batch_of_shots(office.service, ShotRender(project=PROJECT, codes=["sc1"]))
    assert len(batch.requests) == 1


async def test_undoing_an_earlier_pick_leaves_the_take_that_was_picked_since(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=3)
    for number in (1, 2, 3):
        await said(project, "sc1", number, "pick")
    await said(project, "sc1", 2, "undo")
    found = await takes(project, "sc1")
    assert [(each.verdict, each.is_picked) for each in found] == [
        (Verdict.APPROVED, False),
        (None, False),
        (Verdict.APPROVED, True),
    ]


async def test_undoing_a_pick_leaves_what_was_said_of_others_since(
    project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=2)
    await said(project, "sc1", 1, "pick")
    await said(project, "sc1", 2, "pick")
    await said(project, "sc1", 1, "reject", reason="hands")
    await said(project, "sc1", 2, "undo")
    found = await takes(project, "sc1")
    assert [(each.verdict, each.is_picked) for each in found] == [
        (Verdict.REJECTED, False),
        (None, False),
    ]


async def test_takes_get_their_numbers_while_a_list_changes_their_shots(
    project: Database, database_url: str
) -> None:
    shots = await all_shots(project, PROJECT, ShotQuery())
    first, second = sorted(shots, key=lambda shot: shot.id)
    for shot in shots:
        await rendered(project, database_url, shot.code)
    table = "code,notes\n" + "".join(f"{each.code},wet\n" for each in (second, first))

    async with asyncio.TaskGroup() as group, project.session_scope() as session:
        held = "SELECT 1 FROM anime_api.shots WHERE id = :id FOR UPDATE"
        await session.execute(text(held), {"id": second.id})
        group.create_task(import_shots(project, PROJECT, table))
        await until_waiting(database_url, 1)
        group.create_task(takes(project))
        await until_waiting(database_url, 2)
    assert [each.number for each in await takes(project)] == [1, 1]
