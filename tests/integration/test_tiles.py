"""Files as the page shows them: by month, in few bytes, with their colours, and as one ZIP."""

import asyncio
import threading
import zipfile
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from zipfile import ZipFile

import httpx
import psutil
import pytest
from PIL import Image

from anime.api import thumbnails, zip_stream
from anime.api.zip_stream import PIECE_BYTES, ZipEntry, zip_of
from anime.assets.folder_reader import FolderReader, FoundFile
from anime.core.takes import NewReview
from anime.core.thumbhash import thumbhash
from anime.db.repositories import AssetRow, FileRepository
from anime.db.repositories.tiles import TILES_OF_PAGE
from anime.db.session import Database
from anime.jobs.shots import review_take
from anime.settings import Settings
from tests.integration.api_client import opened_api, problem_in
from tests.integration.old_client import execute
from tests.integration.test_takes import PROJECT, project, rendered, takes

__all__ = ["project"]

TILES = "/api/anime/files/tiles"
MONTHS = "/api/anime/files/months"


async def add(database: Database, *moments: datetime, folder: Path = Path("/library")) -> list[int]:
    """The ids of files that were made then."""
    async with database.session_scope() as session:
        rows = await FileRepository(session).record(
            [
                AssetRow(
                    filename="rain.png",
                    file_type="image",
                    file_path=str(folder / f"{number}.png"),
                    file_size=7,
                    width=1216,
                    height=832,
                    created_at=moment,
                )
                for number, moment in enumerate(moments)
            ]
        )
    return [row.id for row in rows]


async def months(api: httpx.AsyncClient) -> dict[str, int]:
    answer = (await api.get(MONTHS)).raise_for_status().json()
    return {each["month"]: each["files"] for each in answer["items"]}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns"])
async def test_months_are_those_of_the_studio_and_follow_every_change(
    api_settings: Settings, database: Database, database_url: str, zone: str
) -> None:
    turn = datetime(2026, 4, 1, tzinfo=UTC)
    hours = [-40, -14, -8, -3, -1, 0, 1, 2, 3, 9, 700]
    ids = await add(database, *(turn + timedelta(hours=each) for each in hours))

    async with opened_api(api_settings, timezone=zone) as api:

        async def counted() -> dict[str, int]:
            query = (
                f"SELECT to_char(created_at AT TIME ZONE '{zone}', 'YYYY-MM'), count(*)"
                " FROM anime_api.anime_files GROUP BY 1"
            )
            return dict(await execute(database_url, query))

        assert await months(api) == await counted()
        await execute(database_url, f"DELETE FROM anime_api.anime_files WHERE id = {ids[0]}")
        await execute(
            database_url,
            "UPDATE anime_api.anime_files SET created_at = created_at - interval '40 days'"
            f" WHERE id IN ({ids[5]}, {ids[6]})",
        )
        assert await months(api) == await counted()
        for month, files in (await counted()).items():
            tiles = (await api.get(f"{MONTHS}/{month}")).raise_for_status().json()
            assert len(tiles["ids"]) == files
    await execute(database_url, "TRUNCATE anime_api.anime_files")
    async with opened_api(api_settings, timezone=zone) as api:
        assert await months(api) == {}


async def test_pages_of_a_month_stay_as_they_are_while_files_come_in(
    api: httpx.AsyncClient, database: Database
) -> None:
    first = datetime(2026, 4, 2, tzinfo=UTC)
    made = await add(database, *(first + timedelta(minutes=each) for each in range(250)))
    pages = [(await api.get(f"{MONTHS}/2026-04?page={each}")).json() for each in range(3)]
    assert [len(page["ids"]) for page in pages] == [TILES_OF_PAGE, 50, 0]
    assert pages[1]["ids"] + pages[0]["ids"] == made[::-1]
    [late] = await add(database, first + timedelta(days=1), folder=Path("/late"))
    assert (await api.get(f"{MONTHS}/2026-04?page=0")).json() == pages[0]
    assert (await api.get(f"{MONTHS}/2026-04?page=1")).json()["ids"][0] == late
    assert problem_in(await api.get(f"{MONTHS}/2026-13"), 422)
    assert problem_in(await api.get(f"{MONTHS}/9999-12"), 422)


