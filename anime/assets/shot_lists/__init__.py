"""Shot lists in files: CSV, XLSX, YAML and OTIO become rows of cells."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from anime.assets.limited_process import LimitedFunction, call_limited
from anime.core.shot_list import (
    ListFault,
    ListRefused,
    ListRow,
    decode_table,
    refusal_of,
    table_rows,
)
from anime.core.shots import ListFormat
from anime.errors import InvalidRequest


def format_of(name: str) -> ListFormat:
    """What a file of that name is taken for: CSV, unless its suffix says otherwise."""
    return _SUFFIXES.get(PurePath(name).suffix.lower(), ListFormat.CSV)


_SUFFIXES = {
    ".xlsx": ListFormat.XLSX,
    ".xlsm": ListFormat.XLSX,
    ".yaml": ListFormat.YAML,
    ".yml": ListFormat.YAML,
    ".otio": ListFormat.OTIO,
}


def rows_of_list(data: bytes, kind: ListFormat) -> Iterable[ListRow]:
    """The rows of a list, its headings first.

    Raises:
        InvalidRequest: it is none, too large, or has what is refused: the message says where.
    """
    match kind:
        case ListFormat.XLSX:
            from anime.assets.shot_lists.workbook import workbook_rows  # openpyxl: 0.15 s

            return workbook_rows(data)
        case ListFormat.YAML:
            from anime.assets.shot_lists.yaml_list import yaml_rows

            return yaml_rows(decode_table(data))
        case ListFormat.OTIO:
            from anime.assets.shot_lists.timeline import timeline_rows

            return timeline_rows(decode_table(data))
    return table_rows(decode_table(data))


async def rows_of_upload(data: bytes, kind: ListFormat) -> Iterable[ListRow]:
    """The same of what somebody has sent or named, read in a process of its own."""
    if kind is ListFormat.CSV:  # the standard library's reader of texts, a line at a time
        return await asyncio.to_thread(rows_of_list, data, kind)
    died = InvalidRequest(
        "The list cannot be read: its reader crashed, or took too much time or memory.",
        "Save it again with the program that it is from, or send it as CSV.",
    )
    read = await call_limited(died, _READ_LIST, data, kind)
    if read.faults:
        raise refusal_of(read.faults)
    return read.rows


@dataclass(frozen=True, slots=True)
class _ReadList:
    """The rows of a list, or else what is wrong with it."""

    rows: tuple[ListRow, ...] = ()
    faults: tuple[ListFault, ...] = ()


def _read_list(data: bytes, kind: ListFormat) -> _ReadList:
    try:
        return _ReadList(rows=tuple(rows_of_list(data, kind)))
    except ListRefused as refusal:
        return _ReadList(faults=refusal.faults)


_READ_LIST = LimitedFunction(_read_list, _ReadList)
