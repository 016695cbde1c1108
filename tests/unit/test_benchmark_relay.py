"""What the relay of benchmarks reads from a connection that it passes on."""

import struct

import pytest

from benchmarks.relay import ConnectionCounts, FrameReader, Relay, Traffic

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def text_frame(text: str) -> bytes:
    payload = text.encode()
    if len(payload) < 126:
        return bytes((0x81, len(payload))) + payload
    return bytes((0x81, 126)) + struct.pack(">H", len(payload)) + payload


def progress(step: int, steps: int = 20) -> bytes:
    return text_frame(
        f'{{"type": "progress", "data": {{"value": {step}, "max": {steps}, "node": "3"}}}}'
    )


STATES = text_frame(
    '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {'
    '"3": {"value": 2, "max": 20, "state": "running", "padding": "' + "x" * 200 + '"},'
    '"8": {"value": 0, "max": 1, "state": "pending"}}}}'
)
PREVIEW = bytes((0x82, 127)) + struct.pack(">Q", 70_000) + bytes(70_000)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 4096, 1_000_000])
def test_a_step_counts_from_the_first_frame_that_tells_of_it(chunk_bytes: int) -> None:
    relay = Relay("http://relay")
    reader = FrameReader(relay.note)
    stream = UPGRADED + progress(1) + STATES + PREVIEW + progress(2) + progress(3)
    for at, start in enumerate(range(0, len(stream), chunk_bytes)):
        reader.feed(stream[start : start + chunk_bytes], at)
    ends = {
        1: len(UPGRADED + progress(1)),
        2: len(UPGRADED + progress(1) + STATES),
        3: len(stream),
    }
    assert relay.reported_at == {step: (end - 1) // chunk_bytes for step, end in ends.items()}


def test_answers_that_are_no_websocket_are_passed_over() -> None:
    relay = Relay("http://relay")
    reader = FrameReader(relay.note)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + progress(4), at=1.0)
    assert relay.reported_at == {}


def test_a_node_of_one_step_is_no_sampler() -> None:
    relay = Relay("http://relay")
    FrameReader(relay.note).feed(UPGRADED + progress(1, steps=1), at=1.0)
    assert relay.reported_at == {}


def test_requests_and_answers_count_by_the_beginning_of_their_path() -> None:
    traffic = Traffic()
    before = traffic.copy()
    connection = ConnectionCounts(traffic)
    connection.asked(b"POST /prompt HTTP/1.1\r\nHost: a\r\n\r\n", 0)
    connection.asked(b'{"prompt": {"1": "GET /queue"}}', 0)
    connection.answered(bytes(100), 0)
    for path in ("/api/jobs/1/cancel", "/history/1", "/view?filename=a.png"):
        connection.asked(f"GET {path} HTTP/1.1\r\n\r\n".encode(), 0)
        connection.answered(bytes(10), 0)
    since = traffic.since(before)
    assert since.connections == 1
    assert since.requests == {"prompt": 1, "jobs": 1, "history": 1, "view": 1}
    assert since.answered_bytes == {"prompt": 100, "jobs": 10, "history": 10, "view": 10}
