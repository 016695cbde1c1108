"""The library on a real file system: whole files, never overwritten, clear errors."""

import asyncio
import errno
import os
import resource
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from hashlib import sha256
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import pytest

from anime.assets import store
from anime.assets.folder_reader import FolderReader
from anime.assets.store import INCOMING, AssetStore, sha256_of, write_new
from anime.errors import InvalidRequest, StorageError, StorageTimedOut, StorageUnavailable
from tests.support.dead_mount import let_die
from tests.support.waiting import HUNG_SECONDS

T = TypeVar("T")

TARGET = PurePosixPath("unorganized/images/20260101/a.png")


async def chunks_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken_stream() -> AsyncIterator[bytes]:
    yield b"half a "
    raise ConnectionError("the server went away")


def leftovers(root: Path) -> list[Path]:
    return list((root / INCOMING).iterdir())


async def test_a_stream_comes_in_whole_and_hashed(tmp_path: Path) -> None:
    library = AssetStore(tmp_path)
    received = await library.receive(chunks_of(b"pic", b"ture"))
    placed = await library.place(received, TARGET)
    assert placed == tmp_path / TARGET
    assert placed.read_bytes() == b"picture"
    assert received.sha256 == sha256(b"picture").hexdigest() == sha256_of(placed)
    assert received.size_bytes == 7
    assert leftovers(tmp_path) == []


async def test_the_event_loop_itself_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a mount that hangs, opening and closing a file take as long as a write of it."""
    loop = threading.get_ident()

    class File(FileIO):
        def close(self) -> None:
            assert self.closed or threading.get_ident() != loop
            super().close()

    def opened(path: Path, mode: str, *, buffering: int = -1) -> File:
        assert (threading.get_ident() != loop, buffering) == (True, 0)
        return File(path, mode)

    monkeypatch.setattr(Path, "open", opened)
    library = AssetStore(tmp_path)
    received = await library.receive(chunks_of(b"pic", b"ture"))
    assert [part async for part in store.chunks_of(received.path)] == [b"picture"]
    with pytest.raises(ConnectionError):
        await library.receive(broken_stream())


async def test_a_mount_that_does_not_answer_takes_no_threads_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    library = AssetStore(tmp_path, seconds=0.5)
    received = await library.receive(chunks_of(b"picture"))
    (tmp_path / TARGET.parent).mkdir(parents=True)
    is_back = let_die(tmp_path, monkeypatch, seconds=HUNG_SECONDS)
    calls = [library.check(), library.receive(chunks_of(b"a")), library.place(received, TARGET)]
    outcomes = asyncio.gather(*calls, return_exceptions=True)
    assert await asyncio.to_thread(lambda: "an answer") == "an answer"
    assert [type(each) for each in await outcomes] == [StorageTimedOut] * 3
    is_back.set()
    await AssetStore(tmp_path).check()


@pytest.mark.parametrize("dies_at", ["write", "link"])
async def test_a_mount_that_dies_in_between_is_waited_for_once_and_tidied_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    is_back, is_gone, waits = threading.Event(), False, list[float]()
    run = FolderReader.run

    def hanging(call: Callable[..., T], name: str = "") -> Callable[..., T]:
        def hang(*given: Any, **named: Any) -> T:
            nonlocal is_gone
            is_gone = is_gone or name == dies_at
            assert not is_gone or is_back.wait(HUNG_SECONDS)
            return call(*given, **named)

        return hang

    class File(FileIO):
        write = hanging(FileIO.write, "write")
        close = hanging(FileIO.close)

    async def noted(disk: FolderReader, call: Callable[[], T], *, seconds: float) -> T:
        try:
            return await run(disk, call, seconds=seconds)
        except StorageUnavailable:
            waits.append(seconds)
            raise

    monkeypatch.setattr(FolderReader, "run", noted)
    monkeypatch.setattr(store, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: File(path, mode))
    monkeypatch.setattr(Path, "unlink", hanging(Path.unlink))
    monkeypatch.setattr(os, "link", hanging(os.link, "link"))
    library = AssetStore(tmp_path, seconds=1.0)

    async def upload() -> None:
        received = await library.receive(chunks_of(b"picture"))
        async with library.placed_or_removed(received):
            await library.place(received, TARGET)

    with pytest.raises(StorageUnavailable, match="within 1 s"):
        await upload()
    assert waits == [1.0, 0.01]
    is_back.set()
    async with asyncio.timeout(HUNG_SECONDS):
        while leftovers(tmp_path):
            await asyncio.sleep(0.01)


async def test_another_picture_of_the_same_name_gets_the_next_name(tmp_path: Path) -> None:
    library = AssetStore(tmp_path)
    names = [
        (await library.place(await library.receive(chunks_of(content)), TARGET)).name
        for content in (b"one", b"two", b"three")
    ]
    assert names == ["a.png", "a-2.png", "a-3.png"]
    assert (tmp_path / TARGET).read_bytes() == b"one"


async def test_the_same_picture_twice_is_one_file(tmp_path: Path) -> None:
    library = AssetStore(tmp_path)
    first = await library.place(await library.receive(chunks_of(b"one")), TARGET)
    again = await library.place(await library.receive(chunks_of(b"one")), TARGET)
    assert first == again
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [first]


async def test_a_stream_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    library = AssetStore(tmp_path)
    with pytest.raises(ConnectionError):
        await library.receive(broken_stream())
    assert leftovers(tmp_path) == []


async def test_a_missing_library_is_named_and_not_made(tmp_path: Path) -> None:
    library = AssetStore(tmp_path / "unmounted")
    with pytest.raises(StorageError, match="unmounted") as caught:
        await library.check()
    assert "ANIME_LIBRARY_DIR" in caught.value.todo
    with pytest.raises(StorageError):
        await library.receive(chunks_of(b"picture"))
    assert not (tmp_path / "unmounted").exists()


async def test_our_own_default_library_is_made(tmp_path: Path) -> None:
    library = AssetStore(tmp_path / "data" / "library", may_create=True)
    await library.check()
    assert (tmp_path / "data" / "library").is_dir()


async def test_a_file_where_a_folder_should_be_is_a_storage_error(tmp_path: Path) -> None:
    library = AssetStore(tmp_path)
    (tmp_path / "unorganized").write_text("in the way")
    received = await library.receive(chunks_of(b"picture"))
    with pytest.raises(StorageError, match="unorganized"):
        await library.place(received, TARGET)
    assert received.path.read_bytes() == b"picture"


async def test_where_links_are_refused_the_file_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)  # as on exFAT and some network mounts
    library = AssetStore(tmp_path)
    first = await library.place(await library.receive(chunks_of(b"one")), TARGET)
    second = await library.place(await library.receive(chunks_of(b"two")), TARGET)
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    assert leftovers(tmp_path) == []


def _place_from_a_process(root: str, number: int) -> str:
    async def place() -> str:
        library = AssetStore(Path(root))
        received = await library.receive(chunks_of(b"%d" % number))
        return str(await library.place(received, TARGET))

    return asyncio.run(place())


def test_many_processes_with_one_name_lose_no_file(tmp_path: Path) -> None:
    count = 16
    (tmp_path / INCOMING).mkdir()
    with ProcessPoolExecutor(max_workers=4) as pool:
        placed = set(pool.map(_place_from_a_process, [str(tmp_path)] * count, range(count)))
    assert len(placed) == count
    assert {Path(path).read_bytes() for path in placed} == {b"%d" % n for n in range(count)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte of its own; needs root."""
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "anime-test", str(mount)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


