"""`anime batch`: from a file to a run, and from its end to paths."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from anime.cli.batch_file import load_batch
from anime.core.batches import BatchRequest, expand
from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.db.repositories import FileRepository, JobRepository
from anime.db.session import Database
from anime.errors import InvalidRequest
from anime.progress.publisher import ProgressPublisher
from anime.progress.updates import subscribe_updates
from anime.schemas import ProgressEvent
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer
from tests.integration.test_cli_commands import Commands, ended, file_of
from tests.support.embedded import embedded_valkey
from tests.support.waiting import HUNG_SECONDS

BATCH = """
name: rooftops
prompts:
  - dusk over the city
  - dawn over the city
seeds: [7]
"""


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest.fixture
def studio(peer: PrefectPeer, database_url: str) -> Commands:
    """The commands of a studio with no Redis."""
    return Commands(
        {
            "ANIME_DATABASE_URL": database_url,
            "PREFECT_API_URL": peer.url,
            "PREFECT_API_AUTH_STRING": AUTH,
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rooftops.yaml"
    path.write_text(BATCH)
    return path


def job_ids(file: Path) -> list[UUID]:
    return [child.job_id(1) for child in expand(load_batch(file))]


async def play(batch: BatchRequest, database: Database, *, failing: int | None = None) -> None:
    """Do to the jobs of a batch what its run does to them."""
    for child in expand(batch):
        job_id = child.job_id(1)
        async with database.session_scope() as session:
            jobs = JobRepository(session)
            await jobs.create(job_id, child.request, workflow="txt2img", seed=7)
            lease = await jobs.lease(job_id, uuid4(), seconds=60)
            assert lease is not None
            if child.number == failing:
                await jobs.fail(lease, FailureKind.NODE_ERROR, "The sampler raised.")
            else:
                path = Path(f"/library/{child.number}.png")
                await FileRepository(session).record([file_of(job_id, path)])
                await jobs.complete(lease, output_path=str(path))


async def test_it_prints_the_files_in_order_and_says_what_ends_meanwhile(
    studio: Commands, peer: PrefectPeer, database: Database, file: Path
) -> None:
    process = await studio.start("batch", str(file))
    await asyncio.wait_for(peer.run_made.wait(), HUNG_SECONDS)
    await play(load_batch(file), database)
    peer.run_state = "COMPLETED"
    done = await ended(process)
    assert (done.code, done.out) == (0, "/library/1.png\n/library/2.png\n"), done.err
    assert "2 of 2  completed" in done.err
    [run] = peer.runs.values()
    assert run["work_queue_name"] == "batch"
    assert run["parameters"] == {
        "name": "rooftops",
        "prompts": ["dusk over the city", "dawn over the city"],
        "seeds": [7],
    }


async def test_what_failed_is_told_and_the_exit_code_says_so(
    studio: Commands, peer: PrefectPeer, database: Database, file: Path
) -> None:
    process = await studio.start("batch", str(file), "--json")
    await asyncio.wait_for(peer.run_made.wait(), HUNG_SECONDS)
    await play(load_batch(file), database, failing=2)
    peer.run_state = "FAILED"
    done = await ended(process)
    assert done.code == 1
    assert "Of 2: 1 completed, 1 failed." in done.err
    assert "dawn over the city: The sampler raised." in done.err
    result = json.loads(done.out)
    assert [job["status"] for job in result["jobs"]] == ["completed", "failed"]
    assert [found["file_path"] for found in result["files"]] == ["/library/1.png"]


async def test_a_run_that_ends_before_it_begins_all_is_no_success(
    studio: Commands, peer: PrefectPeer, database: Database, file: Path
) -> None:
    await play(load_batch(file), database, failing=2)  # by an earlier run: a new try is due
    peer.run_state = "CRASHED"
    done = await studio.call("batch", str(file))
    assert done.code == 1
    assert "The run is crashed" in done.err
    assert "Of 2: 1 completed, 1 not begun." in done.err


async def test_without_waiting_it_prints_the_run(
    studio: Commands, peer: PrefectPeer, file: Path
) -> None:
    done = await studio.call("batch", str(file), "--no-wait")
    [run] = peer.runs.values()
    assert (done.code, done.out) == (0, f"{run['id']}\n"), done.err


async def test_nothing_is_begun_for_a_workflow_that_does_not_exist(
    studio: Commands, peer: PrefectPeer, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("prompts: [a]\ncommon: {workflow: txt2imgg}\n")
    done = await studio.call("batch", str(file))
    assert done.code == 1
    assert 'Did you mean "txt2img"?' in done.err
    assert peer.runs == {}


async def test_of_many_requests_that_cannot_be_rendered_one_is_named_and_the_rest_counted(
    studio: Commands, peer: PrefectPeer, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.yaml"
    wrong = "- {prompt: a fox, workflow: txt2imgg}\n- {prompt: a hen, inputs: {fur: 1}}\n"
    file.write_text("requests:\n" + f"- prompt: rain\n{wrong}" * 30)
    done = await studio.call("batch", str(file))
    assert (done.code, peer.runs) == (1, {})
    assert 'a fox: There is no workflow "txt2imgg" in ' in done.err
    assert ". 59 more cannot be rendered either.\n" in done.err


def test_a_batch_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "night-market.yaml"
    file.write_text("prompts: [a]\n")
    assert load_batch(file).name == "night-market"


def test_json_is_read_as_programs_write_it(tmp_path: Path) -> None:
    file = tmp_path / "yoshinoya.json"
    fields = {"prompts": ["𠮷野家の夜"], "common": {"cfg": 1e16, "model": "a/b.safetensors"}}
    file.write_text(json.dumps(fields).replace("/", "\\/"))  # as PHP does
    assert "\\ud842" in file.read_text(), "of two halves, which YAML takes for two characters"
    with pytest.raises(InvalidRequest, match=r"yoshinoya.json: .*cfg"):
        load_batch(file)
    fields["common"] = {"cfg": 2.5, "model": "a/b.safetensors"}
    file.write_text(json.dumps(fields).replace("/", "\\/"))
    assert load_batch(file) == BatchRequest.model_validate({"name": "yoshinoya", **fields})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompts:\n  - a\n  - ''\n", r"b.yaml line 3: prompts.1: is empty"),
        ("prompts: [a]\nseed: [1]\n", r"b.yaml line 2: seed: is not known"),
        ('{"prompts": ["a"],\n "seed": [1]}\n', r"b.yaml line 2: seed: is not known"),
        (
            "requests:\n  - prompt: a\n  - prompt: b\n    steps: 0\n",
            r"b.yaml line 4: requests.1.steps: input should be greater than or equal to 1",
        ),
        ("requests:\n  - seed: 3\n", r"b.yaml line 2: requests.0.prompt: is missing"),
        ("name: x\n", r"b.yaml line 1: the request: has nothing to render"),
        ("prompts: [a\n", r"b.yaml is no YAML: .*line 2"),
        ("- a\n- b\n", r"b.yaml holds no batch"),
        ("", r"b.yaml holds no batch"),
    ],
)
def test_a_fault_in_the_file_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        load_batch(file)


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("- {prompt: a, seed: abc}", "b.yaml line 2: requests.0.seed: input should"),
        ("- {prompt: a, sead: 1}", "b.yaml line 2: requests.0.sead: is not known."),
        ("- {prompt: a, seed: 1, seed: 1}", "b.yaml line 2: requests.0.seed is in line"),
    ],
)
def test_of_a_thousand_faults_the_first_are_named_and_the_rest_counted(
    tmp_path: Path, line: str, first: str
) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("requests:\n" + f"{line}\n- {{prompt: b}}\n" * 1000)
    with pytest.raises(InvalidRequest) as refused:
        load_batch(file)
    assert refused.value.what.startswith(first)
    assert refused.value.what.endswith(" And 980 more.")
    assert refused.value.what.count("b.yaml line") == 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompts: [a]\nname: x\nprompts: [b]\n", "line 3: prompts is in line 1 already."),
        ("prompts: [a]\n'prompts': [b]\n", "line 2: prompts is in line 1 already."),
        (
            "prompts: [a]\ncommon:\n  inputs:\n    frames: 8\n    frames: 16\n",
            "line 5: common.inputs.frames is in line 4 already.",
        ),
        (
            "requests:\n  - prompt: a\n  - prompt: b\n    prompt: c\n",
            "line 4: requests.1.prompt is in line 3 already.",
        ),
        (
            "common: &all {steps: 4, steps: 5}\nrequests:\n  - <<: *all\n    prompt: a\n",
            "line 1: common.steps is in line 1 already.",
        ),
        ('{"prompts": ["a"],\n "prompts": ["b"]}\n', "line 2: prompts is in line 1 already."),
        (
            "prompts: [a]\nprompts: [b]\ntakes: 1\ntakes: 2\n",
            "line 2: prompts is in line 1 already. b.yaml line 4: takes is in line 3 already.",
        ),
    ],
)
def test_a_key_that_comes_twice_is_refused_with_both_lines(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(text)
    with pytest.raises(InvalidRequest) as refused:
        load_batch(file)
    assert refused.value.what == f"b.yaml {said}"


def test_merged_keys_may_be_given_again(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(
        "common: &all {steps: 4}\n"
        "requests:\n"
        "  - &one {<<: *all, prompt: a, steps: 5}\n"
        "  - {<<: *one, prompt: b}\n"
        "  - {<<: [*one, *all], <<: *all, steps: 6}\n"
    )
    asked = [(each.prompt, each.steps) for each in load_batch(file).requests]
    assert asked == [("a", 5), ("b", 5), ("a", 6)]


def test_a_file_that_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        load_batch(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="is not UTF-8"):
        load_batch(tmp_path / "binary.yaml")


async def test_updates_of_every_job_come_on_one_connection(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with (
        embedded_valkey(tmp_path_factory.mktemp("valkey")) as url,
        ProgressPublisher(url) as publisher,
        asyncio.timeout(HUNG_SECONDS),
    ):
        ids = [uuid4(), uuid4()]
        heard: list[UUID] = []

        async def listen() -> None:
            async for event in subscribe_updates(url):
                heard.append(event.job_id)
                if set(heard) == set(ids):
                    return

        listener = asyncio.create_task(listen())
        while not listener.done():  # what is published before it listens is not told
            for job_id in ids:
                await publisher.publish(_event(job_id))
            await asyncio.wait([listener], timeout=0.05)
    assert set(heard) == set(ids)


def _event(job_id: UUID) -> ProgressEvent:
    return ProgressEvent(
        job_id=job_id,
        status=JobStatus.PROCESSING,
        stage=Stage.RENDERING,
        progress=10,
        message="step 2 of 20",
        timestamp=datetime.now(UTC),
    )
