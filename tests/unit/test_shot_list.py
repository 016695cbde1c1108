"""Shot lists, as spreadsheets write them."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.shot_list import (
    FIELDS,
    MAX_SHOTS,
    decode_table,
    read_shot_list,
    write_shot_list,
)
from anime.core.shots import ShotFields, code_key
from anime.errors import InvalidRequest

LIST = 'code,episode,characters,prompt,width\nsc1_c1,1,"Mei, Ken",a roof,512\nsc1_c2,1,,a door,\n'
SHOTS = (
    ShotFields(code="sc1_c1", episode="1", characters=["Mei", "Ken"], prompt="a roof", width=512),
    ShotFields(code="sc1_c2", episode="1", prompt="a door"),
)


def refusal(text: str, **columns: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_shot_list(text, columns)
    assert caught.value.todo
    return caught.value.what


@pytest.mark.parametrize(
    "data",
    [
        LIST.encode(),
        codecs.BOM_UTF8 + LIST.replace("\n", "\r\n").encode(),
        LIST.encode("utf-16"),
        codecs.BOM_UTF16_BE + LIST.encode("utf-16-be"),
        LIST.replace(",", ";").replace("Mei;", "Mei,").encode(),
        LIST.replace(",", "\t").replace("Mei\t", "Mei,").encode(),
    ],
)
def test_a_list_is_read_as_spreadsheets_write_it(data: bytes) -> None:
    assert read_shot_list(decode_table(data)).shots == SHOTS


def test_a_japanese_list_in_shift_jis_is_read_by_its_headings() -> None:
    header = "話数,シーン,カット番号,内容,登場人物,プロンプト,尺"
    text = f"{header}\r\n2,3,C010,屋上,ミラ、健,夜の屋上,3.5\r\n"
    found = read_shot_list(decode_table(text.encode("cp932")))
    assert found.shots == (
        ShotFields(
            code="C010",
            episode="2",
            scene="3",
            description="屋上",
            characters=["ミラ", "健"],
            prompt="夜の屋上",
            seconds=3.5,
        ),
    )
    assert found.columns["カット番号"] == "code"


def test_a_prompt_may_have_several_lines_and_rows_are_counted_as_a_spreadsheet_does() -> None:
    text = 'code,prompt,width\na,"a roof\nat dusk",512\n\nb,a door,513\n'
    assert refusal(text).startswith("Row 4, width: 513 is not a multiple of 8")


def test_headings_of_the_studios_own_are_told() -> None:
    found = read_shot_list("Cut ID,Prompt,Editor\n7,a roof,Ann\n", {"Cut ID": "code"})
    assert found.shots == (ShotFields(code="7", prompt="a roof"),)
    assert (dict(found.columns), found.ignored) == (
        {"Cut ID": "code", "Prompt": "prompt"},
        ("Editor",),
    )
    assert found.fields == {"code", "prompt"}


def test_lines_may_end_as_old_spreadsheets_end_them_and_rows_in_empty_cells() -> None:
    found = read_shot_list("code,prompt\ra,a roof,,\rb,a door\r")
    assert [(shot.code, shot.prompt) for shot in found.shots] == [("a", "a roof"), ("b", "a door")]


def test_a_column_that_is_to_be_ignored_is() -> None:
    found = read_shot_list("code,shot,prompt\na,b,a roof\n", {"shot": ""})
    assert found.shots[0].code == "a"
    assert found.ignored == ("shot",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("code,prompt\n", "no shots"),
        ("prompt\na roof\n", "No column of the shot list is the code"),
        ("code,shot\na,b\n", "Columns 'code' and 'shot' are both the code"),
        ("code,prompt\na,x\nA,y\n", "Row 3, code: is that of row 2 already"),
        ("code,prompt\n,x\n", "Row 2, code: is empty; merged cells"),
        ("code,prompt\na,=B2&C2\n", "Row 2, prompt: is a formula"),
        ("code,seed\na,#REF!\n", "Row 2, seed: is a formula or its error"),
        ("code,seed\na,-1\n", "Row 2, seed: input should be greater"),
        ("code,frames,seconds\na,1,2\n", "Row 2, its length: has both frames and seconds"),
        ("code\na/b\n", "Row 2, code: holds '/'"),
        ("code\na\x07b\n", "Row 2, code: holds '\\x07'"),
        ("code\na\u200bb\n", r"Row 2, code: holds '\u200b'"),
        ('code,prompt\na,"x"y\n', "ends at row 2"),
        ("code,prompt\na,a roof, at dusk\n", "Row 2, cell 3: has no heading; a text with commas"),
        ("code\n" + "".join(f"c{n}\n" for n in range(MAX_SHOTS + 1)), "10,000 are the most"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_its_place(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_nul_byte_is_said_with_its_row_and_dropped_from_a_heading() -> None:
    assert "Row 3, prompt: holds a NUL byte" in refusal(
        decode_table(b"code,prompt\na,a roof\nb,a \x00 door\n")
    )
    assert read_shot_list(decode_table(b"co\x00de,prompt\na,a roof\n")).columns == {
        "code": "code",
        "prompt": "prompt",
    }


@pytest.mark.parametrize("data", [b"code\n\x81\xff\n", "code\na\n".encode("utf-16-le")])
def test_a_table_in_no_known_encoding_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="neither UTF-8"):
        decode_table(data)


def test_every_fault_is_named_and_many_are_counted() -> None:
    what = refusal("code,width\n" + "".join(f"c{n},9\n" for n in range(50)))
    assert what.count("Row ") == 20
    assert "And 30 more, in width." in what


def test_a_heading_that_is_not_there_is_said() -> None:
    assert "no column 'Cut'" in refusal(LIST, Cut="code")
    assert "no field 'color'" in refusal(LIST, prompt="color")


codes = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8).map(str.casefold)
texts = st.text(st.characters(exclude_categories=["C"]), max_size=20).map(str.strip)
shots = st.builds(
    ShotFields,
    code=codes,
    episode=st.none() | codes,
    description=texts,
    characters=st.lists(codes, max_size=3),
    prompt=st.none() | texts.filter(bool),
    negative_prompt=st.none() | texts.filter(bool),
    width=st.none() | st.sampled_from([64, 512]),
    seconds=st.none() | st.floats(0.01, 999),
    seed=st.none() | st.integers(0, 2**64 - 1),
    notes=texts,
)


@given(st.lists(shots, min_size=1, max_size=5, unique_by=lambda shot: code_key(shot.code)))
def test_what_was_written_is_read_as_it_was(written: list[ShotFields]) -> None:
    found = read_shot_list(decode_table(write_shot_list(written)))
    assert found.shots == tuple(written)
    assert found.fields == set(FIELDS)
