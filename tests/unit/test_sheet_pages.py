from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.sheet_layout import fit, lay_out
from anime.core.sheet_pages import caption_of, page_for, page_path, pictures_per_page
from anime.schemas import FileRecord


def record(**more: object) -> FileRecord:
    facts: dict[str, object] = {
        "id": 1,
        "filename": "fox.png",
        "file_type": "image",
        "file_path": "/library/fox.png",
        "file_size": 9,
        "created_at": datetime(2026, 4, 12, tzinfo=UTC),
    }
    return FileRecord.model_validate(facts | more)


def test_a_caption_is_name_prompt_and_seed() -> None:
    file = record(metadata={"prompt": "a fox\nin the  snow", "seed": "18446744073709551615"})
    assert caption_of(file).split("\n") == [
        "fox.png",
        "a fox in the snow",
        "seed 18446744073709551615",
    ]


@pytest.mark.parametrize("metadata", [{}, {"prompt": {"3": []}, "seed": None}, {"value": [1]}])
def test_a_caption_of_a_file_nothing_is_known_of_is_its_name(metadata: dict[str, object]) -> None:
    assert caption_of(record(metadata=metadata)) == "fox.png\n\n"


def test_each_line_of_a_caption_is_cut_and_has_its_room() -> None:
    one = lay_out(["a" * 200], cell_size=(100, 100))
    three = lay_out(["\n".join(["a" * 200] * 3)], cell_size=(100, 100))
    assert three.cells[0].caption.split("\n") == [one.cells[0].caption] * 3
    assert three.size[1] - one.size[1] == 2 * 21


def test_wide_letters_take_more_room() -> None:
    assert fit("屋根の上の少女", 5) == "屋根の上…"
    assert fit("rooftop", 5) == "rooftop"


@given(st.text(max_size=60), st.floats(1, 40))
def test_what_is_cut_is_on_one_line_and_fits(text: str, room: float) -> None:
    cut = fit(text, room)
    assert "\n" not in cut
    assert len(cut) <= room / 0.55 + 1


@given(st.integers(1, 20))
def test_a_page_is_about_as_high_as_paper(columns: int) -> None:
    count = pictures_per_page(columns)
    cell_size, across = page_for(count, columns, is_only=False)
    sheet = lay_out(["a\nb\nc"] * count, cell_size=cell_size, columns=across)
    assert sheet.columns == columns
    assert columns < 3 or 1.2 < sheet.size[1] / sheet.size[0] < 1.6


def test_few_pictures_on_the_only_page_are_large() -> None:
    assert page_for(4, None, is_only=True)[0] == (320, 320)
    assert page_for(4, None, is_only=False)[0] == (256, 256)


def test_pages_after_the_first_are_numbered() -> None:
    names = [page_path(PurePosixPath("/a/rain.png"), number).name for number in (1, 2, 11)]
    assert names == ["rain.png", "rain-2.png", "rain-11.png"]
