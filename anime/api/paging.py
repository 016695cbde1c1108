"""Lists in pages: what every list is asked with, and the shape of every answer."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
MAX_ITEMS = 200


class Paging(BaseModel):
    """Which page of a list is wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=MAX_ITEMS, description="How many at most.")
    cursor: str | None = Field(
        default=None, max_length=200, description="`next_cursor` of the page before."
    )


class Page(BaseModel, Generic[Item]):
    """A page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(
        description="Give it back as `cursor` for the next page; null at the end."
    )
