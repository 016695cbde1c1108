"""Webhooks from the end of a job to a real receiver, at least once and nowhere else."""

import asyncio
import logging
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import select, update
from starlette.responses import RedirectResponse, Response, StreamingResponse

from anime.api.app import create_app
from anime.core.job_status import FailureKind, JobStatus
from anime.db.models import WebhookDelivery
from anime.db.repositories import (
    AssetRow,
    DeliveryRepository,
    FileRepository,
    JobRepository,
    Lease,
)
from anime.db.session import Database
from anime.schemas import GenerationRequest
from anime.settings import load_settings
from anime.webhooks import deliverer, sender
from anime.webhooks.deliverer import MAX_CONCURRENT, Deliverer
from anime.webhooks.sender import Sender
from tests.integration.prefect_peer import AUTH, running_prefect_peer
from tests.integration.webhook_peer import (
    KEY,
    SECRET,
    WebhookPeer,
    new_certificate,
    running_webhook_peer,
)
from tests.support.waiting import HUNG_SECONDS

PROMPT = "a secret prompt"
SOON = tuple(repeat(0.01, 20))
# A process that claims what is due and is killed before it knows how that went.
DELIVER = """
import asyncio, sys
from anime.db.session import Database
from anime.webhooks.deliverer import MAX_CONCURRENT, Deliverer
from anime.webhooks.sender import Sender

async def main():
    key = bytes(range(32))
    async with Database(sys.argv[1]) as database, Sender(lambda: key, allow_private=True) as s:
        await Deliverer(database, s, claim_seconds=1).run()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is told by a notification; looking by itself must not come to a test's help."""
    monkeypatch.setattr(deliverer, "POLL_SECONDS", 3600.0)


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[WebhookPeer]:
    async with running_webhook_peer() as peer:
        yield peer


async def new_job(database: Database, url: str | None) -> UUID:
    job_id = uuid4()
    request = GenerationRequest(prompt=PROMPT, webhook_url=url)
    async with database.session_scope() as session:
        await JobRepository(session).create(job_id, request, workflow="txt2img", seed=7)
    return job_id


async def cancelled_job(database: Database, url: str | None) -> UUID:
    """A job that has ended, in the shortest way."""
    job_id = await new_job(database, url)
    async with database.session_scope() as session:
        await JobRepository(session).request_cancel(job_id)
    return job_id


async def row_of(database: Database, job_id: UUID) -> WebhookDelivery | None:
    async with database.session_scope() as session:
        return await session.scalar(select(WebhookDelivery).where(WebhookDelivery.job_id == job_id))


