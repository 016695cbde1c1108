"""What importing a shot list would do, row by row, for somebody who looks before it is done."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import BaseModel, Field

from anime.core.labels import shorten
from anime.core.shot_list import ListFault, ListReading, ListRow
from anime.core.shots import code_key

MAX_ROWS = 500  # that are shown
_CELL_CHARS = 200
_UNREAD = ListReading((), {}, (), (), ())


class RowChange(StrEnum):
    """What a row of a list does to its shot."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class CellFault(BaseModel):
    """What is wrong with a cell; nothing is imported before it is mended."""

    column: str
    message: str


class ListedRow(BaseModel):
    """A row of a list, and what becomes of it."""

    number: int = Field(description="As a spreadsheet counts; of YAML, the line.")
    unit: str = Field(description="Row, Line or Clip.")
    cells: dict[str, str] = Field(description="What it says, by field, shortened.")
    change: RowChange | None = Field(description="Null if it has a fault.")
    faults: list[CellFault]
    warnings: list[str] = Field(description="Why it could not be rendered as it is.")


class ImportPlan(BaseModel):
    """What importing a list would do."""

    columns: dict[str, str] = Field(
        description="Which field each column is read as, by heading; empty if as none."
    )
    added: int
    changed: int
    unchanged: int
    faulty: int = Field(description="Rows with faults; with any, nothing can be imported.")
    rows: list[ListedRow] = Field(
        description="At most 500: those with faults and warnings first, in the list's order."
    )
    problem: str = Field(default="", description="Why it cannot be read as a list at all.")
    todo: str = Field(default="", description="What to do about that.")


def plan_of(
    reading: ListReading,
    *,
    added: Iterable[str] = (),
    changed: Iterable[str] = (),
    warnings: Mapping[int, list[str]] | None = None,
) -> ImportPlan:
    """The plan of a list that was read.

    Args:
        reading: Its rows.
        added: The keys of the codes that it adds.
        changed: And of those that it changes.
        warnings: Why rows could not be rendered, by their numbers.
    """
    faults: defaultdict[int, list[ListFault]] = defaultdict(list)
    for fault in reading.faults:
        faults[fault.row.number].append(fault)
    kinds = dict.fromkeys(added, RowChange.ADDED) | dict.fromkeys(changed, RowChange.CHANGED)
    rows, warned = [], warnings or {}
    for row, shot in zip(reading.rows, reading.shots, strict=True):
        is_sound = shot is not None and row.number not in faults
        change = kinds.get(code_key(shot.code), RowChange.UNCHANGED) if shot and is_sound else None
        rows.append(_row(reading, row, faults[row.number], change, warned.get(row.number)))
    changes = [row.change for row in rows]
    rows.sort(key=lambda row: not (row.faults or row.warnings))  # in order otherwise
    return ImportPlan(
        columns={
            heading.strip(): reading.places.get(place, "")
            for place, heading in enumerate(reading.headings)
        },
        added=changes.count(RowChange.ADDED),
        changed=changes.count(RowChange.CHANGED),
        unchanged=changes.count(RowChange.UNCHANGED),
        faulty=changes.count(None),
        rows=rows[:MAX_ROWS],
    )


def refused_plan(
    problem: str,
    todo: str,
    *,
    columns: Mapping[str, str] | None = None,
    faults: Iterable[ListFault] = (),
) -> ImportPlan:
    """The plan of what cannot be read as a list, with the faults that are known."""
    found: defaultdict[int, list[ListFault]] = defaultdict(list)
    for fault in faults:
        found[fault.row.number].append(fault)
    rows = [_row(_UNREAD, of_row[0].row, of_row, None, None) for of_row in found.values()]
    return ImportPlan(
        columns=dict(columns or {}),
        added=0,
        changed=0,
        unchanged=0,
        faulty=len(rows),
        rows=rows[:MAX_ROWS],
        problem="" if rows else problem,
        todo="" if rows else todo,
    )


def _row(
    reading: ListReading,
    row: ListRow,
    faults: Iterable[ListFault],
    change: RowChange | None,
    warnings: list[str] | None,
) -> ListedRow:
    cells = {
        field: shorten(row.cell(place) or "", _CELL_CHARS)
        for place, field in reading.places.items()
    }
    return ListedRow(
        number=row.number,
        unit=row.unit,
        cells={field: cell for field, cell in cells.items() if cell},
        change=change,
        faults=[CellFault(column=each.column, message=each.message) for each in faults],
        warnings=warnings or [],
    )
