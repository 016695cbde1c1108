"""Users of PostgreSQL that OpenBao makes, for seconds."""

import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from tests.integration.old_client import execute
from tests.vault.openbao import OpenBao

STUDIO = "vault_studio"  # the role with all rights; those that Vault makes are members of it
ADMIN = "vault_admin"
ADMIN_PASSWORD = "only-openbao-knows-it"
LEASES = (10, 14)  # seconds, of one and with all renewals
# As docs/vault.md has it: what such a user makes belongs to the studio, not to the user.
CREATION = [
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
    f'GRANT {STUDIO} TO "{{{{name}}}}"',
    f'ALTER ROLE "{{{{name}}}}" SET ROLE TO {STUDIO}',
]
HBA = f"local all {ADMIN} scram-sha-256\nlocal all +{STUDIO} scram-sha-256\n"
MEMBERS = (
    "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%' "
    f"AND pg_has_role(rolname, '{STUDIO}', 'member')"
)
LOGIN = "{vault:database/creds/anime#username}:{vault:database/creds/anime#password}"


@dataclass(frozen=True)
class VaultedDatabase:
    """A database whose users Vault makes: its URL with references, and one for its owner."""

    url: str
    owner_url: str

    async def users(self) -> set[str]:
        """The users that Vault has made and not taken back yet."""
        return {row[0] for row in await rows_of(self.owner_url, MEMBERS)}


async def rows_of(url: str, statement: str) -> list[tuple[str, ...]]:
    """What the database answers."""
    plain = url.replace("postgresql+psycopg:", "postgresql:", 1)
    async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as connection:
        return await (await connection.execute(statement.encode())).fetchall()


async def admit_by_password(url: str) -> None:
    """Have the server let in OpenBao, and whom OpenBao makes, by password; others as ever."""
    ((hba,),) = await rows_of(url, "SHOW hba_file")
    file = Path(hba)
    file.write_text(HBA + file.read_text())
    await execute(url, "SELECT pg_reload_conf()")
    await execute(url, f"CREATE ROLE {STUDIO} NOLOGIN")
    await execute(url, f"CREATE ROLE {ADMIN} LOGIN CREATEROLE PASSWORD '{ADMIN_PASSWORD}'")
    await execute(url, f"GRANT {STUDIO} TO {ADMIN} WITH ADMIN OPTION")


async def make_users_for(
    vault: OpenBao, database_url: str, leases: tuple[int, int] = LEASES, **options: object
) -> VaultedDatabase:
    """Have OpenBao make users for that database, at the mount `database`."""
    address: URL = make_url(database_url)
    where = f"host={address.query['host']} dbname={address.database} sslmode=disable"
    await vault.ask("POST", "sys/mounts/database", {"type": "database"})
    await vault.ask(
        "POST",
        "database/config/studio",
        {
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": f"{where} user={{{{username}}}} password={{{{password}}}}",
            "username": ADMIN,
            "password": ADMIN_PASSWORD,
            **options,
        },
    )
    await vault.ask(
        "POST",
        "database/roles/anime",
        {
            "db_name": "studio",
            "creation_statements": CREATION,
            "default_ttl": f"{leases[0]}s",
            "max_ttl": f"{leases[1]}s",
        },
    )
    return VaultedDatabase(with_login(database_url, LOGIN), database_url)


async def longer_role(vault: OpenBao) -> dict[str, object]:
    """The role of the engine, with an hour for each lease."""
    role = (await vault.ask("GET", "database/roles/anime"))["data"]
    return {**role, "default_ttl": "1h", "max_ttl": "2h"}


def with_login(url: str, login: str) -> str:
    """The URL with that user and password in place of its own."""
    return re.sub(r"//[^/@]*@", f"//{login}@", url)
