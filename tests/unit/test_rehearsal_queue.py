"""Order, history and delivery of the rehearsal server, without any network."""

import json
import struct
from collections.abc import Collection
from typing import Any

import pytest

from anime.rehearsal.events import EventClient, Sockets
from anime.rehearsal.prompt_queue import MAX_HISTORY_ENTRIES, History, PromptQueue
from anime.rehearsal.schedule import execution_order, signatures, sources_of

CHAIN: dict[str, dict[str, Any]] = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "b", "clip": ["4", 1]}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
}


def filled_queue(*submissions: dict[str, Any]) -> PromptQueue:
    queue = PromptQueue(lambda: None)
    for body in submissions:
        queue.put((queue.next_number(body), body["id"], {}, {}, []))
    return queue


def run_order(queue: PromptQueue) -> list[str]:
    order = []
    while item := queue.start_next():
        order.append(item[1])
    return order


def test_the_lowest_number_runs_first_and_later_fronts_before_earlier_ones() -> None:
    queue = filled_queue(
        {"id": "n0"},
        {"id": "n1"},
        {"id": "front1", "front": True},
        {"id": "front2", "front": True},
        {"id": "five", "number": 5},
        {"id": "million", "number": -1e6},
        {"id": "three", "number": "3"},
        {"id": "zzz", "number": 1e9},
        {"id": "aaa", "number": 1e9, "front": True},
    )
    listed = [item[1] for item in queue.pending]
    order = run_order(queue)
    assert order == ["million", "front2", "front1", "n0", "n1", "three", "five", "aaa", "zzz"]
    assert listed != order  # GET /queue shows the heap


def test_the_counter_ignores_submissions_with_a_number() -> None:
    queue = PromptQueue(lambda: None)
    numbers = [queue.next_number(body) for body in ({}, {"number": 7}, {}, {"front": True})]
    assert numbers == [0, 7.0, 1, -2]
    with pytest.raises(ValueError, match="abc"):
        queue.next_number({"number": "abc"})


def test_the_same_id_and_number_twice_cannot_be_ordered() -> None:
    queue = filled_queue({"id": "first", "number": 1})
    queue.put((2.0, "dup", {"1": {}}, {}, []))
    queue.put((2.0, "dup", {"2": {}}, {}, []))
    with pytest.raises(TypeError):  # ComfyUI's worker dies of this
        run_order(queue)


def test_deleting_reaches_only_what_waits() -> None:
    queue = filled_queue({"id": "a"}, {"id": "b"}, {"id": "c"})
    queue.start_next()
    queue.delete(["a", "b", "unknown"])
    assert queue.remaining == 2
    assert queue.running is not None
    assert run_order(queue) == ["c"]


def test_history_pages_from_the_oldest_and_without_offset_from_the_newest() -> None:
    history = History()
    for name in "abcde":
        history.add(name, {})
    pages = [
        "".join(history.page(*asked))
        for asked in ((None, -1), (2, -1), (2, 1), (None, 3), (0, -1), (-1, -1), (None, 100))
    ]
    assert pages == ["abcde", "de", "bc", "de", "", "", ""]
    assert history.entry("a") == {"a": {}}
    assert history.entry("unknown") == {}


def test_history_forgets_the_oldest() -> None:
    history = History()
    for number in range(MAX_HISTORY_ENTRIES + 1):
        history.add(str(number), {})
    assert history.entry("0") == {}
    assert len(history.page(None, -1)) == MAX_HISTORY_ENTRIES


def order_of(graph: dict[str, Any], outputs: list[str], cached: Collection[str]) -> list[str]:
    return list(execution_order(needs_of(graph), outputs, cached))


def needs_of(graph: dict[str, Any]) -> dict[str, list[str]]:
    return {node: sources_of(graph, node) for node in graph}


def test_a_node_that_needs_more_comes_once_more() -> None:
    needs = needs_of(CHAIN) | {"3": ["4"]}
    order = []
    for node in execution_order(needs, ["9"], ()):
        order.append(node)
        if order.count("3") == 1 and node == "3":
            needs["3"] += ["7"]
    assert order == ["4", "3", "7", "3", "8", "9"]


def test_nodes_run_in_the_order_of_comfyui() -> None:
    assert order_of(CHAIN, ["9"], ()) == ["4", "5", "7", "6", "3", "8", "9"]


def test_a_picture_is_saved_as_soon_as_it_can_be() -> None:
    graph: dict[str, dict[str, Any]] = {
        "1": {"class_type": "EmptyImage", "inputs": {}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    }
    assert order_of(graph, ["2", "4"], ()) == ["1", "2", "3", "4"]


def test_f15_what_is_remembered_does_not_run_again_but_its_output_is_shown() -> None:
    assert order_of(CHAIN, ["9"], tuple(CHAIN)) == ["9"]
    assert order_of(CHAIN, ["9"], ("4", "6", "7", "5")) == ["3", "8", "9"]


def test_a_signature_depends_on_inputs_and_not_on_ids() -> None:
    renamed = {
        "21": {"class_type": "EmptyLatentImage", "inputs": {"width": 64}},
        "22": {"class_type": "EmptyLatentImage", "inputs": {"width": 65}},
    }
    first = signatures(CHAIN, CHAIN, lambda _node: "")
    second = signatures(renamed, renamed, lambda _node: "")
    assert first["5"] == second["21"] != second["22"]


def received(connection: EventClient) -> list[str]:
    kinds = []
    while not connection.outbox.empty():
        frame = connection.outbox.get_nowait()
        assert isinstance(frame, str)
        kinds.append(json.loads(frame)["type"])
    return kinds


def test_a_message_goes_to_one_client_or_to_all() -> None:
    sockets, one, two = Sockets(), EventClient("one"), EventClient("two")
    sockets.add(one)
    sockets.add(two)
    sockets.send("executing", {}, "one")
    sockets.send("executing", {}, "nobody")
    sockets.send("progress", {}, None)
    assert (received(one), received(two)) == (["executing", "progress"], ["progress"])


def test_a_second_socket_of_a_client_goes_silent_when_the_first_closes() -> None:
    sockets, older, newer = Sockets(), EventClient("me"), EventClient("me")
    sockets.add(older)
    sockets.add(newer)
    sockets.send("status", {}, None)
    assert (received(older), received(newer)) == ([], ["status"])
    sockets.remove("me")
    sockets.send("status", {}, None)
    assert received(newer) == []


def test_previews_name_their_node_only_to_who_asked() -> None:
    sockets, plain, asking = Sockets(), EventClient("plain"), EventClient("asking")
    asking.wants_preview_metadata = True
    sockets.add(plain)
    sockets.add(asking)
    for client in ("plain", "asking"):
        sockets.send_preview(b"JPEG", {"node_id": "3"}, client)
    assert plain.outbox.get_nowait() == struct.pack(">II", 1, 1) + b"JPEG"
    metadata = json.dumps({"node_id": "3"}).encode()
    expected = struct.pack(">II", 4, len(metadata)) + metadata + b"JPEG"
    assert asking.outbox.get_nowait() == expected
