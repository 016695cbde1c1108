"""Shot lists on a real database: imported, changed, shown, exported, rendered."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from anime.assets.shot_lists import rows_of_list
from anime.core.batches import BatchRequest, expand
from anime.core.catalogue import NewCharacter
from anime.core.servers import ServerFingerprint
from anime.core.shot_list import decode_table, write_shot_list
from anime.core.shots import (
    GivenList,
    ImportedShots,
    ListFormat,
    ShotChange,
    ShotEvent,
    ShotRecord,
    ShotState,
)
from anime.db.repositories import (
    CharacterRepository,
    JobRepository,
    ProjectRepository,
    ServerRepository,
    ShotQuery,
    ShotRepository,
)
from anime.db.session import Database
from anime.errors import InvalidRequest, NotFound
from anime.jobs.shots import (
    ShotRender,
    all_shots,
    import_shots,
    plan_of_import,
    render_shots,
)
from anime.progress.keys import SHOTS_CHANNEL
from anime.schemas import GenerationRequest
from tests.integration.job_service import Office, open_office
from tests.integration.old_client import execute
from tests.integration.prefect_peer import PrefectPeer, running_prefect_peer
from tests.integration.test_cli_commands import Commands
from tests.support.waiting import HUNG_SECONDS

ALL = ShotQuery()
YAML = ListFormat.YAML
PROJECT = "Neon City"
LIST = """\
code,episode,scene,description,characters,prompt,frames,seed
sc10,1,2,Ken runs,Ken,"Ken runs,
in the rain",,18446744073709551615
sc2,1,2,Mei waits,"Mei, Ken",Mei on a roof,,
sc1,2,,An empty street,,,48,
"""


async def imported(database: Database, table: str = LIST, **columns: str) -> ImportedShots:
    return await import_shots(database, PROJECT, table, columns)


async def shots_of(database: Database, **query: str) -> list[ShotRecord]:
    return await all_shots(database, PROJECT, ShotQuery.model_validate(query))


def counts(done: ImportedShots) -> tuple[int, int, int]:
    return done.added, done.changed, done.unchanged


async def test_a_list_becomes_shots_in_the_order_in_which_people_count(database: Database) -> None:
    assert counts(await imported(database)) == (3, 0, 0)
    found = await shots_of(database)
    assert [shot.code for shot in found] == ["sc2", "sc10", "sc1"]
    assert found[0].characters == ["Mei", "Ken"]
    assert (found[1].prompt, found[1].seed) == ("Ken runs,\nin the rain", 2**64 - 1)
    assert (found[2].frames, found[2].prompt) == (48, None)
    assert all((shot.takes, shot.under_way, shot.failed) == (0, 0, 0) for shot in found)


async def test_the_same_list_again_changes_nothing(database: Database) -> None:
    await imported(database)
    before = await shots_of(database)
    assert counts(await imported(database)) == (0, 0, 3)
    assert await shots_of(database) == before


async def test_a_list_changes_what_it_speaks_of_and_deletes_nothing(database: Database) -> None:
    await imported(database)
    assert counts(await imported(database, "Shot,Prompt,Seconds\nSC1,a street,2.5\n")) == (0, 1, 0)
    changed = {shot.code: shot for shot in await shots_of(database)}
    assert changed.keys() == {"sc1", "sc2", "sc10"}
    assert (changed["sc1"].prompt, changed["sc1"].description) == ("a street", "An empty street")
    assert (changed["sc1"].seconds, changed["sc1"].frames) == (2.5, None)


async def test_a_shot_that_moves_to_another_scene_moves_in_the_order(database: Database) -> None:
    await imported(database)
    await imported(database, "code,scene\nsc2,10\n")
    assert [shot.code for shot in await shots_of(database, episode="1")] == ["sc10", "sc2"]


async def test_one_fault_and_nothing_is_imported(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="Row 3, width"):
        await imported(database, "code,width\na,512\nb,500\n")
    with pytest.raises(NotFound):
        await shots_of(database)


async def test_a_trial_says_what_would_change_and_changes_nothing(database: Database) -> None:
    tried = await import_shots(database, PROJECT, LIST, only_tries=True)
    assert counts(tried) == (3, 0, 0)
    with pytest.raises(NotFound):
        await shots_of(database)


async def test_a_column_that_was_said_to_be_nothing_is_not_told_of(database: Database) -> None:
    table = "code,Editor,Colour\nsc1,Mei,red\n"
    assert (await imported(database, table)).ignored == ["Editor", "Colour"]
    assert (await imported(database, table, Editor="")).ignored == ["Colour"]
    assert (await imported(database, table)).ignored == ["Colour"]


async def test_what_a_column_is_is_kept_for_the_next_list(database: Database) -> None:
    first = await imported(database, "Cut ID,Text\n7,a roof\n", **{"Cut ID": "code"})
    assert (first.columns, first.ignored) == ({"Cut ID": "code"}, ["Text"])
    again = await imported(database, "Cut ID,Text\n7,a roof\n8,a door\n", Text="prompt")
    assert again.columns == {"Cut ID": "code", "Text": "prompt"}
    assert counts(await imported(database, "Cut ID,Text\n9,a hall\n")) == (1, 0, 0)
    assert counts(await imported(database, "code\n10\n")) == (1, 0, 0)


async def test_an_exported_list_changes_nothing_when_it_is_imported(database: Database) -> None:
    await imported(database)
    exported = decode_table(write_shot_list(await shots_of(database)))
    assert counts(await imported(database, exported)) == (0, 0, 3)


async def test_pages_go_on_behind_the_last_shot(database: Database) -> None:
    await imported(database, "code\n" + "".join(f"c{n}\n" for n in range(1, 26)))
    async with database.session_scope() as session:
        project = await ProjectRepository(session).get(PROJECT)
        repository = ShotRepository(session)
        seen: list[str] = []
        after = None
        while True:
            page, after = await repository.page(project.id, ALL, limit=10, after=after)
            seen += [shot.code for shot in page]
            if after is None:
                break
        assert seen == [f"c{n}" for n in range(1, 26)]
        with pytest.raises(InvalidRequest, match="cursor"):
            await repository.page(project.id, ALL, limit=1, after="c99")


async def test_shots_are_found_by_episode_scene_and_status(database: Database) -> None:
    await imported(database, "code,episode,scene,status\na,1,2,Hold\nb,01,3,ok\nc,11,2,ok\n")
    assert [shot.code for shot in await shots_of(database, episode="1")] == ["a", "b"]
    assert [shot.code for shot in await shots_of(database, scene="2")] == ["a", "c"]
    assert [shot.code for shot in await shots_of(database, status="hold")] == ["a"]


async def test_how_far_the_takes_are_stands_with_each_shot(
    database: Database, database_url: str
) -> None:
    await imported(database)
    async with database.session_scope() as session:
        for shot in ("sc1", "sc1", "sc2"):
            request = GenerationRequest(prompt="a street", project=PROJECT, shot=shot)
            await JobRepository(session).create(uuid4(), request, workflow="txt2img", seed=1)
    await execute(
        database_url,
        "UPDATE anime_api.production_jobs SET status = 'completed', finished_at = now()"
        " WHERE id = (SELECT id FROM anime_api.production_jobs WHERE shot = 'sc1' LIMIT 1)",
    )
    found = {shot.code: (shot.takes, shot.under_way) for shot in await shots_of(database)}
    assert found == {"sc1": (1, 1), "sc2": (0, 1), "sc10": (0, 0)}


async def test_a_thousand_shots_are_imported_within_seconds(database: Database) -> None:
    rows = "".join(f"s{n},{n % 12},a prompt of shot {n},512\n" for n in range(1_000))
    begun = time.process_time()
    assert counts(await imported(database, f"code,episode,prompt,width\n{rows}")) == (1_000, 0, 0)
    assert time.process_time() - begun < 3


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest_asyncio.fixture
async def office(database_url: str, redis_url: str, prefect: PrefectPeer) -> AsyncIterator[Office]:
    async with open_office(database_url, redis_url, prefect) as office:
        yield office


def asked(**fields: object) -> ShotRender:
    return ShotRender.model_validate({"project": PROJECT, **fields})


def batch_of(prefect: PrefectPeer, run: UUID) -> BatchRequest:
    [asked] = [each for each in prefect.runs.values() if each["id"] == str(run)]
    return BatchRequest.model_validate(asked["parameters"])


async def test_who_watches_is_told_of_what_a_list_adds_or_changes(
    office: Office, redis_url: str
) -> None:
    service = office.service
    async with (
        Redis.from_url(redis_url, decode_responses=True) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as heard,
    ):
        await heard.subscribe(SHOTS_CHANNEL)
        await import_shots(office.database, PROJECT, LIST, only_tries=True, service=service)
        await import_shots(office.database, PROJECT, LIST, service=service)
        await import_shots(office.database, PROJECT, LIST, service=service)
        changed = "code,prompt\nsc2,Mei on a bridge\n"
        await import_shots(office.database, PROJECT, changed, service=service)
        async with asyncio.timeout(HUNG_SECONDS):
            told: list[ShotEvent] = []
            while len(told) < 4:
                if message := await heard.get_message(timeout=1):
                    told.append(ShotEvent.model_validate_json(message["data"]))
    assert [each.code for each in told] == ["sc2", "sc10", "sc1", "sc2"]
    assert {(each.change, each.state) for each in told} == {(ShotChange.LIST, ShotState.MISSING)}


async def test_shots_are_rendered_as_one_batch_that_repeats_nothing(
    office: Office, prefect: PrefectPeer
) -> None:
    await import_shots(office.database, PROJECT, LIST.replace(",48,", ",,"))
    done = await render_shots(office.service, asked(takes=2), key="first")
    assert (done.shots, done.without_prompt) == (2, ["sc1"])
    first = expand(batch_of(prefect, done.flow_run_id))
    assert [child.request.shot for child in first] == ["sc2", "sc2", "sc10", "sc10"]
    assert len({child.key for child in first}) == 4

    await import_shots(office.database, PROJECT, "code,prompt\nsc2,Mei on a bridge\n")
    again = await render_shots(office.service, asked(takes=2), key="again")
    second = expand(batch_of(prefect, again.flow_run_id))
    kept = {child.key for child in first} & {child.key for child in second}
    assert {child.request.shot for child in second if child.key in kept} == {"sc10"}


async def test_only_the_named_shots_are_rendered(office: Office, prefect: PrefectPeer) -> None:
    await import_shots(office.database, PROJECT, LIST)
    done = await render_shots(office.service, asked(codes=["SC2"]), key="one")
    [child] = expand(batch_of(prefect, done.flow_run_id))
    assert (child.request.shot, child.request.project) == ("sc2", "neon-city")
    with pytest.raises(NotFound, match="sc99"):
        await render_shots(office.service, asked(codes=["sc99"]), key="none")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("code\nsc1\n", "None of 1 shots"),
        ("code,prompt,workflow\nsc1,a,nowhere\nsc2,b,nowhere\n", "Shot sc1 and 1 more: "),
        ("code,prompt,frames\nsc1,a roof,48\n", "Shot sc1: "),
    ],
)
async def test_what_no_workflow_can_render_is_said_before_anything_is(
    office: Office, prefect: PrefectPeer, table: str, said: str
) -> None:
    await import_shots(office.database, PROJECT, table)
    with pytest.raises(InvalidRequest, match=said):
        await render_shots(office.service, asked(), key="any")
    assert prefect.runs == {}


async def test_by_command_a_list_is_imported_listed_and_exported(
    database_url: str, tmp_path: Path
) -> None:
    anime = Commands({"ANIME_DATABASE_URL": database_url})
    path, project = tmp_path / "shots.csv", ("--project", PROJECT)
    path.write_bytes(
        "カット番号,プロンプト,キャラ,Editor\nc10,夜の屋上,芽衣、健,健\nc2,雨,,健\n".encode("cp932")
    )
    tried = await anime.call("shots", "import", str(path), *project, "--dry-run")
    assert (tried.code, tried.out) == (0, "2 would be added, 0 would be changed, 0 unchanged.\n")
    assert "カット番号 → code" in tried.err
    assert "Ignored: Editor" in tried.err
    done = await anime.call("shots", "import", str(path), *project)
    assert done.out == "2 added, 0 changed, 0 unchanged.\n"
    listed = json.loads((await anime.call("shots", "list", *project, "--json")).out)
    assert [shot["code"] for shot in listed] == ["c2", "c10"]
    shown = await anime.call("shots", "show", "C10", *project)
    assert "夜の屋上" in shown.out
    assert "芽衣, 健 " in shown.out
    gone = await anime.call("shots", "show", "c99", *project)
    assert (gone.code, gone.out) == (1, "")
    assert "c99" in gone.err


async def test_more_takes_than_a_batch_may_have_are_refused(
    office: Office, prefect: PrefectPeer
) -> None:
    rows = "".join(f"c{number},a roof\n" for number in range(101))
    await import_shots(office.database, PROJECT, f"code,prompt\n{rows}")
    with pytest.raises(InvalidRequest, match="101 shots ask for 10,100 takes"):
        await render_shots(office.service, asked(takes=100), key="many")
    assert prefect.runs == {}


async def test_rows_that_could_not_be_rendered_are_named_when_a_list_is_imported(
    office: Office,
) -> None:
    async with office.database.session_scope() as session:
        servers = ServerRepository(session)
        await servers.add("http://gpu-a:8188", name="gpu-a", labels=())
        offers = {"checkpoints": ["ink.safetensors"]}
        await servers.describe("http://gpu-a:8188", ServerFingerprint(version="1"), offers)
        await CharacterRepository(session).create(NewCharacter(name="Mei"), None)
    table = (
        "code,prompt,workflow,model,characters\n"
        "sc1,a roof,,ink.safetensors,mei\nsc2,a door,no-such,,\nsc3,a hall,no-such,,Ken\n"
        "sc4,a path,,lost.safetensors,\nsc5,,,,Ken\n"
    )
    done = await import_shots(
        office.database, PROJECT, table, only_tries=True, service=office.service
    )
    assert done.added == 5
    workflow, model, character = done.faults
    assert workflow.startswith('Row 3 and 1 more: There is no workflow "no-such"')
    assert model == "Row 5: no server has the model 'lost.safetensors'."
    assert character == "Row 4 and 1 more: there is no character 'Ken'."
    await import_shots(office.database, PROJECT, table)
    with pytest.raises(InvalidRequest) as caught:
        await render_shots(office.service, asked(), key="any")
    assert "Shot sc2 and 1 more" in caught.value.what
    assert "Shot sc4: no server has the model" in caught.value.what


async def test_shots_go_to_an_editing_program_and_come_back_unchanged(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await imported(database)
    anime = Commands({"ANIME_DATABASE_URL": database_url, "ANIME_HOME": str(tmp_path)})
    project, cut = ("--project", PROJECT), str(tmp_path / "cut.otio")
    done = await anime.call("shots", "export", *project, "--output", cut)
    assert (done.code, done.out) == (0, f"{cut}\n")
    again = await anime.call("shots", "import", cut, *project)
    assert again.out == "0 added, 0 changed, 3 unchanged.\n"
    sheet = await anime.call("shots", "export", *project, "--output", str(tmp_path / "a.pdf"))
    assert Path(sheet.out.strip()).read_bytes().startswith(b"%PDF")
    book = await anime.call("shots", "export", *project, "--output", str(tmp_path / "a.xlsx"))
    assert (book.code, ".csv" in book.err, (tmp_path / "a.xlsx").exists()) == (1, True, False)
    taken = await anime.call("shots", "export", *project, "--output", cut)
    assert (taken.code, "is there already" in taken.err) == (1, True)


async def test_a_yaml_list_leaves_what_a_shot_does_not_say(database: Database) -> None:
    await imported(database)
    rows = rows_of_list(b"- {code: sc10, notes: night}\n- {code: sc2, frames: 12}\n", YAML)
    done = await import_shots(database, PROJECT, rows)
    assert counts(done) == (0, 2, 0)
    found = {shot.code: shot for shot in await shots_of(database)}
    assert (found["sc10"].notes, found["sc10"].prompt) == ("night", "Ken runs,\nin the rain")
    assert (found["sc2"].frames, found["sc2"].notes) == (12, "")


async def plan(api: httpx.AsyncClient, table: str, **more: object) -> dict[str, Any]:
    body = {"project": PROJECT, "table": table, **more}
    answer = await api.post("/api/anime/shots/import/plan", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def column_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(fault["column"], fault["message"]) for fault in row["faults"]]


async def test_a_plan_says_of_each_row_what_becomes_of_it(
    api: httpx.AsyncClient, database: Database
) -> None:
    await imported(database, "code,prompt\nsc1,a roof\nsc2,a door\n")
    table = (
        "Cut,Prompt,Characters,Width,Editor\nSC1,a roof,,,\nsc2,a gate,,,\n"
        "sc3,a hall,Nobody,,\nsc4,x,,500,\nSC4,y,,,\n"
    )
    found = await plan(api, table)
    assert found["columns"] == {
        "Cut": "code",
        "Prompt": "prompt",
        "Characters": "characters",
        "Width": "width",
        "Editor": "",
    }
    assert [found[name] for name in ("added", "changed", "unchanged", "faulty")] == [1, 1, 1, 2]
    rows = {row["number"]: row for row in found["rows"]}
    assert [row["number"] for row in found["rows"]] == [4, 5, 6, 2, 3]
    assert {number: row["change"] for number, row in rows.items()} == {
        2: "unchanged",
        3: "changed",
        4: "added",
        5: None,
        6: None,
    }
    assert rows[5]["cells"] == {"code": "sc4", "prompt": "x", "width": "500"}
    assert [column for column, _ in column_of(rows[5])] == ["width"]
    assert column_of(rows[6]) == [("code", "is that of row 5 already")]
    assert rows[4]["warnings"] == ["there is no character 'Nobody'."]
    assert [shot.prompt for shot in await shots_of(database)] == ["a roof", "a door"]


async def test_a_plan_of_a_new_project_makes_none(
    api: httpx.AsyncClient, database: Database
) -> None:
    assert (await plan(api, "code\nsc1\n"))["added"] == 1
    with pytest.raises(NotFound):
        await shots_of(database)


@pytest.mark.parametrize(
    ("table", "more", "problem", "columns"),
    [
        ("", {}, "empty", {}),
        ("Take,Prompt\n1,a roof\n", {}, "No column", {"Take": "", "Prompt": "prompt"}),
        ("code,shot\n1,2\n", {}, "are both the code", {"code": "code", "shot": "code"}),
        ("- code: 1\n  code: 2\n", {"format": "yaml"}, "", {}),
        ("no base64!", {"format": "xlsx"}, "is not base64", {}),
    ],
)
async def test_what_is_no_list_is_said_in_its_plan(
    api: httpx.AsyncClient, table: str, more: dict[str, str], problem: str, columns: dict[str, str]
) -> None:
    found = await plan(api, table, **more)
    assert problem in found["problem"]
    assert bool(found["problem"]) is bool(problem) is bool(found["todo"])
    assert found["columns"] == columns
    if not problem:
        assert [row["unit"] for row in found["rows"]] == ["Line"]
        assert column_of(found["rows"][0]) == [("code", "is there twice")]


async def test_what_a_column_is_can_be_said_for_a_plan(api: httpx.AsyncClient) -> None:
    found = await plan(api, "Take,Prompt\n1,a roof\n", columns={"Take": "code", "Prompt": ""})
    assert (found["columns"], found["added"]) == ({"Take": "code", "Prompt": ""}, 1)


async def test_a_list_may_be_longer_than_other_bodies(api: httpx.AsyncClient) -> None:
    long = "code,description\n" + "".join(f"c{n},{'x' * 9_000}\n" for n in range(200))
    assert (await plan(api, long))["added"] == 200
    body = {"project": PROJECT, "name": "x" * 2**21}
    assert (await api.post("/api/anime/projects", json=body)).status_code == 413


async def test_a_list_is_imported_and_checked_with_one_connection(
    office: Office, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.db.session.POOL_TIMEOUT_SECONDS", 0.1)
    async with Database(database_url, pool_size=1) as database:
        admission = replace(office.service.admission, database=database)
        service = replace(office.service, database=database, admission=admission)
        given = GivenList(project=PROJECT, table=LIST)
        rows = rows_of_list(LIST.encode(), ListFormat.CSV)
        plan = await plan_of_import(admission, database, given, rows)
        done = await import_shots(database, PROJECT, LIST, service=service)
    assert (plan.added, done.added) == (3, 3)
