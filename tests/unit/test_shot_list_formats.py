"""Shot lists in workbooks, in YAML and as timelines: the same shots, faults with their places."""

import json
from collections.abc import Callable
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest
from openpyxl import Workbook

from anime.assets.shot_lists import format_of, rows_of_list
from anime.assets.shot_lists.timeline import write_timeline
from anime.core.shot_list import MAX_SHOTS, ShotList, read_shot_list
from anime.core.shots import ListFormat, ShotFields
from anime.errors import InvalidRequest

SHOTS = (
    ShotFields(code="sc2", episode="1", characters=["Mei", "Ken"], prompt="=a roof", width=512),
    ShotFields(code="sc10", episode="1", prompt="a door,\nopen", seconds=3.5, seed=2**64 - 1),
)
ROWS: list[list[Any]] = [
    ["Cut", "episode", "characters", "prompt", "width", "seconds", "seed", "Editor"],
    ["sc2", 1, "Mei, Ken", "=a roof", 512, None, None, "x"],
    [None] * 8,
    ["sc10", 1.0, None, "a door,\nopen", None, 3.5, str(2**64 - 1), None],
]


def workbook(
    rows: list[list[Any]] = ROWS, change: Callable[[Any], None] = lambda sheet: None
) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    for row_cells in sheet.iter_rows():
        for cell in row_cells:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # a text, also where it looks like a formula
    change(sheet)
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


def read(data: bytes, kind: ListFormat) -> ShotList:
    return read_shot_list(rows_of_list(data, kind))


def refusal(data: bytes, kind: ListFormat) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read(data, kind)
    assert caught.value.todo
    return caught.value.what


def test_the_suffix_of_a_file_says_what_it_is_written_in() -> None:
    names = ("a.CSV", "a.xlsx", "a.yml", "a.otio", "a")
    assert [format_of(name).value for name in names] == ["csv", "xlsx", "yaml", "otio", "csv"]


def test_a_workbook_is_read_as_it_is_seen() -> None:
    found = read(workbook(), ListFormat.XLSX)
    assert found.shots == SHOTS
    assert [row.number for row in found.rows] == [2, 4]
    assert found.ignored == ("Editor",)


def test_formulas_dates_and_rounded_numbers_are_refused_with_row_and_column() -> None:
    def change(sheet: Any) -> None:
        sheet["E2"] = "=256*2"
        sheet["B4"] = date(2026, 1, 2)
        sheet["G4"] = 2**63

    said = refusal(workbook(change=change), ListFormat.XLSX)
    assert "Row 4, B4: is a date" in said
    assert "Row 4, G4: is a number that Excel has rounded" in said
    formula = refusal(workbook(change=lambda sheet: sheet.__setitem__("E2", "=1")), ListFormat.XLSX)
    assert "Row 2, width: is a formula or its error" in formula


def test_merged_cells_are_refused_with_their_place() -> None:
    data = workbook(change=lambda sheet: sheet.merge_cells("B2:B4"))
    assert "Row 2, B2:B4: are merged cells" in refusal(data, ListFormat.XLSX)


def test_dates_and_merged_cells_of_columns_that_nobody_takes_are_not_refused() -> None:
    def change(sheet: Any) -> None:
        sheet["H2"] = date(2026, 5, 1)
        sheet.merge_cells("H2:H4")

    found = read(workbook(change=change), ListFormat.XLSX)
    assert found.shots == SHOTS
    taken = rows_of_list(workbook(change=change), ListFormat.XLSX)
    with pytest.raises(InvalidRequest, match=r"Row 2, H2:H4: are merged.* Row 2, H2: is a date"):
        read_shot_list(taken, {"Editor": "notes"})


def test_merged_headings_are_refused() -> None:
    data = workbook(change=lambda sheet: sheet.merge_cells("H1:I1"))
    assert "Row 1, H1:I1: are merged cells" in refusal(data, ListFormat.XLSX)


def test_a_workbook_of_too_many_rows_is_refused_before_it_is_read_to_its_end() -> None:
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for number in range(15_000):
        sheet.append([f"sc{number}", "a roof"])
    stream = BytesIO()
    book.save(stream)
    assert f"more than {MAX_SHOTS:,} rows" in refusal(stream.getvalue(), ListFormat.XLSX)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"code\nsc1\n", workbook()[:-700]])
