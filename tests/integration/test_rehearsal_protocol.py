"""What the rehearsal server says while a prompt runs is what ComfyUI 0.3.64 says."""

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from anime.rehearsal.config import Profile
from anime.rehearsal.fault_injector import FaultInjector
from anime.rehearsal.faults import Faults
from tests.integration.rehearsal_peer import (
    Peer,
    modelless,
    opened,
    txt2img,
)
from tests.support.waiting import HUNG_SECONDS

REHEARSAL = {"profile": Profile.V0_3_64}


async def test_a_modelless_prompt_tells_its_client_what_comfyui_tells(peer: Peer) -> None:
    entry = await peer.run(modelless(), prompt_id="mine")
    assert peer.told() == [
        "status",
        "status",
        "execution_start",
        "execution_cached",
        "progress_state",
        "executing 1",
        "progress_state",
        "progress_state",
        "executing 2",
        "executed",
        "progress_state",
        "execution_success",
        "status",
        "executing None",
    ]
    file = {"filename": "x_00001_.png", "subfolder": "plain", "type": "output"}
    assert entry["outputs"] == {"2": {"images": [file]}}
    assert entry["prompt"][1:] == ["mine", modelless(), {"client_id": "me"}, ["2"]]
    assert entry["status"]["status_str"] == "success"
    kinds = [kind for kind, _about in entry["status"]["messages"]]
    assert kinds == ["execution_start", "execution_cached", "execution_success"]
    assert entry["meta"]["2"]["real_node_id"] == "2"


async def test_a_sampler_tells_each_step_twice(peer: Peer) -> None:
    await peer.run(txt2img())
    assert [told for told in peer.told() if told.startswith("executing")] == [
        f"executing {node_id}" for node_id in ("4", "5", "7", "6", "3", "8", "9", None)
    ]
    steps = [message for message in peer.seen if message["type"] == "progress"]
    assert [message["data"]["value"] for message in steps] == [1, 2, 3]
    first = peer.seen.index(steps[0])
    assert peer.seen[first - 1]["data"]["nodes"]["3"]["value"] == 1
    assert peer.seen[first - 1]["data"]["nodes"]["3"]["max"] == 3


async def test_another_prompt_in_between_or_freed_memory_makes_it_run_again(peer: Peer) -> None:
    await peer.run(modelless())
    await peer.run(modelless(color=2))
    await peer.run(modelless())
    await peer.http.post("/free", json={"free_memory": True})
    last = await peer.run(modelless())
    assert last["outputs"]["2"]["images"][0]["filename"] == "x_00004_.png"


async def test_another_prefix_saves_again_without_sampling_again(peer: Peer) -> None:
    await peer.run(txt2img("art/x"))
    await peer.run(txt2img("art/y"))
    assert [told for told in peer.told() if told.startswith("executing")] == [
        "executing 9",
        "executing None",
    ]


