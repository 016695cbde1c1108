"""References to files whose secrets change, or are away, while connections are open."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionFailed
from sqlalchemy import make_url, text

from anime.api.app import create_app
from anime.db.session import Database
from anime.errors import ConfigurationError, DatabaseUnavailable
from anime.progress import updates
from anime.progress.keys import UPDATES_CHANNEL, worker_channel
from anime.progress.redis_connection import connect_redis
from anime.progress.updates import subscribe_channels
from anime.retry_policies import RetryPolicy
from anime.settings import load_settings
from anime.worker import notifications
from tests.support.waiting import HUNG_SECONDS

USER = "filed"


@dataclass
class FiledUser:
    """A user of Redis whose password is in a file, and its administrator."""

    url: str
    admin: Redis
    file: Path

    async def set_password(self, password: str) -> None:
        """Change it in Redis alone."""
        await self.admin.acl_setuser(
            USER,
            enabled=True,
            reset_passwords=True,
            passwords=[f"+{password}"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )

    async def connections(self) -> set[str]:
        """The connections that the user has."""
        return {each["id"] for each in await self.admin.client_list() if each["user"] == USER}

    async def close_all(self) -> None:
        """Close them, as Redis does when it begins anew."""
        for each in await self.connections():
            await self.admin.client_kill_filter(_id=each)


@pytest_asyncio.fixture
async def filed(redis_url: str, tmp_path: Path) -> AsyncIterator[FiledUser]:
    file = tmp_path / "redis-password"
    file.write_text("one/\n")
    url = redis_url.replace("://", f"://{USER}:{{file:{file}}}@", 1)
    async with Redis.from_url(redis_url, protocol=2) as admin:
        user = FiledUser(url, admin, file)
        await user.set_password("one/")
        yield user
        await admin.acl_deluser(USER)


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[None]:
    """One for each time that a subscription was lost or did not open; it is tried again soon."""
    failures: asyncio.Queue[None] = asyncio.Queue()

    class Noted(RetryPolicy):
        async def wait(self, retry: int = 0) -> None:
            failures.put_nowait(None)
            await super().wait(retry)

    soon = Noted(first_seconds=0.05, longest_seconds=0.05)
    monkeypatch.setattr(updates, "REDIS_SUBSCRIPTION", soon)
    return failures


@contextmanager
def cancelled_at_the_end(*tasks: asyncio.Task[None]) -> Iterator[None]:
    try:
        yield
    finally:
        for each in tasks:
            each.cancel()


async def test_a_file_that_is_away_while_redis_reconnects_ends_no_subscription(
    filed: FiledUser, failures: asyncio.Queue[None]
) -> None:
    notified, told = asyncio.Event(), asyncio.Event()

    async def feed() -> None:
        messages = subscribe_channels(filed.url, UPDATES_CHANNEL)
        async with aclosing(messages):
            async for _ in messages:
                told.set()

    async def publish_until(*events: asyncio.Event) -> None:
        for each in events:
            each.clear()
        while not all(each.is_set() for each in events):
            await filed.admin.publish(UPDATES_CHANNEL, "{}")
            await filed.admin.publish(worker_channel("pool"), "")
            await asyncio.sleep(0.05)

    listening = asyncio.create_task(
        notifications.listen(filed.url, "pool", lambda _: notified.set())
    )
    feeding = asyncio.create_task(feed())
    async with asyncio.timeout(HUNG_SECONDS):
        with cancelled_at_the_end(listening, feeding):
            await publish_until(notified, told)
            filed.file.unlink()
            await filed.close_all()
            for _ in range(8):  # the connection of each, and several that do not open
                await failures.get()
            await filed.set_password("two")
            filed.file.write_text("two")
            await publish_until(notified, told)
            assert not listening.done()
            assert not feeding.done()


async def test_a_user_of_redis_waits_for_a_file_and_meets_the_password_of_the_moment(
    filed: FiledUser,
) -> None:
    filed.file.unlink()
    async with connect_redis(filed.url, read_seconds=5) as redis:  # the first use connects
        with pytest.raises(ConnectionFailed, match="cannot be read"):
            await redis.ping()
        filed.file.write_text("one/")
        await redis.ping()
        filed.file.unlink()
        await redis.ping()  # what is open goes on


async def test_connections_to_redis_are_replaced_soon_after_the_password(
    filed: FiledUser,
) -> None:
    subscribed = asyncio.Event()

    async def note() -> None:
        subscribed.set()

    async def feed() -> None:
        messages = subscribe_channels(filed.url, UPDATES_CHANNEL, subscribed=note)
        async with aclosing(messages):
            async for _ in messages:
                pass

    async with asyncio.timeout(HUNG_SECONDS), connect_redis(filed.url, read_seconds=5) as redis:
        await redis.ping()
        feeding = asyncio.create_task(feed())
        with cancelled_at_the_end(feeding):
            await subscribed.wait()
            before = await filed.connections()
            subscribed.clear()
            await filed.set_password("two")
            filed.file.write_text("two")
            await subscribed.wait()
            while before & await filed.connections():  # the one that is idle, too
                await asyncio.sleep(0.05)


async def test_a_file_that_is_away_is_to_users_of_the_database_as_if_that_were(
    database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("any: the tests' server asks for none")
    address = make_url(database_url).set(password="SECRET").render_as_string(hide_password=False)
    async with Database(address.replace("SECRET", f"{{file:{file}}}"), pool_size=2) as database:
        async with database.autocommit() as session:
            await session.execute(text("SELECT 1"))
        file.unlink()
        async with database.autocommit() as session:
            await session.execute(text("SELECT 1"))  # what is open goes on
            with pytest.raises(DatabaseUnavailable, match=r"password .* had: .* No such file"):
                async with database.autocommit() as another:
                    await another.execute(text("SELECT 1"))


async def test_the_api_does_not_start_without_a_secret_that_it_needs(
    database_url: str, tmp_path: Path
) -> None:
    settings = load_settings(
        database_url=database_url, redis_url=SecretStr(f"redis://:{{file:{tmp_path}/none}}@cache")
    )
    app = create_app(settings)
    with pytest.raises(ConfigurationError, match="No such file"):
        async with app.router.lifespan_context(app):
            pass
