"""The library as a person uses it: months, rows, search, selection, download, one file in full."""

import asyncio
import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from zipfile import ZipFile

import pytest_asyncio
from PIL import Image
from playwright.async_api import Dialog, Error, Page, Route, expect

from anime.db.repositories import AssetRow, FileRepository
from anime.db.session import Database
from anime.settings import load_settings
from tests.browser.conftest import check_accessibility
from tests.integration.media_samples import draw, make
from tests.integration.old_client import execute
from tests.stack.conftest import StackUnderTest

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(2)> \u202eهجوم " + "long " * 20_000
NEWEST = datetime(2026, 4, 12, 12, tzinfo=UTC)
FILES = 500


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def files(studio: StackUnderTest) -> list[int]:
    """Ids of files of three months, newest first: hostile, two films, a large picture, a sound."""
    library = load_settings(home=studio.home).library
    library.mkdir(parents=True, exist_ok=True)
    picture = draw(library / "still.png")
    moving = library / "moving.webp"
    Image.new("RGB", (64, 64)).save(
        moving, save_all=True, append_images=[Image.new("RGB", (64, 64), "red")]
    )
    others = {
        1: ("video", make(library, "film.webm")),
        3: ("audio", make(library, "sound.flac")),
        4: ("video", moving),
    }
    rows = []
    for number in range(FILES):
        kind, path = others.get(number, ("image", picture))
        rows.append(
            AssetRow(
                filename=HOSTILE[:200] if number == 0 else f"{number}{path.suffix}",
                file_type=kind,
                file_path=str(path),
                file_size=1000,
                width=4096 if number == 2 else (1216, 832, 1024)[number % 3],
                height=832,
                metadata={"prompt": HOSTILE if number == 0 else f"rain {number}", "seed": number},
                created_at=NEWEST - timedelta(hours=3 * number),
            )
        )
    url = studio.record.settings["database_url"]
    async with Database(url) as database, database.session_scope() as session:
        recorded = await FileRepository(session).record(rows)
    return [row.id for row in recorded]


async def test_months_are_scrolled_through_and_searched(page: Page, files: list[int]) -> None:
    options = page.get_by_role("listbox", name="Files").get_by_role("option")
    await page.goto("/library")
    await expect(options.first).to_have_attribute("id", f"tile-{files[0]}")
    await expect(options.first.locator("img.shown")).to_be_visible()
    await expect(page.get_by_text(f"{FILES} files")).to_be_visible()

    await page.get_by_role("button", name=re.compile("^February 2026")).click()
    await expect(page).to_have_url(re.compile("month=2026-02"))
    await expect(page.locator(".month", has_text="February 2026")).to_be_visible()
    assert await options.count() <= 400
    await page.get_by_role("listbox", name="Files").press("End")
    await expect(page.locator(f"#tile-{files[-1]}")).to_be_visible()
    await page.wait_for_function(
        "() => history.state?.month === '2026-02' && history.state.part > 0.1"
    )
    answers = asyncio.Event()
    await page.route("**/files/months/2026-02*", partial(_when, answers))
    async with page.expect_request("**/files/months/2026-02*"):
        await page.reload(wait_until="commit")
    await page.set_viewport_size({"width": 1100, "height": 700})  # it is drawn anew meanwhile
    await expect(options.first).to_be_visible()
    answers.set()
    await expect(page.locator(f"#tile-{files[-1]}")).to_be_visible()

    await page.get_by_role("searchbox").fill("rain 7")
    await expect(page).to_have_url(re.compile(r"text=rain\+7"))
    await expect(options).to_have_count(1)
    await options.click()
    await expect(page.get_by_text("rain 7", exact=True)).to_be_visible()
    await page.go_back()
    await expect(options).to_have_count(1)
    await expect(page.get_by_role("searchbox")).to_have_value("rain 7")
    await page.get_by_role("searchbox").fill("rain")
    await expect(page.get_by_text("200 files and more")).to_be_visible()
    await page.get_by_role("button", name="February 2026", exact=True).click()
    await expect(
        page.get_by_text(re.compile(r"^From February 2026 back: \d+ files"))
    ).to_be_visible()
    await expect(page.locator(".month").first).to_have_text("February 2026")
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_label("Kind").select_option(label="Film")
    await expect(options).to_have_count(2)
    await page.keyboard.press("Escape")
    await options.nth(0).locator(".play").click()
    await expect(options.locator("video")).to_have_js_property("paused", value=False)
    await options.nth(1).locator(".play").click()
    moving = re.compile(f"files/{files[4]}/content$")
    await expect(options.nth(1).locator("> img")).to_have_attribute("src", moving)
    await page.get_by_label("Kind").select_option(label="Sound")
    await expect(options).to_have_count(1)
    await options.click()
    sound = page.locator("audio")
    await sound.evaluate("each => each.play()")
    await expect(sound).to_have_js_property("paused", value=False)
    await page.goto(f"/library/{files[4]}")  # no player takes a WebP
    await expect(page.locator("#stage img")).to_have_attribute("src", moving)
    await expect(page.locator("#stage img")).to_have_js_property("naturalWidth", 64)
    await page.goto(f"/library/{files[2]}")
    large = page.locator("#stage img")
    await expect(large).to_have_attribute("src", re.compile("/proxy$"))
    await page.keyboard.press("z")
    await expect(large).to_have_attribute("src", re.compile("/content$"))