async def test_a_full_disk_is_said_before_and_leaves_nothing_after(small_disk: Path) -> None:
    library = AssetStore(small_disk)
    with pytest.raises(StorageError, match="MB left"):
        await library.check()
    with pytest.raises(StorageError, match="No space left") as caught:
        await library.receive(chunks_of(*[b"x" * 1024 * 256] * 8))
    assert "Free some space" in caught.value.todo
    assert leftovers(small_disk) == []


def test_a_read_only_disk_is_said_so(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="Read-only file system") as caught:
        asyncio.run(AssetStore(small_disk).check())
    assert "writable" in caught.value.todo


async def test_what_killed_programs_left_half_written_is_taken_away_a_day_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = AssetStore(tmp_path)
    received = await library.receive(chunks_of(b"picture"))
    assert (await library.tidy(), leftovers(tmp_path)) == (0, [received.path])
    monkeypatch.setattr("anime.assets.store._ABANDONED_SECONDS", -1.0)
    assert (await library.tidy(), leftovers(tmp_path)) == (1, [])


def test_a_file_that_somebody_named_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path, limits = tmp_path / "list.csv", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StorageError, match="File too large"):
            write_new(path, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
    write_new(path, b"code\n")
    with pytest.raises(InvalidRequest, match="is there already"):
        write_new(path, b"other")
    assert path.read_bytes() == b"code\n"
