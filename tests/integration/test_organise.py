"""Outputs on their way into the library, from a server that has some of them only."""

import errno
import inspect
import logging
import os
import re
import threading
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from anime.assets import folder_reader
from anime.assets.render_result import RenderResult
from anime.assets.store import INCOMING, AssetStore
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import HistoryEntry, OutputFile
from anime.core.graphs import Graph
from anime.core.paths import FileKind
from anime.errors import (
    InvalidWorkflow,
    NotFound,
    OutputGone,
    StorageError,
    StorageTimedOut,
    StorageUnavailable,
    UnusableFile,
)
from anime.progress.publisher import ProgressPublisher
from anime.schemas import GenerationRequest
from tasks import files
from tasks.files import OrganisedOutputs, PlacedFile, make_thumbnails, organise
from tasks.progress import Reporter
from tests.support.dead_mount import give_up_soon
from tests.support.waiting import HUNG_SECONDS

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)
JOB = UUID(int=9)
OWN = f"jobs/{JOB}/1"  # the folder that its first attempt writes to
FILES = {"a.png": PNG, "mesh.glb": b"glTF\x02\x00\x00\x00", "notes.txt": b"a girl on a rooftop"}


async def organised(
    tmp_path: Path,
    *outputs: OutputFile,
    unkept: tuple[str, ...] = (),
    output_dir: Path | None = None,
    graph: Graph | None = None,
) -> list[PlacedFile]:
    made = await all_organised(
        tmp_path, *outputs, unkept=unkept, output_dir=output_dir, graph=graph
    )
    return made.placed


async def all_organised(
    tmp_path: Path,
    *outputs: OutputFile,
    unkept: tuple[str, ...] = (),
    output_dir: Path | None = None,
    graph: Graph | None = None,
) -> OrganisedOutputs:
    def view(request: httpx.Request) -> httpx.Response:
        content = FILES.get(request.url.params["filename"])
        return httpx.Response(404) if content is None else httpx.Response(200, content=content)

    entry = HistoryEntry(prompt_id=str(UUID(int=8)), succeeded=True, outputs=outputs, unkept=unkept)
    result = RenderResult(
        job_id=JOB,
        request=GenerationRequest(prompt="snow"),
        seed=1,
        attempt=1,
        prompt_id=UUID(int=8),
        graph=graph or {},
        entry=entry,
        comfyui_url="http://comfyui",
        comfyui_version="0.33.0",
        submitted_at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    comfy = ComfyUIClient("http://comfyui", transport=httpx.MockTransport(view))
    reporter = Reporter(ProgressPublisher(None), result.job_id)
    made: OrganisedOutputs = await inspect.unwrap(organise)(
        comfy,
        AssetStore(tmp_path / "library", may_create=True),
        result,
        output_folder=folder_reader.FolderReader(output_dir) if output_dir else None,
        zone=UTC,
        reporter=reporter,
    )
    return made


@pytest.fixture(autouse=True)
def log_without_a_run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(files, "get_run_logger", lambda: logging.getLogger("run"))


async def test_files_of_every_key_come_into_the_library(tmp_path: Path) -> None:
    placed = await organised(
        tmp_path,
        OutputFile(filename="a.png"),
        OutputFile(filename="mesh.glb", key="3d"),
        OutputFile(filename="notes.txt", key="files"),
    )
    assert [file.path.read_bytes() for file in placed] == list(FILES.values())


@pytest.mark.parametrize("pattern", ["100%_1.%03d.png", "a%d.png"])
async def test_frames_that_are_listed_as_a_pattern_come_into_the_library_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    """VideoHelperSuite lists its sequences of PNGs so."""
    names = [re.sub("%0?3?d", f"{n:03}" if "03" in pattern else f"{n}", pattern) for n in (1, 2, 3)]
    for name in names:
        monkeypatch.setitem(FILES, name, PNG + name.encode())
    placed = await organised(tmp_path, OutputFile(filename=pattern, key="gifs", animated=True))
    assert {file.kind for file in placed} == {FileKind.IMAGES}
    assert [file.source for file in placed] == names
    assert [file.path.read_bytes() for file in placed] == [PNG + name.encode() for name in names]


async def test_a_name_that_looks_like_a_pattern_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FILES, "50%dark.png", PNG)
    [placed] = await organised(tmp_path, OutputFile(filename="50%dark.png"))
    assert placed.source == "50%dark.png"


async def test_a_pattern_without_a_frame_fails_the_job(tmp_path: Path) -> None:
    with pytest.raises(OutputGone, match=r"no file b\.001\.png"):
        await organised(tmp_path, OutputFile(filename="b.%03d.png", key="gifs"))


UNLISTED: Graph = {
    "9": {
        "class_type": "SaveImageKJ",
        "inputs": {"filename_prefix": f"{OWN}/c", "images": ["8", 0]},
    }
}


