import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.foreign_json import MAX_JSON_CHARS, read_json, read_json_text, storable_text


def deep(levels: int) -> object:
    return [deep(levels - 1)] if levels > 1 else []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        ("[NaN, Infinity, -Infinity, 1e999]", [None] * 4),
        ('["a\\u0000b", "\\ud800"]', ["a\ufffdb", "\ufffd"]),
        ('{"\\u0000": 1}', {"\ufffd": 1}),
        ("[" * 64 + "]" * 64, deep(64)),
        ('{"prompt": "}}]]((["}', {"prompt": "}}]]((["}),
        ('["\\ud83c\\udf06", "\\uD55C"]', ["🌆", "한"]),
        ("[18446744073709551615]", [2**64 - 1]),
    ],
)
def test_values_are_read_so_that_they_can_be_stored(text: str, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "word", '"text"', "7", "{", "[1,]", "[" * 100_000),
        *("[" * 65 + "]" * 65, '{"[[": ' * 65 + "1" + "}" * 65, "[" + "9" * 9000 + "]"),
    ],
)
def test_what_is_no_object_or_list_of_sane_depth_is_nothing(text: str) -> None:
    assert read_json(text) is None


def test_a_text_beyond_all_measure_is_not_even_parsed() -> None:
    assert read_json("[" + " " * MAX_JSON_CHARS + "]") is None


@pytest.mark.parametrize(
    "text", ["[1e-9999]", f"[0.{'1' * 500}]", "[1E400]", "[NaN]", '["\\ud800"]', '["\\u0000"]']
)
def test_what_postgresql_would_refuse_is_written_anew(text: str) -> None:
    value, verbatim = read_json_text(text)
    assert value is not None
    assert verbatim is None


@given(st.text())
def test_storable_text_can_be_sent_and_good_text_is_unchanged(text: str) -> None:
    kept = storable_text(text)
    assert "\x00" not in kept.encode().decode()
    assert kept == text or "\x00" in text


@given(st.recursive(st.text() | st.integers(-9, 9), st.lists, max_leaves=5).map(lambda v: [v]))
def test_good_json_comes_back_as_it_was(value: list[object]) -> None:
    text = json.dumps(value)
    assert read_json(text) == value or "\\u0000" in text
