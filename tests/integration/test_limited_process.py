"""What people send is read in a process of its own, which it can take down, and no other."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anime.assets.contact_sheet.fonts import CaptionFonts
from anime.assets.contact_sheet.page import SheetEntry, draw_page
from anime.assets.inspection.pool import InspectionPool
from anime.assets.limited_process import (
    LimitedFunction,
    LimitedProcess,
    ReaderDied,
    ask_of_each,
    call_kept,
    call_limited,
    kept_process,
)
from anime.assets.thumbnails import colours_of_thumbnails
from anime.assets.workflow_files import load_workflow
from anime.core.png_metadata import PNG_SIGNATURE
from anime.core.sweep_plan import Unusable
from anime.errors import InvalidRequest, StorageUnavailable, UnusableFile, UnusableReason
from anime.jobs.reproduction import compare_files, draw_comparison, read_made_file
from anime.settings import PROJECT_DIR
from tests.support import hostile_parsers
from tests.support.fork_server import ADDRESS
from tests.support.waiting import HUNG_SECONDS


@pytest.fixture(autouse=True)
def as_people_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)  # it is not forked here
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_DIR))  # for the parsers of tests


DIED = InvalidRequest("It cannot be read.", "Make it again.")


def test_it_takes_no_code_from_the_folder_that_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("anime", "json", "PIL"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('of a stranger')")
    monkeypatch.chdir(tmp_path)
    with kept_process() as reader:
        reader.stop()  # one that was started elsewhere
        assert reader.ask(hostile_parsers.DOUBLE, HUNG_SECONDS, "ab") == "abab"


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


def test_one_of_many_over_which_it_crashes_spoils_no_other() -> None:
    texts = [*map(str, range(30)), "crash", "none", "a"]
    answers = ask_of_each(hostile_parsers.DOUBLE_EACH, texts)
    assert answers == [*(str(number) * 2 for number in range(30)), None, None, "aa"]
    assert ask_of_each(hostile_parsers.DOUBLE_EACH, []) == []


async def test_a_reader_of_a_sweep_that_says_nothing_of_a_file_spoils_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anime.assets.inspection.pool._READ", hostile_parsers.DOUBLE_EACH)
    asked: Any = ["ab", "none", "cd"]
    async with InspectionPool() as readers:
        first, second, third = await readers.read(asked)
    assert (first, third) == ("abab", "cdcd")
    assert isinstance(second, Unusable)


def test_no_file_is_decoded_by_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, texts = tmp_path / "a.png", PngInfo()
    texts.add_text("prompt", '{"1": {"class_type": "SaveImage", "inputs": {}}}')
    Image.new("RGB", (400, 300), "red").save(path, pnginfo=texts)
    file = read_made_file(path, tmp_path)
    monkeypatch.setattr(Image, "open", None)
    assert compare_files(file, file).pixels is not None
    assert draw_comparison(file, file).startswith(PNG_SIGNATURE)
    assert [colours is not None for colours in colours_of_thumbnails([path, tmp_path])] == [1, 0]
    assert load_workflow(path).graph
    page = draw_page([SheetEntry((tmp_path / "no", path), "")], CaptionFonts(14))
    assert (255, 0, 0) in {colour for _, colour in page.getcolors(1 << 20) or ()}


@pytest.mark.parametrize("module", ["anime.assets.gone", "anime.assets.thumbnails"])
async def test_no_file_is_blamed_for_a_program_that_was_replaced_while_it_ran(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    def read() -> str:
        raise NotImplementedError

    read.__module__, read.__qualname__ = module, "read"
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(read=read))  # but not on the disk
    with pytest.raises(StorageUnavailable, match="of another release"):
        await call_kept(DIED, LimitedFunction(read, str))
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
