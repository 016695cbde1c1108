"""One OpenBao for all tests of this folder, and settings that lead to it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from anime.net.vault import RESOLVER, use_vault
from anime.settings.vault import VaultConfig
from tests.integration.old_client import execute
from tests.vault.openbao import OpenBao, running_openbao
from tests.vault.postgres import STUDIO, VaultedDatabase, admit_by_password, make_users_for


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def openbao(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpenBao]:
    """The server, which all tests leave unsealed."""
    async with running_openbao(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@pytest.fixture(autouse=True)
def own_session() -> Iterator[None]:
    """Nothing known of any Vault, and nothing left in it."""
    RESOLVER.close()
    yield
    RESOLVER.close()


@pytest_asyncio.fixture
async def vault(openbao: OpenBao, tmp_path: Path) -> OpenBao:
    """The server, which this process has a token for that may read everything."""
    file = tmp_path / "vault-token"
    file.write_text(f"{await openbao.new_token()}\n")
    use_vault(VaultConfig(url=openbao.url, auth="token", token=f"file:{file}"))
    return openbao


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def admitted_by_password(postgres_url: str) -> None:
    """The tests' PostgreSQL lets in OpenBao, and whom OpenBao makes."""
    await admit_by_password(postgres_url)


@pytest_asyncio.fixture
async def vaulted(
    vault: OpenBao, database_url: str, admitted_by_password: None
) -> AsyncIterator[VaultedDatabase]:
    """A migrated database, and an engine of OpenBao's that makes users for it for 10 s."""
    for rights in (
        f"GRANT ALL ON SCHEMA anime_api TO {STUDIO}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA anime_api TO {STUDIO}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA anime_api TO {STUDIO}",
    ):
        await execute(database_url, rights)
    try:
        yield await make_users_for(vault, database_url)
    finally:
        RESOLVER.close()
        await vault.ask("DELETE", "sys/mounts/database")