def test_what_is_no_workbook_is_refused(data: bytes) -> None:
    assert "is no workbook" in refusal(data, ListFormat.XLSX)


YAML = """\
- code: sc2
  episode: 1
  characters: [Mei, Ken]
  prompt: "=a roof"
  width: 512
- {code: sc10, episode: '1', prompt: "a door,\\nopen", seconds: 3.5, seed: 18446744073709551615}
"""


def test_a_list_in_yaml_is_read_by_its_keys() -> None:
    found = read(YAML.encode(), ListFormat.YAML)
    assert found.shots == SHOTS
    assert [row.number for row in found.rows] == [1, 6]
    assert found.said[0] == {"code", "episode", "characters", "prompt", "width"}


def test_faults_in_yaml_are_named_with_their_lines() -> None:
    text = "- code: sc1\n  width: 513\n- 7\n- code: SC1\n  notes: {a: b}\n  code: sc3\n"
    said = refusal(text.encode(), ListFormat.YAML)
    assert said.startswith("Line 3, the shot: is no mapping of fields. Line 5, notes: is no text")
    assert "Line 6, code: is there twice" in said
    twice = refusal(b"- code: sc1\n- code: SC1\n- width: 7\n  code: b\n", ListFormat.YAML)
    assert "Line 2, code: is that of line 1 already" in twice
    assert "Line 3, width" in twice


@pytest.mark.parametrize("text", ["", "code: sc1", "- [", "- &a [*a]", "[" * 5000])
def test_what_is_no_list_in_yaml_is_refused(text: str) -> None:
    assert refusal(text.encode(), ListFormat.YAML)


def test_a_timeline_brings_back_what_was_written(tmp_path: Path) -> None:
    picked = {"sc2": tmp_path / "sc2_屋上.png"}
    text = write_timeline("Neon City", SHOTS, picked, rate=24)
    found = read(text.encode(), ListFormat.OTIO)
    assert found.shots == SHOTS
    [track] = json.loads(text)["tracks"]["children"]
    references = [clip["media_references"]["DEFAULT_MEDIA"] for clip in track["children"]]
    assert references[0]["target_url"] == picked["sc2"].as_uri()
    assert "target_url" not in references[1]
    lengths = [clip["source_range"]["duration"]["value"] for clip in track["children"]]
    assert lengths == [24, 84]


def test_a_length_that_an_editor_has_changed_is_taken() -> None:
    timeline = otio.adapters.read_from_string(
        write_timeline("Neon City", SHOTS, {}, rate=24), "otio_json"
    )
    clip = timeline.tracks[0][1]
    clip.source_range = otio.opentime.TimeRange(
        otio.opentime.RationalTime(0, 24), otio.opentime.RationalTime(60, 24)
    )
    text = otio.adapters.write_to_string(timeline, "otio_json")
    found = read(text.encode(), ListFormat.OTIO)
    assert (found.shots[1].frames, found.shots[1].seconds) == (60, None)
    assert found.shots[0] == SHOTS[0]


def test_the_clips_of_a_foreign_timeline_are_shots() -> None:
    timeline = otio.schema.Timeline("cut 3")
    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    rate = 24
    length = otio.opentime.TimeRange(
        otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(48, rate)
    )
    track.append(otio.schema.Clip("sc1", source_range=length))
    track.append(otio.schema.Gap(source_range=length))
    track.append(otio.schema.Clip("sc2"))
    timeline.tracks.append(track)
    text = otio.adapters.write_to_string(timeline, "otio_json")
    found = read(text.encode(), ListFormat.OTIO)
    assert [(shot.code, shot.frames) for shot in found.shots] == [("sc1", 48), ("sc2", None)]
    track.append(otio.schema.Clip("SC1"))
    again = otio.adapters.write_to_string(timeline, "otio_json")
    assert "Clip 3, code: is that of clip 1 already" in refusal(again.encode(), ListFormat.OTIO)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "{" * 9, "[" * 200_000, '{"OTIO_SCHEMA": "X.1"}']
)
def test_what_is_no_timeline_is_refused(text: str) -> None:
    assert "is no timeline of OTIO" in refusal(text.encode(), ListFormat.OTIO)