async def _when(event: asyncio.Event, route: Route) -> None:
    await event.wait()
    with suppress(Error):  # the page may have lost interest
        await route.continue_()


async def test_files_are_chosen_by_keys_and_by_dragging_and_downloaded(
    page: Page, files: list[int], studio: StackUnderTest
) -> None:
    chosen = page.get_by_role("region", name="Selection").get_by_role("status")
    grid = page.get_by_role("listbox", name="Files")
    await page.goto("/library")
    await expect(page.locator(f"#tile-{files[0]}")).to_be_visible()
    await grid.focus()
    for key in ("Space", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        await grid.press(key)
    await expect(chosen).to_have_text("3 selected")
    await expect(grid.get_by_role("option", selected=True)).to_have_count(3)
    await grid.press("Escape")
    await expect(grid.get_by_role("option", selected=True)).to_have_count(0)

    box = await grid.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 5, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] - 60, steps=4)
    await expect(chosen).to_have_text(re.compile(r"\d+ selected"))
    await page.mouse.up()
    assert await grid.get_by_role("option", selected=True).count() > 5
    await check_accessibility(page)

    await page.get_by_role("button", name="Contact sheet").click()
    await expect(page.get_by_role("dialog").get_by_role("img").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)

    gone = [
        int(each.removeprefix("tile-"))
        for each in await page.locator(".tile[aria-selected=true]").evaluate_all(
            "each => each.map(one => one.id)"
        )
    ][2:5]
    await grid.press("Escape")
    await page.locator(f"#tile-{files[0]} .check").click()
    await grid.press("End")
    await page.locator(f"#tile-{files[-1]} .check").click(modifiers=["Shift"])
    await expect(chosen).to_have_text(f"{FILES} selected")  # what lies between was not loaded
    forget = f"DELETE FROM anime_api.anime_files WHERE id IN ({', '.join(map(str, gone))})"
    await execute(studio.record.settings["database_url"], forget)
    await page.get_by_role("button", name="Download").click()
    dialog = page.get_by_role("dialog", name="3 files are gone")
    for each in gone:
        await expect(dialog).to_contain_text(f"#{each}")
    async with page.expect_download() as started:
        await dialog.get_by_role("button", name=f"Download the other {FILES - 3}").click()
    download = await started.value
    with ZipFile(await download.path()) as archive:
        assert len(archive.namelist()) == FILES - 3 + 1
        assert archive.read("missing.txt").count(b"\n") == 3


async def test_one_file_says_how_it_was_made(page: Page, studio: StackUnderTest) -> None:
    asked = {"prompt": "petals over a canal", "seed": 77, "width": 64, "height": 64, "steps": 2}
    lora = {"name": "rehearsal-ink.safetensors", "strength": 0.7}
    async with studio.api() as api:
        answer = await api.post(
            "/api/anime/generate", json={**asked, "loras": [lora], "batch_size": 2}
        )
        job = await studio.job(answer.raise_for_status().json()["job_id"])
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"/library/{job['files'][0]['id']}")
    facts = page.get_by_role("complementary", name="How it was made")
    await expect(page.get_by_role("img", name="petals over a canal")).to_be_visible()
    await expect(facts.get_by_text("From the same batch")).to_be_visible()
    await expect(facts.get_by_text("rehearsal-ink.safetensors × 0.7", exact=True)).to_be_visible()
    await expect(facts.get_by_text(re.compile("; seed 77; steps 2; "))).to_be_visible()
    await facts.get_by_role("button", name="Copy seed").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Copied.")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "77"
    await facts.get_by_text("Graph", exact=True).click()
    await expect(facts.locator("pre")).to_contain_text('"class_type": "KSampler"')
    await facts.get_by_text("Timeline of the job").click()
    await expect(facts.get_by_role("listitem").first).to_be_visible()
    await check_accessibility(page)
    settings = facts.get_by_role("link", name="Use these settings")
    await expect(settings).to_have_attribute("href", re.compile(r"/make\?from_file=\d+"))
    async with page.expect_response("**/api/anime/reproduce") as asked_again:
        await facts.get_by_role("button", name="Render again").click()
    assert (await (await asked_again.value).json())["status"] == "queued"
    await expect(page.get_by_text("It is being rendered again.")).to_be_visible()


async def test_hostile_text_is_text_and_a_file_that_is_gone_is_said(
    page: Page, files: list[int]
) -> None:
    shown: list[str] = []

    async def note(dialog: Dialog) -> None:
        shown.append(dialog.message)
        await dialog.dismiss()

    page.on("dialog", note)
    await page.goto(f"/library/{files[0]}")
    prompt = page.locator(".text").first
    await expect(prompt).to_contain_text("<script>alert(1)</script> <img src=x onerror=alert(2)>")
    assert len(await prompt.inner_text()) < 5000
    await page.get_by_role("button", name="Show the whole text").click()
    assert len(await prompt.inner_text()) > 90_000
    await page.goto("/library/2000000")
    await expect(page.get_by_role("alert")).to_have_text("There is no file 2000000.")
    assert shown == []
    assert json.loads(await page.evaluate("JSON.stringify([...document.scripts].map(s => s.type))"))
