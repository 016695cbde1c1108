from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from anime.core.sheet_layout import Cell, lay_out


def box_of(cell: Cell) -> tuple[int, int, int, int]:
    (left, top), (width, height) = cell.at, cell.picture_size
    return left, top, left + width, top + height


def overlap(one: Cell, other: Cell) -> bool:
    a, b = box_of(one), box_of(other)
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_four_pictures_stand_two_by_two() -> None:
    sheet = lay_out(["a", "b", "c", "d"])
    assert (sheet.columns, sheet.rows) == (2, 2)


def test_the_columns_can_be_given() -> None:
    sheet = lay_out(["x"] * 5, columns=4)
    assert (sheet.columns, sheet.rows) == (4, 2)


def test_one_picture_has_a_gap_on_each_side_and_room_for_its_caption() -> None:
    sheet = lay_out(["a"], cell_size=(100, 50), gap_px=10, caption_px=12)
    assert sheet.size == (120, 10 + 50 + 18 + 10)
    assert sheet.cells[0].at == (10, 10)
    assert sheet.cells[0].caption_at == (10, 60)


def test_a_smaller_picture_stands_in_the_middle_of_its_box() -> None:
    cell = lay_out(["a"], cell_size=(100, 50), gap_px=10).cells[0]
    assert cell.picture_at((50, 50)) == (35, 10)
    assert cell.picture_at((100, 20)) == (10, 25)


def test_a_long_caption_is_cut_to_the_width_of_its_cell() -> None:
    caption = lay_out(["a girl on a rooftop " * 20], cell_size=(160, 160)).cells[0].caption
    assert caption.endswith("…")
    assert len(caption) < 25


def test_a_sheet_of_nothing_is_still_a_sheet() -> None:
    sheet = lay_out([])
    assert sheet.cells == ()
    assert min(sheet.size) > 0


@given(st.integers(1, 20), st.tuples(st.integers(8, 400), st.integers(8, 400)), st.integers(0, 30))
def test_pictures_lie_on_the_sheet_and_never_on_one_another(
    count: int, cell_size: tuple[int, int], gap_px: int
) -> None:
    sheet = lay_out(["x"] * count, cell_size=cell_size, gap_px=gap_px)
    assert len(sheet.cells) == count
    for cell in sheet.cells:
        left, top, right, bottom = box_of(cell)
        assert left >= gap_px
        assert top >= gap_px
        assert right + gap_px <= sheet.size[0]
        assert bottom + gap_px <= sheet.size[1]
    assert not any(overlap(one, other) for one, other in combinations(sheet.cells, 2))
