"""JSON whose objects have each key once."""

import json

import pytest

from anime.core.strict_json import RepeatedKey, load_json


@pytest.mark.parametrize("text", ['{"a": {"b": [1, 2.5, null]}}', b'[{"a": 1}, {"a": 2}]', "7"])
def test_other_json_is_what_it_is_elsewhere(text: str | bytes) -> None:
    assert load_json(text) == json.loads(text)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '{"b": [{"a": 1, "b": 2, "\\u0061": 3}]}'])
def test_a_key_that_stands_twice_in_one_object_is_refused_by_name(text: str) -> None:
    with pytest.raises(RepeatedKey, match='the key "a" stands twice in one object'):
        load_json(text)


def test_a_long_key_is_cut_short() -> None:
    key = "x" * 10_000
    with pytest.raises(RepeatedKey) as refused:
        load_json(f'{{"{key}": 1, "{key}": 2}}')
    assert len(str(refused.value)) < 150
