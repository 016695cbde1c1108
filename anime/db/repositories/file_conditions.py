"""A search as SQL: what must hold of a file, and the two ways to those of which it does."""

from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    Text,
    cast,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import aliased
from sqlalchemy.orm.util import AliasedClass

from anime.db.models import SCHEMA, SearchableFile
from anime.db.repositories.file_query import FileQuery, Position, phrases_of

WALKED_FILES = 4000  # some ten milliseconds
# Each has an index in the order of time. The rarer a value tends to be, the earlier.
_LEADING = ("job_id", "seed", "project_id", "character", "model", "kind")
_IN_LOWER_CASE = ("kind", "state", "character", "model")
_TAGGED = {"project_id": "project"} | {name: name for name in _IN_LOWER_CASE}

_Searched = type[SearchableFile] | AliasedClass[SearchableFile]
_functions = getattr(func, SCHEMA)
_Places = Select[tuple[datetime, int]]
_Terms = ColumnElement[Any]  # a tsquery, which Python has no type for


class Wanted:
    """A query whose project is known by its id, from a position on."""

    def __init__(self, query: FileQuery, project_id: UUID | None, after: Position | None) -> None:
        self._query = query
        self._after = after
        asked = query.model_dump(include={"job_id", "kind", "state", "character", "model"})
        asked["project_id"] = project_id
        asked["seed"] = None if query.seed is None else str(query.seed)
        self._values = {name: value for name, value in asked.items() if value is not None}
        self._leader = next((name for name in _LEADING if name in self._values), None)

    @property
    def is_simple(self) -> bool:
        """Whether the leading value is all that is asked for, so that each file walked by fits."""
        return self._query.text is None and self._values.keys() <= {self._leader}

    def walk(self, number: int) -> _Places:
        """The first so many that fit, among the nearest that have the leading value."""
        if self.is_simple:
            return self._along(_places(SearchableFile)).limit(number)
        nearest = self._along(select(SearchableFile)).limit(WALKED_FILES)
        near = aliased(SearchableFile, nearest.subquery())
        fits = [self._has(near, name) for name in self._values]
        if phrases := [*self._phrases()]:
            fits.append(near.terms.op("@@")(reduce(_and, phrases)))
        return _newest_first(_places(near).where(*fits), near).limit(number)

    def end_of_walk(self) -> _Places:
        """The last position the walk looks at; nothing where it has seen all there are."""
        return self._along(_places(SearchableFile)).offset(WALKED_FILES - 1).limit(1)

    def look_up(self, walked_to: Position, number: int) -> _Places:
        """The first so many that fit, after where the walk has ended, month by month.

        Each month (of four weeks) is asked of the index of terms until there are enough.
        OFFSET 0 is a fence: PostgreSQL would else go through all files wherever it takes the
        words for common, and through a second index wherever there is one.
        """
        since = literal(self._query.since, DateTime(timezone=True))
        until = literal(walked_to.created_at, DateTime(timezone=True))
        months = _functions.months_of_files(since, until).table_valued("month").render_derived()
        of_month = cast(literal("'month:") + cast(months.c.month, Text) + literal("'"), TSQUERY)
        words = [*self._phrases()]
        terms = reduce(_and, [*words, *self._tags(), of_month])
        of_terms = select(SearchableFile).where(SearchableFile.terms.op("@@")(terms))
        near = aliased(SearchableFile, of_terms.correlate(months).offset(literal(0)).subquery())
        fits = [*(self._has(near, name) for name in self._values), *self._in_time(near, walked_to)]
        if words:  # a text of mere punctuation is found nowhere, here as on the walk
            fits.append(func.numnode(reduce(_and, words)) > 0)
        first = _newest_first(_places(near).where(*fits), near).limit(number).lateral()
        # In the order of the months, as a nested loop keeps it: sorting would ask all of them.
        return select(first).select_from(months.join(first, true())).limit(number)

    def _along(self, statement: Select[Any]) -> Select[Any]:  # of what, the caller knows
        """The files that have the leading value, newest first, after the position."""
        leading = [self._has(SearchableFile, self._leader)] if self._leader else []
        nearest = statement.where(*leading, *self._in_time(SearchableFile, self._after))
        return _newest_first(nearest, SearchableFile)

    def _in_time(
        self, searched: _Searched, after: Position | None
    ) -> Iterator[ColumnElement[bool]]:
        created_at = searched.created_at
        if self._query.since is not None:
            yield created_at >= self._query.since
        if self._query.until is not None:
            yield created_at < self._query.until
        if after is not None:
            yield tuple_(created_at, searched.file_id) < tuple_(*map(literal, after))

    def _has(self, searched: _Searched, name: str) -> ColumnElement[bool]:
        """That the column has the value asked for."""
        value = literal(self._values[name])
        column: ColumnElement[Any] = getattr(searched, name)  # of any type, as its value
        return column == (func.lower(value) if name in _IN_LOWER_CASE else value)

    def _phrases(self) -> Iterator[_Terms]:
        """Each word of the text; letters that stand without a blank stand so in the prompt."""
        for word, is_beginning in phrases_of(self._query.text or ""):
            yield _functions.phrase_of(word, is_beginning, type_=TSQUERY)

    def _tags(self) -> Iterator[_Terms]:
        """What the terms say of the columns."""
        for name, tag in _TAGGED.items():
            if name in self._values:
                quoted = f"{tag}:{self._values[name]}".replace("\\", "\\\\").replace("'", "''")
                yield cast(func.lower(f"'{quoted}'"), TSQUERY)


def _places(searched: _Searched) -> _Places:
    return select(searched.created_at, searched.file_id)


def _newest_first(statement: Select[Any], searched: Any) -> Select[Any]:  # has the two columns
    return statement.order_by(searched.created_at.desc(), searched.file_id.desc())


def _and(one: _Terms, other: _Terms) -> _Terms:
    return one.op("&&")(other)
