"""Contact sheets as files: whatever lies in the library, there is a sheet of it."""

import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from PIL import Image, ImageFont

from anime.assets.contact_sheet.cell_pictures import CellPicture
from anime.assets.contact_sheet.fonts import CaptionFonts
from anime.assets.contact_sheet.make import SheetStyle, make_sheet
from anime.assets.contact_sheet.page import BOX, PAPER, SheetEntry, draw_page
from anime.assets.contact_sheet.request import SheetRequest, matching
from anime.core.paths import thumbnail_path
from anime.core.sheet_pages import pictures_per_page
from anime.db.repositories import AssetRow, FileRepository, ProjectRepository
from anime.db.session import Database
from anime.errors import InvalidRequest, StorageError
from anime.schemas import FileRecord, MediaKind
from tests.integration.test_cli_commands import Commands, anime, comfyui_url, prefect

__all__ = ["anime", "comfyui_url", "prefect"]

RED = (200, 20, 20)
AGE = datetime(2026, 4, 1, tzinfo=UTC)


def picture(path: Path, color: tuple[int, int, int] = RED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), color).save(path)
    return path


def record(path: Path, number: int = 1, **more: object) -> FileRecord:
    facts: dict[str, object] = {
        "id": number,
        "filename": path.name,
        "file_type": "image",
        "file_path": str(path),
        "file_size": 9,
        "created_at": AGE,
        "metadata": {"prompt": "a fox on a roof", "seed": str(number)},
    }
    return FileRecord.model_validate(facts | more)


async def stream(files: Iterable[FileRecord]) -> AsyncIterator[FileRecord]:
    for file in files:
        yield file


async def draw(
    files: Iterable[FileRecord], target: Path, library: Path, **style: object
) -> list[Path]:
    return await make_sheet(
        stream(files),
        target,
        library=library,
        style=SheetStyle(**style),  # type: ignore[arg-type]  # any of its fields
    )


def colors(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as sheet:
        found = sheet.convert("RGB").getcolors(1 << 20)
    assert found is not None
    return {color for _, color in found if isinstance(color, tuple)}


async def test_a_sheet_shows_pictures_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    files = [record(picture(tmp_path / f"library/{n}.png"), n) for n in range(3)]
    [page] = await draw(files, tmp_path / "out/sheet.png", tmp_path / "library")
    assert {RED, PAPER} <= colors(page)
    assert [path.name for path in page.parent.iterdir()] == ["sheet.png"]
    assert page.stat().st_mode & 0o777 == 0o644


async def test_a_large_sheet_has_pages(tmp_path: Path) -> None:
    file = record(picture(tmp_path / "library/a.png"))
    files = [file] * (2 * pictures_per_page(4) + 1)
    pages = await draw(files, tmp_path / "sheet.png", tmp_path / "library", columns=4)
    assert [page.name for page in pages] == ["sheet.png", "sheet-2.png", "sheet-3.png"]
    sizes = [Image.open(page).size for page in pages]
    assert sizes[0] == sizes[1]
    assert sizes[2][1] < sizes[0][1]


async def test_a_pdf_has_all_pages_in_one_file(tmp_path: Path) -> None:
    file = record(picture(tmp_path / "library/a.png"))
    files = [file] * (2 * pictures_per_page(3) + 1)
    pages = await draw(files, tmp_path / "sheet.pdf", tmp_path / "library", columns=3)
    assert [page.name for page in pages] == ["sheet.pdf"]
    content = pages[0].read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"/Count 3" in content.replace(b"\n", b" ")


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        ("torn.png", "image", b"\x89PNG\r\n\x1a\n then nothing"),
        ("empty.webp", "image", b""),
        ("sound.flac", "audio", b"fLaC"),
        ("film.mp4", "video", b"no film"),
        ("missing.png", "image", None),
    ],
)
async def test_what_cannot_be_shown_is_a_cell_that_says_so(
    tmp_path: Path, name: str, kind: str, content: bytes | None
) -> None:
    bad = tmp_path / "library" / name
    good = record(picture(tmp_path / "library/good.png"), 2)
    if content is not None:
        bad.write_bytes(content)
    files = [record(bad, 1, file_type=kind), good]
    [page] = await draw(files, tmp_path / "sheet.png", tmp_path / "library")
    assert {RED, BOX} <= colors(page)


