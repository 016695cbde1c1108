"""What people send is read in a process of its own, which it can take down, and no other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from anime.assets.limited_process import call_limited
from anime.errors import InvalidRequest, UnusableFile, UnusableReason
from tests.support import hostile_parsers

DIED = InvalidRequest("It cannot be read.", "Make it again.")


async def test_what_it_returns_and_refuses_arrives() -> None:
    assert await call_limited(DIED, hostile_parsers.double, "ab") == "abab"
    with pytest.raises(UnusableFile, match="is cut") as refused:
        await call_limited(DIED, hostile_parsers.refuse)
    assert refused.value.reason is UnusableReason.TRUNCATED
    assert refused.value.todo == "Make it again."


@pytest.mark.parametrize("parser", [hostile_parsers.crash, hostile_parsers.take_all_memory])
async def test_a_crash_is_a_refusal(parser: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await call_limited(DIED, parser)


async def test_it_writes_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await call_limited(DIED, hostile_parsers.write, tmp_path / "a")
    assert not (tmp_path / "a").exists() or (tmp_path / "a").stat().st_size == 0


async def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anime.assets.limited_process.MAX_SECONDS", 0)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await call_limited(DIED, hostile_parsers.double, "ab")