async def test_pictures_that_a_node_saves_and_does_not_list_come_into_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("c_00001_.png", "c_00002_.png"):
        monkeypatch.setitem(FILES, name, PNG + name.encode())
    placed = await organised(tmp_path, graph=UNLISTED)
    assert [file.source for file in placed] == [f"{OWN}/c_00001_.png", f"{OWN}/c_00002_.png"]


async def test_a_node_that_lists_nothing_and_saves_elsewhere_fails_no_job(tmp_path: Path) -> None:
    made = await all_organised(tmp_path, OutputFile(filename="a.png"), graph=UNLISTED)
    assert [file.source for file in made.placed] == ["a.png"]
    assert made.unkept == ("c_%05d_.png of node 9 (not there)",)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """ComfyUI's output folder, with a picture that differs from what comes over HTTP."""
    folder = tmp_path / "output"
    (folder / OWN).mkdir(parents=True)
    (folder / OWN / "a.png").write_bytes(PNG + b"local")
    return folder


async def test_a_file_that_can_be_read_in_the_output_folder_is_read_there(
    tmp_path: Path, output: Path
) -> None:
    [placed] = await organised(
        tmp_path, OutputFile(filename="a.png", subfolder=OWN), output_dir=output
    )
    assert placed.path.read_bytes() == PNG + b"local"


async def test_a_server_under_windows_names_folders_in_its_own_way(
    tmp_path: Path, output: Path
) -> None:
    named = OutputFile(filename="a.png", subfolder=OWN.replace("/", "\\"))
    [placed] = await organised(tmp_path, named, output_dir=output)
    assert placed.path.read_bytes() == PNG + b"local"
    assert placed.source == f"{OWN}/a.png"


@pytest.mark.parametrize("folder", ["", "fixed", f"jobs/{UUID(int=7)}/1", f"{OWN}/../../elsewhere"])
async def test_a_name_that_another_server_may_have_used_as_well_is_read_over_http(
    tmp_path: Path, output: Path, folder: str
) -> None:
    (output / folder).mkdir(parents=True, exist_ok=True)
    (output / folder / "a.png").write_bytes(PNG + b"of another server")
    named = OutputFile(filename="a.png", subfolder=folder)
    [placed] = await organised(tmp_path, named, output_dir=output)
    assert placed.path.read_bytes() == PNG


@pytest.mark.parametrize("fault", [errno.EACCES, errno.ENOENT, errno.ESTALE, errno.ENOTCONN])
@pytest.mark.parametrize("refused", ["stat", "open"])
async def test_a_file_that_cannot_be_read_in_the_output_folder_comes_over_http(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, refused: str, fault: int
) -> None:
    inspect, read = os.stat, Path.open

    def refuse(path: Any, function: str) -> None:
        if function == refused and str(path).startswith(str(output)):
            raise OSError(fault, os.strerror(fault))

    def stat(path: Any, **options: Any) -> os.stat_result:
        refuse(path, "stat")
        return inspect(path, **options)

    def opened(path: Path, *given: Any, **options: Any) -> Any:
        refuse(path, "open")
        return read(path, *given, **options)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(Path, "open", opened)
    [placed] = await organised(
        tmp_path, OutputFile(filename="a.png", subfolder=OWN), output_dir=output
    )
    assert placed.path.read_bytes() == PNG


