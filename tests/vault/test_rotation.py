"""Credentials of PostgreSQL that Vault makes and takes back after seconds."""

import asyncio

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from anime.db.session import Database
from anime.errors import ConfigurationError, DatabaseUnavailable
from anime.net.vault import RESOLVER, use_vault, vault_status
from anime.settings import load_settings, resolve_reference
from anime.stack.prefect_database import prefect_database
from tests.integration.old_client import execute
from tests.support.waiting import HUNG_SECONDS
from tests.vault.openbao import OpenBao
from tests.vault.postgres import (
    STUDIO,
    VaultedDatabase,
    longer_role,
    rows_of,
    with_login,
)

pytestmark = pytest.mark.usefixtures("new_sessions")
LONG_LEASE_SECONDS = 30  # the longer, the more of it is left to a slow machine


async def who(database: Database) -> str:
    async with database.session_scope() as session:
        await session.execute(text("SELECT count(*) FROM anime_api.anime_files"))
        return str(await session.scalar(text("SELECT session_user")))


async def test_f70_credentials_change_under_load_and_no_statement_fails(
    vaulted: VaultedDatabase,
) -> None:
    seen: set[str] = set()
    statements = 0

    async def work(database: Database) -> None:
        nonlocal statements
        while len(seen) < 3:
            seen.add(await who(database))
            statements += 1
            await asyncio.sleep(0.05)

    async with Database(vaulted.url) as database:
        first = await who(database)
        async with asyncio.timeout(HUNG_SECONDS), asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(work(database))
        assert len({first, *seen}) == 3
        assert statements > 100
        # The first one is taken back at the end of its lease, when nobody has it any more.
        async with asyncio.timeout(HUNG_SECONDS):
            while first in await vaulted.users():
                await who(database)
                await asyncio.sleep(0.05)
        assert await who(database) != first
    status = vault_status()
    assert status is not None
    assert status.is_up
    assert status.until is not None


