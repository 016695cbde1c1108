"""What people send is read in a process of its own, which it can take down, and no other."""

import os
import signal
from pathlib import Path

import pytest

from anime.assets.limited_process import (
    LimitedFunction,
    LimitedProcess,
    ReaderDied,
    call_kept,
    call_limited,
    kept_process,
)
from anime.errors import InvalidRequest, UnusableFile, UnusableReason
from tests.support import hostile_parsers
from tests.support.waiting import HUNG_SECONDS

DIED = InvalidRequest("It cannot be read.", "Make it again.")


async def test_what_it_returns_and_refuses_arrives() -> None:
    for call in (call_limited, call_kept):
        assert await call(DIED, hostile_parsers.DOUBLE, "a\udcff") == "a\udcffa\udcff"
    with pytest.raises(UnusableFile, match="is cut") as refused:
        await call_kept(DIED, hostile_parsers.REFUSE)
    assert refused.value.reason is UnusableReason.TRUNCATED
    assert refused.value.todo == "Make it again."


@pytest.mark.parametrize("parser", [hostile_parsers.CRASH, hostile_parsers.TAKE_ALL_MEMORY])
async def test_a_crash_is_a_refusal_and_the_next_file_is_read(
    parser: LimitedFunction[[], object],
) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await call_kept(DIED, parser)
    assert await call_kept(DIED, hostile_parsers.DOUBLE, "ab") == "abab"


def test_one_that_somebody_has_ended_meanwhile_is_started_anew() -> None:
    with kept_process() as process:
        pids = [process.ask(hostile_parsers.PID, HUNG_SECONDS) for _ in range(2)]
        assert pids[0] == pids[1] != os.getpid()
        os.kill(pids[0], signal.SIGKILL)
        os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
        assert process.ask(hostile_parsers.PID, HUNG_SECONDS) not in pids


async def test_it_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("ANIME_API_TOKENS", "PREFECT_API_AUTH_STRING", "OTEL_EXPORTER_OTLP_HEADERS")
    for name in (*secrets, "VAULT_TOKEN", "PGPASSWORD", "COMFYUI_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LC_TIME", "C")
    found = await call_limited(DIED, hostile_parsers.ENVIRONMENT)
    assert {"PATH", "LC_TIME"} <= set(found)
    known = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
    assert [
        name
        for name in found
        if name not in known and not name.startswith(("PYTHON", "LD_", "DYLD_", "MALLOC_", "LC_"))
    ] == []


async def test_it_writes_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await call_kept(DIED, hostile_parsers.WRITE, tmp_path / "a")
    assert not (tmp_path / "a").exists() or (tmp_path / "a").stat().st_size == 0


async def test_what_it_answers_is_never_code_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await call_kept(DIED, hostile_parsers.ANSWER_WITH_CODE, tmp_path / "made")
    assert not (tmp_path / "made").exists()
    for parser in hostile_parsers.NONSENSE:
        with pytest.raises(InvalidRequest, match="cannot be read"):
            await call_kept(DIED, parser)


def test_one_that_hangs_is_ended() -> None:
    process = LimitedProcess()
    with pytest.raises(ReaderDied, match="Timeout"):
        process.ask(hostile_parsers.DOUBLE, 0, "ab")