@pytest.mark.parametrize(
    "claimed",
    [
        CellPicture("RGB", (10**6, 1), b"\0" * 3 * 10**6),
        CellPicture("RGB", (1, 10**6), b"\0" * 3 * 10**6),
        CellPicture("RGBA", (8, 8), b"\0" * 3 * 64),
        CellPicture("P", (8, 8), b"\0" * 64),
        CellPicture("RGB", (-8, -8), b"\0" * 3 * 64),
        CellPicture("L", (0, 0), b""),
    ],
)
def test_what_a_reader_claims_of_a_forged_file_is_checked(
    claimed: CellPicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.contact_sheet.page.ask_of_each", lambda *_: [claimed])
    page = draw_page([SheetEntry((Path("a.png"),), "a")], CaptionFonts(14))
    assert BOX in {color for _, color in page.getcolors(1 << 20) or ()}


async def test_a_thumbnail_stands_for_what_has_no_frame_of_its_own(tmp_path: Path) -> None:
    library = tmp_path / "library"
    sha256 = "ab" * 32
    picture(library / thumbnail_path(sha256))
    film = library / "film.mp4"
    film.write_bytes(b"no film")
    files = [record(film, file_type="video", sha256=sha256)]
    [page] = await draw(files, tmp_path / "sheet.png", library)
    assert BOX not in colors(page)
    assert any(abs(red - 200) < 8 and green < 40 for red, green, _ in colors(page))


async def test_the_first_frame_of_an_animation_is_shown(tmp_path: Path) -> None:
    path = picture(tmp_path / "library/still.png").with_name("loop.gif")
    frames = [Image.new("RGB", (32, 32), color) for color in (RED, (0, 0, 250))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    [page] = await draw([record(path)], tmp_path / "sheet.png", tmp_path / "library")
    assert RED in colors(page)
    assert (0, 0, 250) not in colors(page)


async def test_a_row_that_points_out_of_the_library_shows_nothing_of_it(tmp_path: Path) -> None:
    secret = picture(tmp_path / "secret.png")
    [page] = await draw([record(secret)], tmp_path / "sheet.png", tmp_path / "library")
    assert RED not in colors(page)


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = record(picture(tmp_path / "library/a.png"))
    (tmp_path / "sheet-2.png").write_bytes(b"mine")
    files = [file] * (pictures_per_page(2) + 1)
    with pytest.raises(InvalidRequest, match=r"sheet-2\.png exists"):
        await draw(files, tmp_path / "sheet.png", tmp_path / "library", columns=2)
    assert (tmp_path / "sheet-2.png").read_bytes() == b"mine"
    assert (
        sorted(path.name for path in tmp_path.iterdir()) == ["home", "library", "sheet-2.png"][1:]
    )


async def test_a_sheet_of_nothing_is_no_file(tmp_path: Path) -> None:
    assert await draw([], tmp_path / "out/sheet.pdf", tmp_path) == []
    assert list((tmp_path / "out").iterdir()) == []


async def test_a_name_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"png or \.pdf"):
        await draw([], tmp_path / "sheet.jpg", tmp_path)


async def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        await draw([], tmp_path / "file/sheet.png", tmp_path)


async def test_one_page_is_in_memory_at_a_time(tmp_path: Path) -> None:
    file = record(picture(tmp_path / "library/a.png"))
    peaks = []
    for pages in (2, 8):
        tracemalloc.start()
        files = (file for _ in range(pages * pictures_per_page(3)))
        await draw(files, tmp_path / f"{pages}.pdf", tmp_path / "library", columns=3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_letters_no_font_has_are_no_boxes() -> None:
    text, font = CaptionFonts(14, names=()).letter("fox 屋根の上 roof\nseed 7")
    assert text == "fox ... roof\nseed 7"
    assert isinstance(font, ImageFont.FreeTypeFont)


def test_a_font_that_has_the_letters_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = ImageFont.load_default(14)
    assert isinstance(usual, ImageFont.FreeTypeFont)
    lettering = CaptionFonts(14, tmp_path / "no font", names=("DejaVuSans.ttf",))
    assert lettering.letter("plain")[1].getmask("a").size == usual.getmask("a").size
    assert "ANIME_CAPTION_FONT" not in caplog.text
    lettering.letter("é ü ×")
    assert "ANIME_CAPTION_FONT" in caplog.text


def test_a_letter_that_looks_like_the_missing_one_is_a_letter(tmp_path: Path) -> None:
    path = tmp_path / "boxes.ttf"
    path.write_bytes(font_of_boxes("□"))
    text, font = CaptionFonts(14, path).letter("□")
    assert text == "□"
    assert font.getname() == ("Boxes", "Regular")


@pytest.mark.parametrize("damage", ["empty", "cut short", "without its list of letters"])
def test_a_damaged_font_is_named_and_not_taken(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = font_of_boxes("屋")
    at = TTFont(BytesIO(whole)).reader.tables["cmap"].offset
    damaged = {"empty": b"", "cut short": whole[:200]}
    path = tmp_path / "damaged.ttf"
    path.write_bytes(damaged.get(damage, whole[:at] + b"\xff" * 16 + whole[at + 16 :]))
    text, _ = CaptionFonts(14, path, names=()).letter("fox 屋")
    assert text == "fox ..."
    assert f"ANIME_CAPTION_FONT {path} cannot be used" in caplog.text


@pytest.mark.parametrize("text", ["\U0010ffff", "\ud800", "\u202eabc", "a\x00b", "👩‍🎨", ""])
def test_any_letter_can_be_in_a_caption(text: str) -> None:
    said, font = CaptionFonts(14).letter(text)
    assert font.getbbox(said)
    assert "\ud800" not in said


def font_of_boxes(letters: str) -> bytes:
    """A font whose every letter looks like the box for what it lacks."""
    names = [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((900, 0), (900, 800), (100, 800)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(unitsPerEm=1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    target = BytesIO()
    font.save(target)
    return target.getvalue()


async def library_of(database: Database, library: Path) -> None:
    """Twelve pictures of Rain, one a day, and one of another project."""
    async with database.session_scope() as session:
        rain = await ProjectRepository(session).get_or_create("Rain")
        files = [
            AssetRow(
                filename=f"{number}.png",
                file_type="image",
                file_path=str(picture(library / f"{number}.png")),
                file_size=9,
                project_id=rain.id if number < 12 else None,
                job_id=uuid4(),
                source_path=f"{number}.png",
                metadata={"prompt": "a fox", "seed": str(number), "character": "Mira"},
                created_at=AGE + timedelta(days=number),
            )
            for number in range(13)
        ]
        await FileRepository(session).record(files)


async def test_the_search_decides_what_is_on_a_sheet(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.assets.contact_sheet.request._AT_ONCE", 4)
    await library_of(database, tmp_path / "library")
    order = SheetRequest(
        project="rain", since=AGE + timedelta(days=2), kind=MediaKind.IMAGE, limit=9
    )
    found = [file.filename async for file in matching(order, database)]
    assert found == [f"{number}.png" for number in range(11, 2, -1)]


async def test_anime_sheet_prints_the_paths_of_the_pages(
    anime: Commands, database: Database, tmp_path: Path
) -> None:
    await library_of(database, tmp_path / "library")
    target = tmp_path / "fox.pdf"
    words = ("--project", "Rain", "--since", "2026-04-03", "--text", "fox")
    done = await anime.call("sheet", *words, "--output", str(target), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == [str(target)]
    assert target.stat().st_size > 1000
    again = await anime.call("sheet", *words, "--output", str(target))
    assert again.code == 1
    assert "exists" in again.err
    plain = await anime.call("sheet", *words)
    [page] = plain.out.splitlines()
    assert Path(page).parent == tmp_path / "library/.sheets"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--project", "nothing"), "No file fits"),
        (("--since", "yesterday"), "no date"),
        (("--columns", "0"), "columns"),
        (("--limit", "1000000"), "limit"),
        (("--output", "sheet.gif"), ".pdf"),
    ],
)
async def test_what_cannot_be_a_sheet_is_a_sentence(
    anime: Commands, words: tuple[str, ...], named: str
) -> None:
    done = await anime.call("sheet", *words)
    assert (done.code, done.out) == (1, "")
    assert named in done.err
    assert "Traceback" not in done.err


async def test_anime_retention_is_off_until_something_is_set(anime: Commands) -> None:
    off = await anime.call("retention")
    assert off.code == 1
    assert "ANIME_KEEP_THUMBNAILS_DAYS" in off.err


async def test_anime_retention_only_shows_until_it_is_told_to_apply(
    anime: Commands, tmp_path: Path
) -> None:
    old = picture(tmp_path / "library/.thumbnails/ab/ab.webp")
    os.utime(old, (0, 0))
    shown = await anime.call("retention", "--json", ANIME_KEEP_THUMBNAILS_DAYS="30")
    report = json.loads(shown.out)
    assert (report["is_dry_run"], report["thumbnails"]["files"]) == (True, 1)
    assert old.exists()
    done = await anime.call("retention", "--apply", ANIME_KEEP_THUMBNAILS_DAYS="30")
    assert "removed" in done.out
    assert not old.exists()
