"""The PostgreSQL database with jobs and files."""

from typing import TYPE_CHECKING, Self

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from anime.settings import Settings
from anime.settings.addresses import database_address
from blocks.reference_fields import ReferenceFields

if TYPE_CHECKING:
    from anime.db.session import Database


class StudioDatabase(ReferenceFields, Block):
    """Where jobs and files are recorded."""

    _block_type_name = "Studio Database"
    _block_type_slug = "studio-database"
    _description = "The PostgreSQL database with the studio's jobs and files."

    url: SecretStr = Field(
        description="Connection URL, postgresql://user:password@host:5432/anime_production, "
        "which may be or have references: env:NAME, file:/PATH, {vault:MOUNT/PATH#KEY}."
    )
    pool_size: int = Field(
        default=5, ge=1, description="How many connections a process keeps open at most."
    )
    lease_seconds: float = Field(
        default=20.0, ge=5, description="How many seconds a run's lease on a job lasts."
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The database that the settings name.

        Raises:
            ConfigurationError: it names none and no stack runs.
        """
        return cls(url=SecretStr(database_address(settings)), lease_seconds=settings.lease_seconds)

    def client(self) -> "Database":
        """A pool of connections, to be used in `async with`."""
        from anime.db.session import Database

        return Database(self.url.get_secret_value(), pool_size=self.pool_size)
