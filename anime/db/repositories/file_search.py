"""Finding files: newest first, page by page, in a time that does not grow with the library.

Two ways lead to a page. The walk goes back in time through the files that share one thing asked
for, and looks at each: quick where many fit. The look-up takes from the index of terms the files
that have all of it: quick where few fit. The walk goes first, and a bounded way, so that each is
taken where it is quick (docs/decisions/0008).
"""

from datetime import datetime

from sqlalchemy import Select, text
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.file_query import FilePage, FileQuery, Position
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.db.repositories.file_conditions import FileConditions
from anime.db.repositories.files import FileRepository
from anime.db.repositories.projects import ProjectRepository

# Plans depend on what is asked for: one made for any value would be wrong for most.
# Compiling a plan takes longer than to carry it out.
_PLAN_FOR_THE_VALUES = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true),"
    " set_config('jit', 'off', true)"
)


class FileSearch:
    """Searches in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def page(self, query: FileQuery, *, limit: int, cursor: str | None = None) -> FilePage:
        """At most `limit` files that fit, newest first, from where the cursor's page ended.

        Files that come in meanwhile neither repeat nor hide others.

        Raises:
            InvalidRequest: the cursor is not one of ours.
        """
        page, next_cursor = await self.positions(query, limit=limit, cursor=cursor)
        ids = [position.file_id for position in page]
        files = await FileRepository(self._session).some(ids)
        return FilePage(files=[files[id_] for id_ in ids if id_ in files], next_cursor=next_cursor)

    async def positions(
        self, query: FileQuery, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Position], str | None]:
        """Where these files are, and the cursor of the next page. Raises as `page`."""
        after = Position(*cut_at(cursor, _file_id)) if cursor else None
        await self._session.execute(_PLAN_FOR_THE_VALUES)
        found = [
            position
            for wanted in await self._wanted(query, after)
            for position in await self._positions(wanted, limit + 1)
        ]
        nearest = sorted(found, reverse=True)[: limit + 1]
        return page_of(nearest, limit, lambda position: PageCut(*position))

    async def _wanted(self, query: FileQuery, after: Position | None) -> list[FileConditions]:
        """The query with the project's id, once for each that has the name: mostly one."""
        if query.project is None:
            return [FileConditions(query, None, after)]
        keys = await ProjectRepository(self._session).keys_of(query.project)
        return [FileConditions(query, key.id, after) for key in keys]

    async def _positions(self, wanted: FileConditions, number: int) -> list[Position]:
        """Where the first so many files are that fit."""
        found = await self._all(wanted.walk(number))
        if len(found) == number or wanted.is_walked:
            return found
        edge = await self._all(wanted.end_of_walk())
        if not edge:
            return found
        return found + await self._all(wanted.look_up(edge[0], number - len(found)))

    async def _all(self, statement: Select[tuple[datetime, int]]) -> list[Position]:
        rows = await self._session.execute(statement)
        return [Position(row.created_at, row.file_id) for row in rows]


def _file_id(text: str) -> int:
    """The id of a file. Raises ValueError for what PostgreSQL's integer cannot hold."""
    file_id = int(text)
    if not 0 < file_id < 2**31:
        raise ValueError(f"{file_id} is no file's id")
    return file_id
