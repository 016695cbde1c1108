"""Lists in pages: the parameters and the answer that every list has."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
MAX_ITEMS = 200


class Paging(BaseModel):
    """Which page of a list, and how long."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=MAX_ITEMS, description="Items at most.")
    cursor: str | None = Field(
        default=None, max_length=200, description="`next_cursor` of the page before."
    )


class Page(BaseModel, Generic[Item]):
    """A page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null on the last one."
    )