async def settled(
    database: Database, job_id: UUID, is_so: Callable[[WebhookDelivery], bool]
) -> WebhookDelivery:
    """The row, once it says so."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            row = await row_of(database, job_id)
            if row is not None and is_so(row):
                return row
            await asyncio.sleep(0.02)


def has_arrived(row: WebhookDelivery) -> bool:
    return row.delivered_at is not None


def has_failed(row: WebhookDelivery) -> bool:
    return row.last_error is not None


@asynccontextmanager
async def delivering(
    database: Database, *, delays: Sequence[float] = SOON, **options: Any
) -> AsyncIterator[None]:
    async with Sender(lambda: KEY, **({"allow_private": True} | options)) as opened:
        task = asyncio.create_task(Deliverer(database, opened, delays_seconds=delays).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def complete(jobs: JobRepository, lease: Lease) -> None:
    await jobs.complete(lease, output_path="/library/1.png")


async def fail(jobs: JobRepository, lease: Lease) -> None:
    await jobs.fail(lease, FailureKind.LOST, "It is lost.")


async def confirm_cancel(jobs: JobRepository, lease: Lease) -> None:
    await jobs.request_cancel(lease.job_id)
    await jobs.cancelled(lease)


async def cancel_after_a_dead_run(jobs: JobRepository, lease: Lease) -> None:
    await jobs.request_cancel(lease.job_id)
    await jobs.release(lease)
    assert await jobs.settle_cancellation(lease.job_id)


async def cancel_with_its_batch(jobs: JobRepository, lease: Lease) -> None:
    await jobs.release(lease)
    await jobs.cancel_all([lease.job_id])


async def cancel_in_the_queue(jobs: JobRepository, job_id: UUID) -> None:
    await jobs.request_cancel(job_id)


async def cancel_with_others_in_the_queue(jobs: JobRepository, job_id: UUID) -> None:
    await jobs.cancel_all([job_id, uuid4()])


async def fail_in_the_queue(jobs: JobRepository, job_id: UUID) -> None:
    await jobs.fail_unleased(job_id, FailureKind.LOST, "Nobody ran it.")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (complete, JobStatus.COMPLETED),
        (fail, JobStatus.FAILED),
        (confirm_cancel, JobStatus.CANCELLED),
        (cancel_after_a_dead_run, JobStatus.CANCELLED),
        (cancel_with_its_batch, JobStatus.CANCELLED),
    ],
)
async def test_every_end_of_a_run_is_written_into_the_outbox_with_it(
    database: Database,
    peer: WebhookPeer,
    end: Callable[[JobRepository, Lease], Awaitable[None]],
    status: JobStatus,
) -> None:
    job_id = await new_job(database, peer.url)
    async with database.session_scope() as session:
        lease = await JobRepository(session).lease(job_id, uuid4(), seconds=60)
        assert lease is not None
    assert await row_of(database, job_id) is None
    async with database.session_scope() as session:
        await end(JobRepository(session), lease)
    row = await row_of(database, job_id)
    assert row is not None
    assert (row.url, row.attempts, row.body["type"]) == (peer.url, 0, f"generation.{status}")
    assert row.body["data"]["status"] == status


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (cancel_in_the_queue, JobStatus.CANCELLED),
        (cancel_with_others_in_the_queue, JobStatus.CANCELLED),
        (fail_in_the_queue, JobStatus.FAILED),
    ],
)
async def test_a_job_that_no_run_took_is_told_of_once(
    database: Database,
    peer: WebhookPeer,
    end: Callable[[JobRepository, UUID], Awaitable[None]],
    status: JobStatus,
) -> None:
    job_id = await new_job(database, peer.url)
    for _ in range(2):
        async with database.session_scope() as session:
            await end(JobRepository(session), job_id)
    row = await row_of(database, job_id)
    assert row is not None
    assert row.body["type"] == f"generation.{status}"


async def test_an_end_that_is_rolled_back_is_not_told_of(
    database: Database, peer: WebhookPeer
) -> None:
    job_id = await new_job(database, peer.url)
    with suppress(LookupError):
        async with database.session_scope() as session:
            ended = await JobRepository(session).request_cancel(job_id)
            assert ended.status is JobStatus.CANCELLED
            raise LookupError
    assert await row_of(database, job_id) is None


async def test_a_job_without_a_webhook_leaves_the_outbox_empty(database: Database) -> None:
    assert await row_of(database, await cancelled_job(database, None)) is None


async def test_a_message_arrives_signed_with_the_job_and_its_files(
    database: Database, peer: WebhookPeer
) -> None:
    job_id = await new_job(database, peer.url)
    file = AssetRow(
        filename="雨.png",
        file_type="image",
        file_path="/library/雨.png",
        file_size=9,
        job_id=job_id,
        source_path="雨.png",
        metadata={"graph": {}},
    )
    async with delivering(database):
        async with database.session_scope() as session:
            lease = await JobRepository(session).lease(job_id, uuid4(), seconds=60)
            assert lease is not None
            await FileRepository(session).record([file])
            await complete(JobRepository(session), lease)
        [received] = await peer.has_received(1)
        row = await settled(database, job_id, has_arrived)
    assert received.is_signed_with(KEY)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == str(row.id)
    told = received.message["data"]
    assert (received.message["type"], told["id"]) == ("generation.completed", str(job_id))
    assert [file["filename"] for file in told["files"]] == ["雨.png"]
    assert (row.attempts, row.next_attempt_at, row.last_error) == (1, None, None)


async def test_one_whose_key_is_away_for_a_moment_waits_and_is_then_signed(
    database: Database, peer: WebhookPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET)
    monkeypatch.setattr(deliverer, "webhook_delay", lambda *_: 0.05)
    settings = load_settings(webhook_secret=SecretStr(f"file:{file}"), webhook_allow_private=True)
    async with deliverer.delivering(settings, database):
        file.unlink()
        job_id = await cancelled_job(database, peer.url)
        row = await settled(database, job_id, lambda row: row.last_error is not None)
        assert "cannot be signed now" in str(row.last_error)
        file.write_text(SECRET)
        [received] = await peer.has_received(1)
    assert received.is_signed_with(KEY)


async def test_one_that_is_answered_with_an_error_is_sent_again_under_the_same_id(
    database: Database, peer: WebhookPeer
) -> None:
    peer.answers = [lambda: Response(status_code=500), lambda: Response(status_code=429)]
    async with delivering(database):
        job_id = await cancelled_job(database, peer.url)
        received = await peer.has_received(3)
        row = await settled(database, job_id, has_arrived)
    assert row.attempts == 3
    assert len({each.headers["webhook-id"] for each in received}) == 1
    assert all(each.is_signed_with(KEY) for each in received)


async def test_a_receiver_that_is_down_gets_it_when_it_is_back(database: Database) -> None:
    async with running_webhook_peer() as gone:
        url = gone.url
    async with delivering(database, delays=tuple(repeat(0.05, 400))):
        job_id = await cancelled_job(database, url)
        await settled(database, job_id, has_failed)
        async with running_webhook_peer(gone.port) as back:
            await back.has_received(1)
            row = await settled(database, job_id, has_arrived)
    assert row.attempts > 1


async def test_what_a_killed_process_was_sending_is_sent_by_the_next(
    database: Database, database_url: str, peer: WebhookPeer
) -> None:
    peer_of_the_dead = peer.url.replace("/hook", "/silent")
    job_id = await cancelled_job(database, peer_of_the_dead)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DELIVER, database_url, stderr=asyncio.subprocess.DEVNULL
    )
    await peer.has_received(1)
    process.kill()
    await process.wait()
    async with database.session_scope() as session:
        await session.execute(update(WebhookDelivery).values(url=peer.url))
    async with delivering(database):
        first, second = await peer.has_received(2)
        row = await settled(database, job_id, has_arrived)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert row.attempts == 2


async def test_two_processes_share_the_work_and_send_nothing_twice(
    database: Database, database_url: str, peer: WebhookPeer
) -> None:
    jobs = [await cancelled_job(database, peer.url) for _ in range(20)]
    async with Database(database_url) as other, delivering(database), delivering(other):
        for job_id in jobs:
            await settled(database, job_id, has_arrived)
    assert sorted(each.message["data"]["id"] for each in peer.received) == sorted(map(str, jobs))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "localhost.", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"]
)
async def test_nothing_is_sent_to_a_private_address(
    database: Database, peer: WebhookPeer, host: str
) -> None:
    job_id = await cancelled_job(database, f"http://{host}:{peer.port}/hook")
    async with delivering(database, delays=(), allow_private=False):
        row = await settled(database, job_id, has_failed)
    assert "private or reserved" in (row.last_error or "")
    assert row.next_attempt_at is None
    assert peer.received == []


async def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    database: Database, peer: WebhookPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer of DNS, which may be another one, is never asked for."""
    asked, look_up = list[str](), socket.getaddrinfo

    def once(host: str, *place: Any, **options: Any) -> Any:  # as `socket` gives them
        if host != "studio.example":
            return look_up(host, *place, **options)
        asked.append(host)
        assert len(asked) == 1, "the name was looked up again"
        return look_up("127.0.0.1", *place, **options)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    async with delivering(database):
        job_id = await cancelled_job(database, f"http://studio.example:{peer.port}/hook")
        [received] = await peer.has_received(1)
        await settled(database, job_id, has_arrived)
    assert asked == ["studio.example"]
    assert received.headers["host"] == f"studio.example:{peer.port}"