async def test_an_interrupt_acts_at_the_next_step_and_only_on_the_prompt_meant(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:
        running = await peer.submit(txt2img(steps=10_000))
        waiting = await peer.submit(modelless())
        await peer.until("progress")
        for meant in (waiting, "unknown"):
            answer = await peer.http.post("/interrupt", json={"prompt_id": meant})
            assert (answer.status_code, answer.content) == (200, b"")
        await peer.until("progress")
        await peer.http.post("/interrupt", json={"prompt_id": running})
        stopped = await peer.until("execution_interrupted")
        assert stopped["data"]["node_id"] == "3"
        await peer.until("execution_success", prompt_id=waiting)
        entry = (await peer.http.get(f"/history/{running}")).json()[running]
        assert entry["status"]["status_str"] == "error"
        assert entry["status"]["messages"][-1][0] == "execution_interrupted"


async def test_an_interrupt_of_an_idle_server_does_nothing(peer: Peer) -> None:
    assert (await peer.http.post("/interrupt")).status_code == 200
    assert (await peer.run(txt2img()))["status"]["completed"] is True


async def test_history_appears_after_execution_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_prompt, goes_on = FaultInjector.after_prompt, asyncio.Event()

    async def later(injector: FaultInjector) -> None:
        await goes_on.wait()
        await after_prompt(injector)

    monkeypatch.setattr(FaultInjector, "after_prompt", later)
    async with opened(tmp_path) as peer:
        prompt_id = await peer.submit(modelless())
        await peer.until("execution_success")
        assert (await peer.http.get(f"/history/{prompt_id}")).json() == {}
        assert (await peer.http.get("/queue")).json()["queue_running"][0][1] == prompt_id
        goes_on.set()
        await peer.until("executing", node=None)
        assert prompt_id in (await peer.http.get(f"/history/{prompt_id}")).json()


async def test_a_node_can_be_told_to_run_out_of_memory(tmp_path: Path) -> None:
    full = Faults(out_of_memory_at=frozenset({"KSampler"}))
    async with opened(tmp_path, faults=full) as peer:
        entry = await peer.run(txt2img())
    about = entry["status"]["messages"][-1][1]
    assert about["exception_type"] == "torch.OutOfMemoryError"
    assert about["node_type"] == "KSampler"


async def test_a_prompt_without_client_shows_everybody_its_progress_and_no_more(
    peer: Peer,
) -> None:
    await peer.http.post("/prompt", json={"prompt": txt2img()})
    await peer.until("status", status={"exec_info": {"queue_remaining": 0}})
    assert set(peer.told()) == {"status", "progress_state", "progress"}


async def test_a_client_that_connects_late_is_told_the_node_and_nothing_earlier(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:
        prompt_id = await peer.submit(txt2img(steps=10_000))
        await peer.until("progress")
        await peer.socket.close()
        url = str(peer.http.base_url).replace("http", "ws").rstrip("/")
        async with connect(f"{url}/ws?clientId=me") as socket:
            late = Peer(peer.http, tmp_path, socket)
            told = await late.until("executing")
            assert late.told() == ["status", "executing 3"]
            assert told["data"] == {"node": "3"}
            await peer.http.post("/interrupt")
            await late.until("execution_interrupted", prompt_id=prompt_id)


async def test_the_newer_of_two_sockets_goes_silent_when_the_older_closes(peer: Peer) -> None:
    url = str(peer.http.base_url).replace("http", "ws").rstrip("/")
    async with connect(f"{url}/ws?clientId=me") as socket:
        newer = Peer(peer.http, peer.files, socket)
        await newer.run(modelless())
        await peer.socket.close()
        answer = await peer.http.post(
            "/prompt", json={"prompt": modelless(color=9), "client_id": "me", "prompt_id": "end"}
        )
        assert answer.status_code == 200
        async with connect(f"{url}/ws?clientId=witness") as witness:
            watching = Peer(peer.http, peer.files, witness)
            await watching.until("status", status={"exec_info": {"queue_remaining": 0}})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.05)


@pytest.mark.parametrize(
    ("first", "is_answered"), [("junk", True), ("[]", True), ('{"type": "hello"}', False)]
)
async def test_only_the_first_object_that_a_client_sends_is_heard(
    peer: Peer, first: str, is_answered: bool
) -> None:
    await peer.socket.send(first)
    await peer.socket.send('{"type": "feature_flags", "data": null}')
    await peer.run(modelless())
    assert ("feature_flags" in peer.told()) == is_answered


async def test_steps_in_quick_succession_are_told_every_tenth_of_a_second(tmp_path: Path) -> None:
    values = {}
    for profile in Profile:
        async with opened(tmp_path / profile, profile=profile) as peer:
            await peer.run(txt2img(steps=1_000))
            steps = [each["data"]["value"] for each in peer.seen if each["type"] == "progress"]
            values[profile] = steps
    assert values[Profile.V0_3_64] == list(range(1, 1_001))
    first, *_others, last = values[Profile.V0_33]
    assert (first, last) == (1, 1_000)
    assert len(values[Profile.V0_33]) <= 1 + 1_000 / 5


async def test_a_page_of_elsewhere_may_not_listen(peer: Peer) -> None:
    url = str(peer.http.base_url).replace("http", "ws").rstrip("/")
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{url}/ws", origin=Origin("http://elsewhere.example"))
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("asks", [False, True])
async def test_previews_follow_progress_or_lead_it_with_metadata(
    tmp_path: Path, asks: bool
) -> None:
    async with opened(tmp_path, previews=True) as peer:
        if asks:
            wish = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
            await peer.socket.send(json.dumps(wish))
            await peer.until("feature_flags")
        else:
            await peer.socket.send("junk")
        await peer.submit(txt2img())
        order = []
        async with asyncio.timeout(HUNG_SECONDS):
            while (frame := await peer.socket.recv()) and '"execution_success"' not in str(frame):
                if isinstance(frame, bytes):
                    order.append(int.from_bytes(frame[:4]))
                elif '"progress"' in frame:
                    order.append(0)
    assert order == ([4, 0] * 3 if asks else [0, 1] * 3)