async def test_a_search_finds_tiles_page_by_page(
    api: httpx.AsyncClient, database: Database
) -> None:
    noon = datetime(2026, 4, 2, 12, tzinfo=UTC)
    made = await add(database, *(noon + timedelta(hours=each) for each in range(5)))
    page = (await api.get(TILES, params={"kind": "image", "limit": 3})).json()
    assert page["ids"] == made[:1:-1]
    assert page["moments"][0] == int((noon + timedelta(hours=4)).timestamp())
    assert {len(page[name]) for name in page if name != "next_cursor"} == {3}
    rest = await api.get(TILES, params={"kind": "image", "cursor": page["next_cursor"]})
    assert rest.json()["ids"] == made[1::-1]
    assert (await api.get(TILES, params={"state": "missing"})).json()["ids"] == []
    [older] = await add(database, noon - timedelta(days=40), folder=Path("/older"))
    for month, expected in {"2026-03": [older], "2026-04": [*made[::-1], older]}.items():
        found = await api.get(TILES, params={"kind": "image", "month": month})
        assert found.json()["ids"] == expected


async def test_files_are_found_by_shot_and_by_what_was_said_of_them(
    api: httpx.AsyncClient, project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=3)
    await rendered(project, database_url, "sc2")
    first, second, third = await takes(project, "sc1")
    for take, action in ((first, "approve"), (second, "reject"), (third, "pick")):
        said = {"project": PROJECT, "shot": "sc1", "take": take.number, "action": action}
        reason = {"reason": "hands"} if action == "reject" else {}
        await review_take(project, NewReview.model_validate({**said, **reason, "by": "ann"}))

    async def found(**asked: str) -> list[int]:
        ids: list[int] = (await api.get(TILES, params=asked)).raise_for_status().json()["ids"]
        return sorted(ids)

    everything = [each.file_id for each in (first, second, third)]
    assert await found(shot="SC1") == everything
    assert await found(shot="sc1", kind="video") == []
    assert await found(review="approved") == [first.file_id, third.file_id]
    assert await found(review="picked") == [third.file_id]
    assert await found(review="rejected", state="rejected") == [second.file_id]
    assert await found(review="rejected", shot="sc2") == []
    assert problem_in(await api.get(TILES, params={"review": "loved"}), 422)


async def test_colours_are_kept_once_a_thumbnail_was_asked_for(
    api: httpx.AsyncClient,
    api_settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thumbnails, "COLOURS_PAUSE_SECONDS", 0)
    halves = Image.new("RGB", (64, 64), "red")
    halves.paste("blue", (32, 0, 64, 64))
    halves.save(api_settings.library / "0.png")
    await add(database, datetime(2026, 4, 2, tzinfo=UTC), folder=api_settings.library)
    [file_id] = (await api.get(TILES)).json()["ids"]
    small = await api.get(f"/api/anime/files/{file_id}/thumbnail")
    assert small.headers["cache-control"] == "private, max-age=3600"
    while not (colours := (await api.get(TILES)).json()["colours"][0]):
        await asyncio.sleep(0.01)
    halves_of_20 = (bytes([255, 0, 0]) * 10 + bytes([0, 0, 255]) * 10) * 20
    found, expected = b64decode(colours), thumbhash(20, 20, halves_of_20)
    assert found[:5] == expected[:5]  # as the thumbnail is not exactly the picture


async def test_a_proxy_is_for_a_screen(
    api: httpx.AsyncClient, api_settings: Settings, database: Database
) -> None:
    Image.new("RGB", (3200, 1000), "navy").save(api_settings.library / "0.png")
    [file_id] = await add(database, datetime(2026, 4, 2, tzinfo=UTC), folder=api_settings.library)
    answer = await api.get(f"/api/anime/files/{file_id}/proxy")
    with Image.open(BytesIO(answer.content)) as picture:
        assert (picture.size, picture.format) == ((1600, 500), "WEBP")


