"""The first sheet of an Excel workbook as rows of a shot list."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, time, timedelta
from io import BytesIO
from itertools import chain
from zipfile import BadZipFile, ZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from anime.core.shot_list import MAX_BYTES, MAX_SHOTS, ListFault, ListRow, escaped, refusal_of
from anime.errors import InvalidRequest

_MOST_UNPACKED = 256 * 1024 * 1024
_MOST_COLUMNS = 256
_EXACT = 10**15  # Excel keeps 15 digits of a number
# What openpyxl raises of damaged files, ParseError of XML among them.
_FAULTS = (BadZipFile, InvalidFileException, SyntaxError, LookupError, ValueError, TypeError)
_AS_TEXT = "format the column as text, and enter it again"
_SAVE = "Save it as a workbook (.xlsx) or as “CSV UTF-8”."


def workbook_rows(data: bytes) -> Iterator[ListRow]:
    """The rows of the first sheet, as they are seen.

    Raises:
        InvalidRequest: it is no workbook, has too many rows, or headings that are merged cells or
            values that Excel has changed. Of other rows, such cells are `unreadable`.
    """
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"The workbook is larger than {MAX_BYTES:,} bytes.", "Split it.")
    try:
        _refuse_unpacking(data)
        _refuse_long(data)
        # As a whole, once it is known to be small: only so openpyxl tells of merged cells.
        sheet = load_workbook(BytesIO(data)).worksheets[0]
    except InvalidRequest:
        raise
    except _FAULTS as fault:
        raise InvalidRequest(f"The list is no workbook: {fault}.", _SAVE) from None
    merged = defaultdict[tuple[int, int], list[tuple[str, str]]](list)
    for area in sheet.merged_cells.ranges:
        for place in range(area.min_col - 1, area.max_col):
            merged[area.min_row, place].append((area.coord, "are merged cells; fill in each row"))
    rows = []
    for number, cells in enumerate(sheet.iter_rows(max_col=_columns_of(sheet)), start=1):
        unreadable = {
            place: tuple(found)
            for place, cell in enumerate(cells)
            if (found := merged[number, place] + _faults_of(cell.coordinate, cell.value))
        }
        texts = [_text_of(cell.value, cell.data_type) for cell in cells]
        rows.append(ListRow(number, texts, unreadable=unreadable))
    if rows and rows[0].unreadable:
        merges = dict.fromkeys(chain.from_iterable(rows[0].unreadable.values()))
        raise refusal_of([ListFault(rows[0], *each) for each in merges])
    return iter(rows)


def _refuse_unpacking(data: bytes) -> None:
    """Make sure that the workbook does not unpack to more than fits."""
    with ZipFile(BytesIO(data)) as parts:
        size = sum(part.file_size for part in parts.infolist())
    if size > _MOST_UNPACKED:
        raise InvalidRequest(f"The workbook unpacks to {size:,} bytes.", "Keep only its list.")


def _refuse_long(data: bytes) -> None:
    """Make sure that the sheet has few rows, without reading more of it."""
    book = load_workbook(BytesIO(data), read_only=True)
    try:
        filled = 0
        for row in book.worksheets[0].iter_rows(values_only=True):
            filled += any(value is not None for value in row)
            if filled > MAX_SHOTS + 1:
                raise InvalidRequest(
                    f"The workbook has more than {MAX_SHOTS:,} rows; that is the most.", "Split it."
                )
    finally:
        book.close()


def _columns_of(sheet: object) -> int:
    return min(int(getattr(sheet, "max_column", 0) or 0), _MOST_COLUMNS)


def _text_of(value: object, kind: str) -> str:
    """What a cell shows. A formula stays one, and is refused with its row and field."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if kind in {"f", "e"} else escaped(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _faults_of(place: str, value: object) -> list[tuple[str, str]]:
    """What Excel may have made of what somebody has typed."""
    if isinstance(value, date | time | timedelta):  # a datetime is a date
        return [(place, f"is a date; {_AS_TEXT}")]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and abs(float(str(value))) >= _EXACT:
        return [(place, f"is a number that Excel has rounded; {_AS_TEXT}")]
    return []
