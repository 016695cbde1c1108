"""What is asked of a contact sheet, and the files that are on it."""

from collections.abc import AsyncIterator
from typing import Literal

from pydantic import Field

from anime.db.repositories import FileQuery, FileSearch
from anime.db.session import Database
from anime.schemas import FileRecord

MAX_FILES = 10_000
_AT_ONCE = 200  # rows read together


class SheetRequest(FileQuery):
    """Which files go onto a contact sheet, and how it is to look."""

    limit: int = Field(
        default=200, ge=1, le=MAX_FILES, description="How many files at most, newest first."
    )
    columns: int | None = Field(
        default=None, ge=1, le=20, description="Pictures side by side; as it looks best if unset."
    )
    format: Literal["png", "pdf"] = Field(
        default="png", description="png: a file for each page. pdf: one file with all pages."
    )

    @property
    def query(self) -> FileQuery:
        """The search alone."""
        return FileQuery.model_validate(self.model_dump(include=set(FileQuery.model_fields)))


async def matching(order: SheetRequest, database: Database) -> AsyncIterator[FileRecord]:
    """The files, newest first, read some at a time; no transaction is open in between."""
    cursor, left = None, order.limit
    while left > 0:
        async with database.session_scope() as session:
            page = await FileSearch(session).page(
                order.query, limit=min(left, _AT_ONCE), cursor=cursor
            )
        for file in page.files:
            yield file
        left -= len(page.files)
        cursor = page.next_cursor
        if cursor is None:
            return