async def test_a_mount_that_fails_in_the_middle_of_a_file_is_worth_another_try(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stale(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    read = Path.open

    def opened(path: Path, *given: Any, **options: Any) -> Any:
        if path.parent != output / OWN:
            return read(path, *given, **options)
        return Stale(path)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(StorageUnavailable, match="cannot be read any more"):
        await organised(tmp_path, OutputFile(filename="a.png", subfolder=OWN), output_dir=output)


@pytest.mark.parametrize("hangs_at", ["open", "read", "close"])
async def test_an_output_folder_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, hangs_at: str
) -> None:
    is_back, loop, read = threading.Event(), threading.get_ident(), Path.open

    def hang(function: str) -> None:
        if function == hangs_at:
            assert threading.get_ident() != loop
            assert is_back.wait(HUNG_SECONDS)

    class Hanging(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            hang("read")
            return super().read(size)

        def close(self) -> None:
            hang("close")
            super().close()

    def opened(path: Path, *given: Any, **options: Any) -> Any:
        if path.parent != output / OWN:
            return read(path, *given, **options)
        hang("open")
        return Hanging(path)

    if hangs_at != "close":  # for which it waits five seconds; the library closes files, too
        give_up_soon(monkeypatch, {"open": "_open", "read": "read"}[hangs_at])
    monkeypatch.setattr(Path, "open", opened)
    placing = organised(tmp_path, OutputFile(filename="a.png", subfolder=OWN), output_dir=output)
    if hangs_at == "read":
        with pytest.raises(StorageUnavailable, match=r"a.png cannot be read any more: it took too"):
            await placing
    else:
        [placed] = await placing
        assert placed.path.read_bytes() == PNG + (b"" if hangs_at == "open" else b"local")
    is_back.set()


async def test_what_hangs_in_the_output_folder_takes_no_threads_of_the_library(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back = threading.Event()

    def hang(*_: object) -> None:
        assert is_back.wait(HUNG_SECONDS)

    give_up_soon(monkeypatch)
    monkeypatch.setattr(folder_reader, "CALLS_AT_A_TIME", 1)
    monkeypatch.setattr(files, "_open", hang)
    [placed] = await organised(
        tmp_path, OutputFile(filename="a.png", subfolder=OWN), output_dir=output
    )
    assert placed.path.read_bytes() == PNG
    is_back.set()


async def test_a_library_that_dies_when_the_file_is_in_its_place_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back = threading.Event()

    def hang(*_: object) -> None:
        assert is_back.wait(HUNG_SECONDS)

    give_up_soon(monkeypatch, "hang")
    monkeypatch.setattr(files, "write_provenance", hang)
    with pytest.raises(StorageTimedOut, match="The library"):
        await organised(tmp_path, OutputFile(filename="notes.txt", key="files"))
    is_back.set()


async def test_thumbnails_are_left_out_once_the_library_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    placed = await organised(tmp_path, OutputFile(filename="a.png"))
    is_back, tries = threading.Event(), 0

    def hang(*_: object) -> None:
        nonlocal tries
        tries += 1
        assert is_back.wait(HUNG_SECONDS)

    give_up_soon(monkeypatch, "hang")
    monkeypatch.setattr("anime.assets.thumbnails._written", hang)
    assert await make_thumbnails(AssetStore(tmp_path / "library"), placed * 2) == {}
    assert tries == 1
    assert "has not answered" in caplog.text
    is_back.set()


async def test_what_an_unknown_key_lists_and_the_server_lacks_fails_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    placed = await organised(
        tmp_path,
        OutputFile(filename="a.png"),
        OutputFile(filename="/elsewhere/b.json", key="layout", node_id="7"),
    )
    assert [file.source for file in placed] == ["a.png"]
    assert "Not kept: layout of node 7: ComfyUI at http://comfyui has no file" in caplog.text


async def test_a_picture_that_the_server_lacks_fails_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await organised(tmp_path, OutputFile(filename="gone.png"))


@pytest.mark.parametrize("last", ["gone.png", "b.%03d.png", "cut.png"])
async def test_files_come_into_the_library_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setitem(FILES, "cut.png", PNG[:20])
    await organised(tmp_path, OutputFile(filename="a.png"))
    library = tmp_path / "library"
    before = sorted(library.rglob("*"))
    monkeypatch.setitem(FILES, "b.png", PNG + b"b")
    with pytest.raises((OutputGone, UnusableFile)):
        await organised(tmp_path, *(OutputFile(filename=name) for name in ("a.png", "b.png", last)))
    assert sorted(library.rglob("*")) == before


async def test_frames_of_which_one_is_cut_short_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FILES, "c.001.png", PNG)
    monkeypatch.setitem(FILES, "c.002.png", PNG[:20])
    with pytest.raises(UnusableFile):
        await organised(tmp_path, OutputFile(filename="c.%03d.png", key="gifs"))
    assert not [path for path in (tmp_path / "library").rglob("*") if path.is_file()]


async def test_a_graph_of_which_nothing_can_be_had_has_saved_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkflow, match="saved no file"):
        await organised(tmp_path, OutputFile(filename="/elsewhere/b.json", key="layout"))


async def test_a_graph_that_has_saved_nothing_says_what_it_did_instead(tmp_path: Path) -> None:
    blocked = "SaveImage (node 2): it was blocked: no face was found"
    with pytest.raises(InvalidWorkflow, match=r"no file; not kept: SaveImage .* no face was found"):
        await organised(tmp_path, unkept=(blocked,))


async def test_it_says_what_a_node_lists_and_the_library_has_not(tmp_path: Path) -> None:
    outputs = await all_organised(
        tmp_path,
        OutputFile(filename="a.png"),
        OutputFile(filename="/elsewhere/b.json", key="layout", node_id="7"),
        unkept=("text of node 23",),
    )
    assert outputs.unkept == ("text of node 23", "/elsewhere/b.json of node 7 (not there)")


async def test_the_runs_log_says_what_is_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unkept = ("images of node 1 (temporary)", "text of node 23")
    await organised(tmp_path, OutputFile(filename="a.png"), unkept=unkept)
    assert "images of node 1 (temporary), text of node 23" in caplog.text
    caplog.clear()
    await organised(tmp_path, OutputFile(filename="a.png"))
    assert "kept" not in caplog.text


async def test_a_file_that_gets_no_place_leaves_no_copy_behind(tmp_path: Path) -> None:
    [placed] = await organised(tmp_path, OutputFile(filename="a.png"))
    library = tmp_path / "library"
    top = library / placed.path.relative_to(library).parts[0]
    top.rename(library / "former")
    top.touch()  # where its folders would be
    with pytest.raises(StorageError):
        await organised(tmp_path, OutputFile(filename="a.png"))
    assert list((library / INCOMING).iterdir()) == []
