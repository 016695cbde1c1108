"""A shot list: from rows of cells to the shots, with every fault's place; and tables as text."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from anime.core.field_errors import FieldError, field_errors_of
from anime.core.shots import MAX_TABLE_CHARS, ShotFields, code_key
from anime.errors import InvalidRequest

MAX_SHOTS = 10_000
MAX_BYTES = 2 * MAX_TABLE_CHARS  # as UTF-16
FIELDS = tuple(ShotFields.model_fields)
_ASK = "docs/shots.md says what a shot list may hold."
_DELIMITERS = ",;\t"
_SAMPLE_CHARS = 4096  # of the header, for the delimiter
_SAID = 20  # faults that a message names
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_SEPARATORS = re.compile(r"[,、;；\n]")  # between characters
_FORMULA = re.compile(r"=|#(?:REF!|N/A|VALUE!|NAME\?|DIV/0!|NULL!|NUM!)")
_ESCAPED = re.compile(r"'(?=[=+\-@'#])")  # by us, so that no spreadsheet computes it
_TO_ESCAPE = re.compile(r"^(?=[=+\-@'#])")
# By their letters alone. English, Japanese, and what common production trackers export.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "code": (
        "code",
        "shot",
        "shotcode",
        "shotname",
        "cut",
        "cutno",
        "カット",
        "カット番号",
        "ショット",
    ),
    "episode": ("episode", "ep", "話数", "話", "エピソード"),
    "scene": ("scene", "sequence", "シーン", "シーン番号"),
    "description": ("description", "action", "内容", "説明", "ト書き"),
    "characters": ("characters", "character", "キャラクター", "キャラ", "登場人物"),
    "prompt": ("prompt", "positiveprompt", "プロンプト"),
    "negative_prompt": ("negativeprompt", "negative", "ネガティブプロンプト", "ネガティブ"),
    "workflow": ("workflow", "ワークフロー"),
    "model": ("model", "checkpoint", "モデル"),
    "width": ("width", "幅"),
    "height": ("height", "高さ"),
    "frames": ("frames", "framecount", "nbframes", "フレーム", "フレーム数", "コマ数"),
    "seconds": ("seconds", "duration", "sec", "秒", "秒数", "尺"),
    "seed": ("seed", "シード", "シード値"),
    "notes": ("notes", "note", "remarks", "備考", "メモ"),
    "status": ("status", "state", "状態", "ステータス"),
}
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row. Rows count from 1, the header's, as a spreadsheet counts; lines of a text do, too.

    A cell of None says nothing; an empty one empties its field. `unreadable` has, by place, the
    cells that cannot be taken: what each is called, and why. They count if their column does.
    """

    number: int
    cells: Sequence[str | None]
    unit: str = "Row"
    unreadable: Mapping[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def cell(self, place: int) -> str | None:
        """The cell at that place without spaces around it; what a row lacks at its end is empty."""
        cell = self.cells[place] if place < len(self.cells) else ""
        return cell if cell is None else cell.strip()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not any(cell and cell.strip() for cell in self.cells)


@dataclass(frozen=True, slots=True)
class ListFault:
    """What is wrong with a cell."""

    row: ListRow
    column: str
    message: str

    def __str__(self) -> str:
        return f"{self.row.unit} {self.row.number}, {self.column}: {self.message}."


@dataclass(frozen=True, slots=True)
class ShotList:
    """The shots of a list, in its order, and how it was read.

    `columns` has the field of each column by its heading; `ignored` the headings of the others.
    `rows` has the row of each shot; `said` the fields of which it says something.
    """

    shots: tuple[ShotFields, ...]
    rows: tuple[ListRow, ...]
    said: tuple[frozenset[str], ...]
    columns: Mapping[str, str]
    ignored: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        """The fields that the list speaks of; it leaves the others of a shot as they are."""
        return frozenset(self.columns.values())


class ListRefused(InvalidRequest):
    """A list has faults; `faults` has each with its row."""

    def __init__(self, what: str, todo: str, faults: Sequence[ListFault]) -> None:
        super().__init__(what, todo)
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class ListReading:
    """The rows of a list as they were read, faults and all.

    `places` has the field of each column by its place; `shots` a shot for each row, or None.
    """

    headings: tuple[str, ...]
    places: Mapping[int, str]
    rows: tuple[ListRow, ...]
    shots: tuple[ShotFields | None, ...]
    faults: tuple[ListFault, ...]

    def said(self, row: ListRow) -> frozenset[str]:
        """The fields of which the row says something."""
        return frozenset(
            field for place, field in self.places.items() if row.cell(place) is not None
        )

    def sound(self) -> ShotList:
        """The shots of the rows without a fault."""
        faulty = {fault.row.number for fault in self.faults}
        found = [
            (shot, row)
            for row, shot in zip(self.rows, self.shots, strict=True)
            if shot is not None and row.number not in faulty
        ]
        return ShotList(
            shots=tuple(shot for shot, _ in found),
            rows=tuple(row for _, row in found),
            said=tuple(self.said(row) for _, row in found),
            columns={self.headings[place].strip(): field for place, field in self.places.items()},
            ignored=tuple(
                heading.strip()
                for place, heading in enumerate(self.headings)
                if place not in self.places
            ),
        )


def read_shot_list(
    table: str | Iterable[ListRow],
    columns: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
) -> ShotList:
    """The shots of a list.

    Args:
        table: Its rows, the headings first; or a text with commas, semicolons or tabs, and quoted
            cells of many lines, as a spreadsheet exports CSV.
        columns: Fields of columns by their headings, where they are not to be guessed; an empty
            field ignores the column.
        known: The same of headings that the list need not have, as earlier lists had them.

    Raises:
        InvalidRequest: a sentence for each fault of the list, with its row and column.
    """
    reading = read_rows(table, columns, known)
    if reading.faults:
        raise refusal_of(reading.faults)
    if not reading.shots:
        raise InvalidRequest("The shot list has a header and no shots.", _ASK)
    return reading.sound()


def read_rows(
    table: str | Iterable[ListRow],
    columns: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
) -> ListReading:
    """The same with faults and all.

    Raises:
        InvalidRequest: it has no headings, too many rows, or no column with the code.
    """
    rows = iter(table_rows(table) if isinstance(table, str) else table)
    header = next(rows, None)
    if header is None:
        raise InvalidRequest("The shot list is empty.", _ASK)
    headings = [(cell or "").replace("\0", "") for cell in header.cells]
    places = _places_of(headings, columns or {}, known or {})
    filled = [row for row in rows if not row.is_empty]
    if len(filled) > MAX_SHOTS:
        raise InvalidRequest(
            f"The shot list has {len(filled):,} rows; {MAX_SHOTS:,} are the most.", "Split it."
        )
    shots: list[ShotFields | None] = []
    faults: list[ListFault] = []
    for row in filled:
        try:
            shots.append(_shot_of(row, places))
        except _RowError as fault:
            shots.append(None)
            faults += fault.faults
    faults += _repeated_codes(filled, places)
    faults += _cells_without_heading(filled, len(headings))
    return ListReading(tuple(headings), places, tuple(filled), tuple(shots), tuple(faults))


def guessed_columns(headings: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """The field of each column by its heading, as it is taken unless somebody says otherwise."""
    return {
        heading: known.get(heading, _FIELD_OF.get(_letters_of(heading), "")) for heading in headings
    }


def write_shot_list(shots: Iterable[ShotFields]) -> bytes:
    """The shots as CSV that spreadsheets open as it is (UTF-8 with its mark, CRLF).

    What they would compute begins with an apostrophe, which reading the list takes off again.
    """
    written = _Lines()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for shot in shots:
        values = shot.model_dump(mode="json", include=set(FIELDS))
        writer.writerow([escaped(cell_of(values[name])) for name in FIELDS])
    return codecs.BOM_UTF8 + "".join(written.lines).encode()


def table_rows(text: str) -> Iterator[ListRow]:
    """The rows of a table. A cell may hold line breaks, so lines are not counted.

    Raises:
        InvalidRequest: a quoted cell does not end.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as spreadsheets of old Macs end their lines
    sample = text[:_SAMPLE_CHARS].split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=sample.count)
    reader = csv.reader(_LINE.findall(text), delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            yield ListRow(number, cells)
    except csv.Error as fault:
        raise InvalidRequest(f"The shot list ends at row {number + 1}: {fault}.", _ASK) from None


def escaped(text: str) -> str:
    """The text as a cell that no spreadsheet computes; reading a list takes the mark off again.

    >>> escaped("=1+1"), escaped("a roof")
    ("'=1+1", 'a roof')
    """
    return _TO_ESCAPE.sub("'", text, count=1)


def decode_table(data: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 or Shift-JIS, without its mark.

    Raises:
        InvalidRequest: it is too large, or in no encoding that is known.
    """
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"The shot list is larger than {MAX_BYTES:,} bytes.", "Split it.")
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp932"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text.count("\x00") * 8 <= len(
            text
        ):  # a few are faults of cells, more of another encoding
            return text
    raise InvalidRequest(
        "The shot list is neither UTF-8, nor UTF-16 with its mark, nor Shift-JIS.",
        "Save it again as “CSV UTF-8”.",
    )