async def test_a_zip_of_five_hundred_files_names_those_that_have_vanished(
    api: httpx.AsyncClient, api_settings: Settings, database: Database, database_url: str
) -> None:
    moments = [datetime(2026, 4, 2, tzinfo=UTC)] * 500
    ids = await add(database, *moments, folder=api_settings.library)
    for number in range(500):
        large = 3_000_000 if number < 3 else 1_000
        (api_settings.library / f"{number}.png").write_bytes(bytes([number % 256]) * large)
    gone, forgotten, late = ids[4], ids[11], ids[470]
    (api_settings.library / "4.png").unlink()
    await execute(database_url, f"DELETE FROM anime_api.anime_files WHERE id = {forgotten}")
    asked = {"ids": f"{ids[0]}-{ids[-1]}"}
    contents = (await api.get("/api/anime/files/zip/contents", params=asked)).json()
    assert (contents["files"], contents["size_bytes"]) == (498, 9_495_000)
    assert {each["file_id"] for each in contents["missing"]} == {gone, forgotten}
    (api_settings.library / "470.png").unlink()  # between the look and the download
    answer = await api.get("/api/anime/files/zip", params=asked)
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert (len(names), len({*names}), names[:2]) == (498, 498, ["rain.png", "rain-2.png"])
        missing = archive.read("missing.txt").decode()
    assert [line.split()[0].rstrip(":") for line in missing.splitlines()] == [
        *map(str, sorted([gone, forgotten, late]))
    ]
    assert problem_in(await api.get("/api/anime/files/zip", params={"ids": str(gone)}), 404)
    for wrong in ("", "x", "0", "9-3", "1-99999", "1,,2", "9" * 12):
        assert problem_in(await api.get("/api/anime/files/zip", params={"ids": wrong}), 422)


async def test_chosen_files_become_a_contact_sheet(
    api: httpx.AsyncClient, api_settings: Settings, database: Database
) -> None:
    Image.new("RGB", (64, 64), "navy").save(api_settings.library / "0.png")
    ids = await add(database, datetime(2026, 4, 2, tzinfo=UTC), folder=api_settings.library)
    made = await api.post("/api/anime/sheets", json={"file_ids": [*ids, 10_000]})
    assert made.status_code == 201
    sheet = made.json()
    assert sheet["missing"] == [10_000]
    with Image.open(BytesIO((await api.get(sheet["pages"][0])).content)) as picture:
        assert picture.format == "PNG"
    assert problem_in(await api.post("/api/anime/sheets", json={"file_ids": [10_000]}), 404)


async def test_jobs_without_a_run_are_no_batch(
    api: httpx.AsyncClient, project: Database, database_url: str
) -> None:
    await rendered(project, database_url, "sc1", files=2)
    await rendered(project, database_url, "sc2")
    first, second, other = [each.file_id for each in await takes(project)]
    for file_id, siblings in ((first, [second, first]), (other, [other])):
        answer = await api.get(f"/api/anime/files/{file_id}/siblings")
        assert answer.raise_for_status().json()["ids"] == siblings


async def test_a_download_that_is_broken_off_closes_what_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(3 * PIECE_BYTES))
    file = FoundFile(path, path.stat())
    pieces = zip_of([ZipEntry("1", path.name, file)], FolderReader(tmp_path))
    await anext(pieces)
    await pieces.aclose()
    assert [each for each in psutil.Process().open_files() if each.path == str(path)] == []


class FileOfDeadMount(RawIOBase):
    """Whoever reads it waits until its server is back."""

    def __init__(self) -> None:
        self.is_back, self.has_been_read = threading.Event(), threading.Event()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def readinto(self, _: object) -> int:
        self.is_back.wait(10)
        self.has_been_read.set()
        return 0


async def test_a_mount_that_dies_during_a_download_holds_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, dead = tmp_path / "a.png", FileOfDeadMount()
    path.write_bytes(b"a picture")
    entry = ZipEntry("1 a.png", path.name, FoundFile(path, path.stat()))
    monkeypatch.setattr(zip_stream, "ANSWER_SECONDS", 0.1)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *_: BufferedReader(dead))
        pieces = [piece async for piece in zip_of([entry], FolderReader(tmp_path))]
    assert not dead.has_been_read.is_set(), "nothing waited for it"
    dead.is_back.set()
    with ZipFile(BytesIO(b"".join(pieces))) as archive:
        assert archive.read("missing.txt").startswith(b"1 a.png: ")


async def test_a_file_of_any_size_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # 2 GiB take a while
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(1001))
    entry = ZipEntry("1", path.name, FoundFile(path, path.stat()))
    pieces = [piece async for piece in zip_of([entry], FolderReader(tmp_path))]
    with ZipFile(BytesIO(b"".join(pieces))) as archive:
        assert archive.read(path.name) == bytes(1001)
