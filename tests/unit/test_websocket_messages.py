"""Messages, queues and pace of the gateway, without any connection."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from anime.errors import InvalidRequest
from anime.progress.send_buffer import MAX_JOBS, MAX_UPDATES, SendBuffer
from anime.progress.websocket_messages import Subscribe, Update, read_action
from tests.unit.test_event_sequence import JOB, event


def update(seq: int, job_id: UUID = JOB) -> Update:
    return Update(event(seq).model_copy(update={"job_id": job_id}))


async def taken(buffer: SendBuffer) -> list[Update | str]:
    """Everything in it."""
    buffer.close()
    found: list[Update | str] = []
    while (item := await buffer.take()) is not None:
        found.append(item)
    return found


def test_a_subscription_is_read_with_all_it_may_say() -> None:
    text = json.dumps({"action": "subscribe", "job_id": str(JOB), "seq": 3, "previews": True})
    assert read_action(text) == Subscribe(action="subscribe", job_id=JOB, seq=3, previews=True)


@pytest.mark.parametrize("text", ["[" * 4000, "null", '"subscribe"', '{"action": 7}', "\x00"])
def test_what_is_no_action_says_what_is_wrong_and_not_what_was_sent(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_action(text)
    assert len(refused.value.what) < 200


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"action": "subscribe", "job_id": "7"}, "job_id: input should be a valid UUID"),
        ({"action": "subscribe_shots", "project": "夜の街"}, "project: is no folder name"),
    ],
)
def test_what_is_no_id_and_not_all_is_said_once(message: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_action(json.dumps(message))
    assert refused.value.what.startswith(said)
    assert "literal" not in refused.value.what


def test_an_action_with_one_key_twice_is_refused() -> None:
    """Or one of two jobs would be followed, and nobody told that the other is not."""
    text = f'{{"action": "subscribe", "job_id": "{uuid4()}", "job_id": "{uuid4()}"}}'
    with pytest.raises(InvalidRequest, match='the key "job_id" stands twice'):
        read_action(text)


def test_an_event_is_written_out_once() -> None:
    each = update(3)
    assert each.frame is each.frame
    assert json.loads(each.frame)["data"]["seq"] == 3


async def test_an_outbox_keeps_the_order() -> None:
    buffer = SendBuffer()
    sent = [update(seq) for seq in range(MAX_UPDATES)]
    for each in sent:
        buffer.put(each)
    assert await taken(buffer) == sent


async def test_a_full_outbox_keeps_the_latest_of_each_job_in_order() -> None:
    buffer, other = SendBuffer(), uuid4()
    buffer.put(update(1, other))
    for seq in range(MAX_UPDATES):
        buffer.put(update(seq))
    found = await taken(buffer)
    assert [each.event.seq for each in found if isinstance(each, Update)] == [1, MAX_UPDATES - 1]


async def test_an_outbox_is_overfull_when_not_even_that_helps() -> None:
    buffer = SendBuffer()
    for _ in range(MAX_JOBS + 1):
        buffer.put(update(1, uuid4()))
    assert buffer.is_overfull


async def test_of_previews_only_the_newest_waits_and_updates_go_first() -> None:
    buffer = SendBuffer()
    for picture in ("early", "late"):
        buffer.put_preview(JOB, picture)
    buffer.put(update(1))
    assert await taken(buffer) == [update(1), "late"]


async def test_taking_waits_for_what_is_put_later() -> None:
    buffer = SendBuffer()
    taking = asyncio.create_task(buffer.take())
    await asyncio.sleep(0)
    buffer.put(update(1))
    assert await taking == update(1)