@pytest.mark.parametrize(
    ("name", "arrives", "error"),
    [("studio.example", True, ""), ("another.example", False, "CERTIFICATE_VERIFY_FAILED")],
)
async def test_over_tls_the_certificate_has_to_be_that_of_the_name(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    arrives: bool,
    error: str,
) -> None:
    """Although it is an address that is connected to."""
    certificate = new_certificate(tmp_path, name)
    trusting = ssl.create_default_context(cafile=certificate.certificate)
    monkeypatch.setattr(sender, "tls_context", lambda: trusting)
    look_up = socket.getaddrinfo

    def at_home(host: str, *place: Any, **options: Any) -> Any:  # as `socket` gives them
        return look_up("127.0.0.1" if host == "studio.example" else host, *place, **options)

    monkeypatch.setattr(socket, "getaddrinfo", at_home)
    async with running_webhook_peer(tls=certificate) as peer, delivering(database, delays=()):
        job_id = await cancelled_job(database, f"https://studio.example:{peer.port}/hook")
        row = await settled(database, job_id, has_arrived if arrives else has_failed)
    assert bool(peer.received) is arrives
    assert error in (row.last_error or "")


async def test_a_redirect_is_not_followed(database: Database, peer: WebhookPeer) -> None:
    peer.answers = [lambda: RedirectResponse("/elsewhere")]
    async with delivering(database, delays=()):
        row = await settled(database, await cancelled_job(database, peer.url), has_failed)
    assert row.last_error == "The receiver answered 307."
    assert (len(peer.received), peer.elsewhere) == (1, 0)


