"""Ten thousand frames nobody in their right mind would send."""

import asyncio
import json
import logging
import random
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio

from anime.core.job_status import JobStatus
from anime.progress import websocket_connection
from anime.progress.publisher import ProgressPublisher
from anime.progress.websocket_messages import PONG
from tests.integration.progress_peer import (
    Api,
    OldClient,
    event,
    gateway_settings,
    running_api,
)
from tests.support.waiting import HUNG_SECONDS

FRAMES, CONNECTIONS = 10_000, 250
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WORDS: tuple[object, ...] = (
    "subscribe",
    "unsubscribe",
    "cancel",
    "ping",
    "",
    "eval",
    None,
    7,
    [],
    {},
)


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with running_api(gateway_settings(database_url, redis_url)) as api:
        yield api


def hostile_text(chance: random.Random) -> bytes:
    """JSON that is nearly right, or not JSON."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return b"[" * chance.randrange(4000)
    if kind == 2:
        return b'{"action": "subscribe", "job_id": "\\ud800"}'
    job_id: object = chance.choice([str(uuid4()), "*", "**", "\x00", 2**70, None, [], {"$gt": ""}])
    message: dict[str, object] = {"action": chance.choice(WORDS), "job_id": job_id}
    if kind == 3:
        message["seq"] = chance.choice([-1, 2**64, 0, "0", 1e308, None])
    if kind == 4:
        message[chance.choice(["previews", "__class__", ""])] = chance.choice([True, 1, "x" * 3000])
    return json.dumps(message).encode()


def whole_frame(content: bytes) -> bytes:
    """A text frame as it should be, whatever is in it."""
    content = content.decode(errors="replace").encode()
    length = len(content)
    head = struct.pack(">BB", 0x81, 0x80 | length) if length < 126 else b""
    return (head or struct.pack(">BBH", 0x81, 0xFE, length)) + bytes(4) + content


def broken_frame(content: bytes, chance: random.Random) -> bytes:
    """A frame as it may be, mostly; some break the protocol, some lie about their length."""
    opcode = chance.choice([1] * 12 + [2, 2, 0, 8, 9, 10, 3, 11])
    first = opcode | (0x80 if chance.random() < 0.95 else 0) | chance.choice([0] * 20 + [0x40])
    if opcode >= 8:
        content = content[:125]
    length = len(content) if chance.random() < 0.98 else chance.randrange(2**63)
    masked = 0x80 if chance.random() < 0.98 else 0
    if length < 126:
        head = struct.pack(">BB", first, masked | length)
    elif length < 2**16:
        head = struct.pack(">BBH", first, masked | 126, length)
    else:
        head = struct.pack(">BBQ", first, masked | 127, length)
    return head + (bytes(4) if masked else b"") + content


async def attack(api: Api, seed: int) -> int:
    """How many frames of one connection were answered with an error.

    Of every second one each frame is whole, as uvicorn throws away what came in together with a
    broken one. The server may close the others at any frame.
    """
    chance, is_whole = random.Random(seed), seed % 2 == 0
    address = urlsplit(api.ws_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")  # what comes before it is read by nobody
    texts = [hostile_text(chance) for _ in range(FRAMES // CONNECTIONS)]
    if is_whole:
        writer.writelines([*map(whole_frame, texts), whole_frame(b'{"action": "ping"}')])
    else:
        writer.writelines([broken_frame(text, chance) for text in texts])
    if chance.random() < 0.25:
        writer.transport.abort()
        return 0
    if not is_whole:
        writer.write_eof()
    said = b""
    while PONG.encode() not in said and (more := await reader.read(65536)):
        said += more
    writer.close()
    return said.count(b'{"type": "error"')


async def test_hostile_frames_leave_the_server_answering_and_nothing_behind(
    api: Api, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(websocket_connection, "MESSAGES_PER_SECOND", 100_000)
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)  # it hands on to nobody
    job_id, refused = uuid4(), 0
    async with ProgressPublisher(redis_url) as publisher, OldClient(api.ws_url) as client:
        await publisher.publish(event(job_id, 10))
        await client.subscribe(job_id)
        for first in range(0, CONNECTIONS, 25):
            async with asyncio.timeout(HUNG_SECONDS):
                refused += sum(await asyncio.gather(*(attack(api, first + n) for n in range(25))))
        assert refused > FRAMES / 4
        await publisher.publish(event(job_id, 100, JobStatus.COMPLETED))
        assert (await client.progress_until("completed"))[-1]["seq"] == 2
        async with asyncio.timeout(HUNG_SECONDS):
            while len(api.server.server_state.connections) > 1:
                await asyncio.sleep(0.01)
    assert not list(api.gateway.hub.known_up_to())
    assert not [each for each in caplog.records if "Exception in ASGI" in each.getMessage()]


async def test_a_flood_of_messages_is_read_no_faster_than_allowed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "BURST", 20)
    async with OldClient(api.ws_url) as flooding, OldClient(api.ws_url) as calm:
        clock = asyncio.get_running_loop().time
        began = clock()
        for _ in range(60):
            await flooding.say(action="ping")
        assert await calm.told_before_pong() == []
        for _ in range(60):
            assert (await flooding.hear())["type"] == "pong"
        assert clock() - began >= (60 - 20) / websocket_connection.MESSAGES_PER_SECOND * 0.5
