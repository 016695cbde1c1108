"""The Redis or Valkey server that carries progress."""

from typing import TYPE_CHECKING, Self

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from anime.settings import Settings

if TYPE_CHECKING:
    from anime.progress.publisher import ProgressPublisher


class ProgressRedis(Block):
    """Where progress is published. Losing it loses no work."""

    _block_type_name = "Progress Redis"
    _block_type_slug = "progress-redis"
    _description = "The Redis or Valkey server on which progress is published."

    url: SecretStr | None = Field(
        default=None,
        description="Connection URL such as redis://host:6379/1, which may be or have references: "
        "env:NAME, file:/PATH, {vault:MOUNT/PATH#KEY}. Empty publishes nothing.",
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The server that the settings name; none is no error."""
        return cls(url=settings.redis_url)

    def client(self) -> "ProgressPublisher":
        """A publisher that never fails a generation, to be used in `async with`."""
        from anime.progress.publisher import ProgressPublisher

        return ProgressPublisher(self.url.get_secret_value() if self.url else None)