async def test_a_receiver_that_is_gone_for_good_is_not_asked_again(
    database: Database, peer: WebhookPeer
) -> None:
    peer.answers = [lambda: Response(status_code=410)]
    async with delivering(database):
        row = await settled(database, await cancelled_job(database, peer.url), has_failed)
    assert (row.attempts, row.next_attempt_at, row.delivered_at) == (1, None, None)


async def test_a_receiver_that_never_answers_is_left_alone_in_time(
    database: Database, peer: WebhookPeer
) -> None:
    url = peer.url.replace("/hook", "/silent")
    async with delivering(database, delays=(), timeout_seconds=0.3):
        row = await settled(database, await cancelled_job(database, url), has_failed)
    assert row.last_error == "No answer within 0.3 s."


async def test_a_receiver_that_never_answers_leaves_places_to_others(
    database: Database, peer: WebhookPeer
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=MAX_CONCURRENT) as mute:
        dead = f"127.0.0.1:{mute.getsockname()[1]}"
        for n in range(MAX_CONCURRENT + 1):
            await cancelled_job(database, f"http://{dead}/{n}?at=//elsewhere/")
        async with delivering(database, timeout_seconds=HUNG_SECONDS):
            for _ in range(2):
                await settled(database, await cancelled_job(database, peer.url), has_arrived)
            async with database.session_scope() as session:
                deliveries = DeliveryRepository(session)
                assert (await deliveries.seconds_to_next() or 0) < 0
                assert await deliveries.claim(1, seconds=60, except_to=[dead]) == []
                later = await deliveries.seconds_to_next(except_to=[dead])
    assert later is None  # so that nobody looks again and again


async def test_an_answer_without_end_is_not_read(database: Database, peer: WebhookPeer) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536
            await asyncio.sleep(0)

    peer.answers = [lambda: StreamingResponse(endless())]
    async with delivering(database, timeout_seconds=HUNG_SECONDS):
        row = await settled(database, await cancelled_job(database, peer.url), has_arrived)
    assert row.attempts == 1


async def test_logs_hold_neither_the_address_nor_the_prompt(
    database: Database, peer: WebhookPeer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="anime")
    peer.answers = [lambda: Response(status_code=500)]
    async with delivering(database):
        job_id = await cancelled_job(database, peer.url)
        await settled(database, job_id, has_arrived)
    said = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    assert f"of job {job_id} has arrived" in said
    assert "is tried again" in said
    assert "in-the-url" not in said
    assert PROMPT not in said


