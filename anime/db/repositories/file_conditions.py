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

from anime.core.file_query import FileQuery, Position, phrases_of
from anime.core.shots import code_key
from anime.core.takes import Verdict
from anime.db.models import SCHEMA, ProductionJob, SearchableFile
from anime.db.shot_models import Shot, Take

WALKED_FILES = 1000  # a page of 50 where one in twenty fits; some milliseconds
# Each has an index in the order of time. The rarer a value tends to be, the earlier.
_LEADING = ("job_id", "seed", "project_id", "kind")
_IN_LOWER_CASE = ("kind", "state")
_OF_MANY = ("model", "character")  # a file may have several: only terms tell
_TAGGED = {"project_id": "project"} | {name: name for name in (*_IN_LOWER_CASE, *_OF_MANY)}

_Searched = type[SearchableFile] | AliasedClass[SearchableFile]
_functions = getattr(func, SCHEMA)
_Places = Select[tuple[datetime, int]]
_Span = ColumnElement[int]
_Terms = ColumnElement[Any]  # a tsquery, which Python has no type for


class FileConditions:
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
    def is_walked(self) -> bool:
        """Whether the walk alone finds all: the index of terms could tell no more."""
        if self._is_of_takes:
            return True
        return self._words is None and not _TAGGED.keys() & self._values.keys() - {self._leader}

    def walk(self, number: int) -> _Places:
        """The first so many that fit, among the nearest that have the leading value.

        Takes are few: all that are asked for are looked at. OFFSET 0 is a fence, as below.
        """
        if self._is_of_takes:
            takes = select(SearchableFile).where(*self._as_takes()).offset(literal(0))
            of_takes = aliased(SearchableFile, takes.subquery())
            asked = [*self._fits(of_takes), *self._in_time(of_takes, self._after)]
            return _newest_first(_places(of_takes).where(*asked), of_takes).limit(number)
        if self.is_walked:
            fits = self._fits(SearchableFile)
            return self._along(_places(SearchableFile)).where(*fits).limit(number)
        nearest = self._along(select(SearchableFile)).limit(WALKED_FILES)
        near = aliased(SearchableFile, nearest.subquery())
        return _newest_first(_places(near).where(*self._fits(near)), near).limit(number)

    def end_of_walk(self) -> _Places:
        """The last position the walk looks at; nothing where it has seen all there are."""
        return self._along(_places(SearchableFile)).offset(WALKED_FILES - 1).limit(1)

    def look_up(self, walked_to: Position, number: int) -> _Places:
        """The first so many that fit, after where the walk has ended, span by span.

        Each span (of two weeks) is asked of the index of terms until there are enough.
        OFFSET 0 is a fence: PostgreSQL would else go through all files wherever it takes the
        words for common, and through a second index wherever there is one.
        """
        since = literal(self._query.since, DateTime(timezone=True))
        until = literal(walked_to.created_at, DateTime(timezone=True))
        spans = _functions.spans_of_files(since, until).table_valued("span").render_derived()
        terms = reduce(_and, [*self._words_of(spans.c.span), *self._tags_of(spans.c.span)])
        indexed = _functions.terms_of_span(SearchableFile.terms, SearchableFile.created_at)
        of_terms = select(SearchableFile).where(indexed.op("@@")(terms))
        near = aliased(SearchableFile, of_terms.correlate(spans).offset(literal(0)).subquery())
        fits = [*self._fits(near), *self._in_time(near, walked_to)]
        first = _newest_first(_places(near).where(*fits), near).limit(number).lateral()
        # In the order of the spans, as a nested loop keeps it: sorting would ask all of them.
        return select(first).select_from(spans.join(first, true())).limit(number)

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

    @property
    def _is_of_takes(self) -> bool:
        return self._query.shot is not None or self._query.review is not None

    def _as_takes(self) -> Iterator[ColumnElement[bool]]:
        """What must hold of a file as a take of a shot."""
        if self._query.shot is not None:
            jobs = (
                select(ProductionJob.id)
                .join(
                    Shot,
                    (Shot.project_id == ProductionJob.project_id)
                    & (Shot.code == ProductionJob.shot),
                )
                .where(Shot.code_key == code_key(self._query.shot))
            )
            yield SearchableFile.job_id.in_(jobs)
        if self._query.review == "picked":
            yield SearchableFile.file_id.in_(select(Take.file_id).where(Take.is_picked))
        elif self._query.review is not None:
            verdict = Verdict(self._query.review)
            yield SearchableFile.file_id.in_(select(Take.file_id).where(Take.verdict == verdict))

    def _has(self, searched: _Searched, name: str) -> ColumnElement[bool]:
        """That the file has the value asked for; of a model, under any spelling."""
        if name in _OF_MANY:
            return searched.terms.op("@@")(cast(_quoted(self._term(name)), TSQUERY))
        value = literal(self._values[name])
        column: ColumnElement[Any] = getattr(searched, name)  # of any type, as its value
        return column == (func.lower(value) if name in _IN_LOWER_CASE else value)

    def _fits(self, searched: _Searched) -> Iterator[ColumnElement[bool]]:
        """What must hold of a file, wherever it stands in time."""
        for name in self._values:
            yield self._has(searched, name)
        if self._words is not None:
            yield searched.terms.op("@@")(self._words)

    @property
    def _words(self) -> _Terms | None:
        """The words of the text; letters that stand without a blank stand so in the prompt."""
        phrases = [
            _functions.phrase_of(word, is_beginning, type_=TSQUERY)
            for word, is_beginning in phrases_of(self._query.text or "")
        ]
        return reduce(_and, phrases) if phrases else None

    def _words_of(self, span: _Span) -> Iterator[_Terms]:
        """What the index says of the words."""
        if self._words is not None:
            yield _functions.words_of_span(self._words, span, type_=TSQUERY)

    def _tags_of(self, span: _Span) -> Iterator[_Terms]:
        """What the index says of the columns."""
        for name in _TAGGED:
            if name in self._values:
                of_span = cast(span, Text) + literal("/") + self._term(name)
                yield cast(_quoted(of_span), TSQUERY)

    def _term(self, name: str) -> ColumnElement[str]:
        """The term of a column's value, as `make_searchable` writes it."""
        value = literal(str(self._values[name]))
        if name == "model":
            key: ColumnElement[str] = _functions.model_key(value, type_=Text)
            return literal("model:") + key
        return literal(f"{_TAGGED[name]}:") + func.lower(value)


def _quoted(term: ColumnElement[str]) -> ColumnElement[str]:
    """The term as it stands in a tsquery."""
    escaped = func.replace(func.replace(term, "\\", "\\\\"), "'", "''")
    return literal("'") + escaped + literal("'")


def _places(searched: _Searched) -> _Places:
    return select(searched.created_at, searched.file_id)


def _newest_first(statement: Select[Any], searched: Any) -> Select[Any]:  # has the two columns
    return statement.order_by(searched.created_at.desc(), searched.file_id.desc())


def _and(one: _Terms, other: _Terms) -> _Terms:
    return one.op("&&")(other)
