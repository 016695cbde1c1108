"""The folder of the finished files."""

from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from prefect.blocks.core import Block
from pydantic import Field
from tzlocal import get_localzone

from anime.settings import Settings
from blocks.reference_fields import ReferenceFields

if TYPE_CHECKING:
    from anime.assets.store import AssetStore


class AssetLibrary(ReferenceFields, Block):
    """Where finished pictures and animations are kept."""

    _block_type_name = "Asset Library"
    _block_type_slug = "asset-library"
    _description = "The folder with the studio's finished files, by project, kind and day."

    root: Path = Field(description="The folder itself, as an absolute path.")
    may_create: bool = Field(
        default=False, description="Whether a missing folder is made; a lost mount is an error."
    )
    timezone: str | None = Field(
        default=None, description="IANA name of the zone whose days name the date folders."
    )
    browser_url: str = Field(
        default="http://127.0.0.1:8330",
        description="Address at which a browser reaches the API that serves the files.",
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The library that the settings name, or the one in the data folder."""
        return cls(
            root=settings.library,
            may_create=settings.library_dir is None,
            timezone=settings.timezone,
            browser_url=settings.browser_url,
        )

    @property
    def zone(self) -> tzinfo:
        """The studio's time zone."""
        return ZoneInfo(self.timezone) if self.timezone else get_localzone()

    def client(self) -> "AssetStore":
        """The store that puts files into the library."""
        from anime.assets.store import AssetStore

        return AssetStore(self.root, may_create=self.may_create)