@pytest.mark.parametrize("ticks", range(4))
async def test_it_stops_although_a_delivery_ends_in_the_same_moment(
    database: Database, monkeypatch: pytest.MonkeyPatch, ticks: int
) -> None:
    """`asyncio.wait_for` would lose the cancellation then, up to Python 3.11."""
    told: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def nothing_due(self: Deliverer, group: asyncio.TaskGroup, bell: asyncio.Event) -> float:
        told.put_nowait(bell)
        return 300.0

    monkeypatch.setattr(Deliverer, "_begin_due", nothing_due)
    async with Sender(lambda: KEY) as opened:
        task = asyncio.create_task(Deliverer(database, opened).run())
        bell = await told.get()
        await asyncio.sleep(0)  # it waits now
        await asyncio.sleep(0)
        bell.set()
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        _, left = await asyncio.wait([task], timeout=HUNG_SECONDS)
        task.cancel()
        await asyncio.wait([task])
    assert not left


async def test_old_deliveries_are_pruned_and_no_others(database: Database) -> None:
    old, new = [await cancelled_job(database, "https://example.com") for _ in range(2)]
    async with database.session_scope() as session:
        await session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.job_id == old)
            .values(created_at=WebhookDelivery.created_at - timedelta(days=31))
        )
        assert await DeliveryRepository(session).prune(older_than=timedelta(days=30)) == 1
    assert await row_of(database, old) is None
    assert await row_of(database, new) is not None


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Names below `slow.example` are looked up until the event is set."""
    released, look_up = threading.Event(), socket.getaddrinfo

    def slowly(host: str, *place: Any, **options: Any) -> Any:  # as `socket` gives them
        if str(host).endswith(".slow.example"):
            released.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *place, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    yield released
    released.set()


async def test_a_name_that_is_not_found_in_time_is_put_off(
    database: Database, slow_names: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "NAME_SECONDS", 0.2)
    job_id = await cancelled_job(database, "https://a.slow.example/hook")
    async with delivering(database, delays=()):
        row = await settled(database, job_id, has_failed)
    assert row.last_error == "Its name was not resolved within 0.2 s."


async def test_names_that_resolve_slowly_hold_up_neither_requests_nor_other_webhooks(
    database_url: str,
    peer: WebhookPeer,
    database: Database,
    slow_names: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process has two threads for everything else; each place has a delivery under way."""
    monkeypatch.setattr(sender, "NAME_SECONDS", 2.0)
    pool = ThreadPoolExecutor(2)
    asyncio.get_running_loop().set_default_executor(pool)
    slow = [
        await cancelled_job(database, f"https://{n}.slow.example/") for n in range(MAX_CONCURRENT)
    ]
    async with running_prefect_peer() as prefect:
        settings = load_settings(
            prefect_api_url=prefect.url,
            prefect_api_auth_string=AUTH,
            database_url=database_url,
            webhook_secret=SecretStr(SECRET),
            webhook_allow_private=True,
        )
        app = create_app(settings)
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost:8330") as client,
        ):
            for job_id in slow:
                await settled(database, job_id, lambda row: row.attempts >= 1)  # is claimed
            async with asyncio.timeout(HUNG_SECONDS):
                order = {"prompt": PROMPT, "webhook_url": peer.url}
                accepted = await client.post("/api/anime/generate", json=order)
            async with database.session_scope() as session:
                await JobRepository(session).request_cancel(UUID(accepted.json()["job_id"]))
            await peer.has_received(1)
            assert not slow_names.is_set()
            slow_names.set()


async def test_the_serving_process_delivers_what_was_asked_for_over_http(
    database_url: str, peer: WebhookPeer, database: Database, tmp_path: Path
) -> None:
    async with running_prefect_peer() as prefect:
        settings = load_settings(
            prefect_api_url=prefect.url,
            prefect_api_auth_string=AUTH,
            database_url=database_url,
            webhook_secret=SecretStr(SECRET),
            webhook_allow_private=True,
        )
        app = create_app(settings)
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost:8330") as client,
        ):
            accepted = await client.post(
                "/api/anime/generate", json={"prompt": PROMPT, "webhook_url": peer.url}
            )
            assert accepted.status_code == 202, accepted.text
            job_id = UUID(accepted.json()["job_id"])
            async with database.session_scope() as session:
                await JobRepository(session).request_cancel(job_id)
            [received] = await peer.has_received(1)
    assert received.is_signed_with(KEY)
    assert received.message["type"] == "generation.cancelled"