async def test_connections_of_an_older_generation_end_although_nobody_uses_them(
    vaulted: VaultedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.net.vault.session.REFRESH_MIN_SECONDS", 0)

    async def sessions_of(user: str) -> int:
        statement = f"SELECT 1 FROM pg_stat_activity WHERE usename = '{user}'"
        return len(await rows_of(vaulted.owner_url, statement))

    async with Database(vaulted.url) as database, asyncio.timeout(HUNG_SECONDS):
        with database.notifications.listening_to("x"):
            async with database.autocommit() as at_work:
                first = await at_work.scalar(text("SELECT session_user"))
                await asyncio.gather(who(database), who(database))  # on two that are idle then
                assert await who(database) == first
                while await sessions_of(first) < 4:  # the listener's, too
                    await asyncio.sleep(0.1)
                await asyncio.to_thread(RESOLVER.refresh, ["database/creds/anime#username"])
                while await sessions_of(first) > 1:
                    await asyncio.sleep(0.1)
                assert await at_work.scalar(text("SELECT session_user")) == first
            while await sessions_of(first):
                await asyncio.sleep(0.1)
        assert await who(database) != first


async def test_no_session_is_older_than_80_percent_of_its_lease(
    vaulted: VaultedDatabase, vault: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("anime.settings.secret_changes", "anime.db.notifications"):
        monkeypatch.setattr(f"{module}.LOOK_SECONDS", 0.3)  # leaves time to slow machines
    role = (await vault.ask("GET", "database/roles/anime"))["data"]
    longest = f"{LONG_LEASE_SECONDS}s"
    limits = {"default_ttl": longest, "max_ttl": longest}
    await vault.ask("POST", "database/roles/anime", {**role, **limits})
    statement = "SELECT usename FROM pg_stat_activity WHERE usename LIKE 'v-%'"
    clock = asyncio.get_running_loop().time
    async with Database(vaulted.url) as database, asyncio.timeout(HUNG_SECONDS):
        with database.notifications.listening_to("x"):
            began_at = clock()
            (first, _) = await asyncio.gather(who(database), who(database))
            while first in {user for (user,) in await rows_of(vaulted.owner_url, statement)}:
                await asyncio.sleep(0.1)
            assert clock() - began_at < 0.8 * LONG_LEASE_SECONDS
            assert first in await vaulted.users()  # Vault has not ended them


async def test_a_password_that_postgresql_refuses_is_read_anew(
    vault: OpenBao, database_url: str, admitted_by_password: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.net.vault.session.REFRESH_MIN_SECONDS", 0)
    await execute(database_url, "DROP ROLE IF EXISTS static_user")
    await execute(database_url, f"CREATE ROLE static_user LOGIN PASSWORD 'one' IN ROLE {STUDIO}")
    await vault.put("anime/postgres", password="one")
    login = "static_user:{vault:secret/anime/postgres#password}"
    url = with_login(database_url, login)
    async with Database(url) as database, Database(url) as later:
        async with database.autocommit() as session:
            assert await session.scalar(text("SELECT session_user")) == "static_user"
        await execute(database_url, "ALTER ROLE static_user PASSWORD 'two'")
        await vault.put("anime/postgres", password="two")
        async with later.autocommit() as session:
            assert await session.scalar(text("SELECT session_user")) == "static_user"
        await execute(database_url, "ALTER ROLE static_user PASSWORD 'three'")
        await later.dispose()
        with pytest.raises(DatabaseUnavailable, match="authentication failed"):
            async with later.autocommit() as session:
                await session.scalar(text("SELECT 1"))
    await execute(database_url, "DROP ROLE static_user")


async def test_f70_a_lease_that_ends_while_vault_is_sealed_stops_new_connections_alone(
    vaulted: VaultedDatabase, vault: OpenBao
) -> None:
    async with Database(vaulted.url, pool_size=1) as database:
        first = await who(database)
        await vault.seal()
        try:
            async with Database(vaulted.url) as another:
                assert await who(another) == first  # what is known goes on
            status = vault_status()
            assert status is not None
            assert status.until is not None
            async with asyncio.timeout(HUNG_SECONDS):
                while RESOLVER.known_values(["database/creds/anime#username"]) is not None:
                    assert await who(database) == first
                    await asyncio.sleep(0.2)
            assert await who(database) == first  # the connection that is open goes on
            await database.dispose()
            with pytest.raises(DatabaseUnavailable, match="is sealed"):
                await who(database)
        finally:
            await vault.unseal()
        async with asyncio.timeout(HUNG_SECONDS):
            assert await who(database) != first


async def test_a_process_gives_its_leases_back_when_it_ends(vaulted: VaultedDatabase) -> None:
    async with Database(vaulted.url) as database:
        user = await who(database)
        assert user in await vaulted.users()
    RESOLVER.close()
    assert user not in await vaulted.users()


async def test_a_new_login_takes_new_credentials_before_the_old_ones_end_with_its_token(
    vaulted: VaultedDatabase, vault: OpenBao
) -> None:
    config = await vault.approle("short", token_ttl="8s", token_max_ttl="10s")
    await vault.ask("POST", "database/roles/anime", await longer_role(vault))
    use_vault(config)
    async with Database(vaulted.url) as database:
        first = await who(database)
        async with asyncio.timeout(HUNG_SECONDS):
            while first in await vaulted.users():
                await who(database)
                await asyncio.sleep(0.05)
        assert await who(database) != first


async def test_references_of_one_lease_are_of_one_generation(vaulted: VaultedDatabase) -> None:
    both = "{vault:database/creds/anime#username}:{vault:database/creds/anime#password}"
    assert resolve_reference(both) == resolve_reference(both)


async def test_prefects_server_is_not_given_a_user_that_ends(vaulted: VaultedDatabase) -> None:
    settings = load_settings(database_url=SecretStr(vaulted.url))
    with pytest.raises(ConfigurationError, match="cannot change the user"):
        await prefect_database(settings)