class _Lines:
    """What `csv` writes to, as it writes to anything with such a method."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


class _RowError(Exception):
    def __init__(self, faults: Sequence[ListFault]) -> None:
        self.faults = faults


def _places_of(
    header: Sequence[str], given: Mapping[str, str], known: Mapping[str, str]
) -> dict[int, str]:
    """The field of each column by its place."""
    headings = [cell.strip() for cell in header]
    if unknown := sorted(set(given) - set(headings)):
        raise InvalidRequest(
            f"The shot list has no column {unknown[0]!r}.", f"It has: {', '.join(headings)}."
        )
    if wrong := sorted(set(given.values()) - {*FIELDS, ""}):
        raise InvalidRequest(f"A shot has no field {wrong[0]!r}.", f"It has: {', '.join(FIELDS)}.")
    places: dict[int, str] = {}
    fields = guessed_columns(headings, {**known, **given})
    for place, heading in enumerate(headings):
        field = fields[heading]
        if field in places.values():
            first = next(headings[each] for each, name in places.items() if name == field)
            raise InvalidRequest(
                f"Columns {first!r} and {heading!r} are both the {field} of the shots.",
                "Rename one, or say which counts: --column HEADING=FIELD, --column HEADING=.",
            )
        if field:
            places[place] = field
    if "code" not in places.values():
        raise InvalidRequest(
            f"No column of the shot list is the code of the shots: {', '.join(headings)}.",
            "Name one `code`, or say which it is: --column HEADING=code.",
        )
    return places


def _letters_of(heading: str) -> str:
    return "".join(each for each in code_key(heading) if each.isalnum())


def _shot_of(row: ListRow, places: Mapping[int, str]) -> ShotFields:
    cells = {field: row.cell(place) or "" for place, field in places.items()}
    unreadable = (each for place in places for each in row.unreadable.get(place, ()))
    faults = [ListFault(row, *each) for each in dict.fromkeys(unreadable)] + [
        ListFault(row, field, "is a formula or its error; save the values")
        for field, cell in cells.items()
        if _FORMULA.match(cell)
    ]
    if faults:
        raise _RowError(faults)
    given = {
        field: _value_of(field, _ESCAPED.sub("", cell, count=1) if _ESCAPED.match(cell) else cell)
        for field, cell in cells.items()
        if cell
    }
    if "code" not in given:
        raise _RowError(
            [ListFault(row, "code", "is empty; merged cells are to be filled in each row")]
        )
    try:
        return ShotFields.model_validate(given)
    except ValidationError as fault:
        errors = field_errors_of(fault.errors(include_input=False, include_url=False))
        raise _RowError(
            [ListFault(row, _column_of(each), each.message) for each in errors]
        ) from None


def _column_of(error: FieldError) -> str:
    name = error.field.split(".")[0]
    return name if name in FIELDS else "its length"  # the one check over two fields


def _value_of(field: str, cell: str) -> Any:  # text, or what a field of another type takes
    if field == "characters":
        return [name for part in _SEPARATORS.split(cell) if (name := part.strip())]
    return cell


def _repeated_codes(rows: Sequence[ListRow], places: Mapping[int, str]) -> Iterator[ListFault]:
    place = next(place for place, field in places.items() if field == "code")
    first: dict[str, int] = {}
    for row in rows:
        code = code_key(" ".join((row.cell(place) or "").split()))
        if code and first.setdefault(code, row.number) != row.number:
            where = f"{row.unit.lower()} {first[code]}"
            yield ListFault(row, "code", f"is that of {where} already")


def _cells_without_heading(rows: Sequence[ListRow], columns: int) -> Iterator[ListFault]:
    """What stands beyond the last heading: a text with commas, most likely, that was cut."""
    for row in rows:
        for place in range(columns, len(row.cells)):
            if row.cell(place):
                message = "has no heading; a text with commas needs quotes around it"
                yield ListFault(row, f"cell {place + 1}", message)
                break


def refusal_of(faults: Sequence[ListFault]) -> ListRefused:
    """The error that names the faults, by row; of very many, how many more there are."""
    ordered = sorted(faults, key=lambda fault: fault.row.number)
    said = " ".join(map(str, ordered[:_SAID]))
    kinds = Counter(fault.column for fault in ordered[_SAID:])
    more = f" And {len(ordered) - _SAID:,} more, in {', '.join(kinds)}." if kinds else ""
    return ListRefused(f"{said}{more} Nothing is imported.", _ASK, ordered)


def cell_of(value: object) -> str:
    """A value of a shot as the cell of a list."""
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)
