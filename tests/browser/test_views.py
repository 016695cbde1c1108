"""Every view of a production: on a telephone and a large screen, by each role, filtered."""

from contextlib import suppress

from playwright.async_api import Error, Page, expect

from anime.settings import load_settings
from tests.browser.conftest import check_accessibility
from tests.browser.production import takes_of
from tests.integration.api_client import serving_api
from tests.stack.conftest import StackUnderTest

# What makes the page wider than its window, if anything does.
OVERFLOW = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll('body *')]
    .filter((each) => each.getBoundingClientRect().right > innerWidth)
    .map((each) => each.outerHTML.slice(0, 200))"""
# What lies over the middle of what has the focus, if anything does.
COVER = """() => {
  const reached = document.activeElement
  const {left, top, width, height} = reached.getBoundingClientRect()
  const there = document.elementFromPoint(left + width / 2, top + height / 2)
  return there && (reached.contains(there) || there.contains(reached)) ? null
    : [reached.outerHTML.slice(0, 200), there?.outerHTML.slice(0, 200) ?? 'beyond the window']
}"""
MOVING = "() => document.getAnimations().filter((each) => each.playState === 'running').length"


async def test_every_view_is_reached_and_fits_a_telephone_and_a_large_screen(
    page: Page, production: None
) -> None:
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await page.goto("/")
    for name in ("Make", "Library", "Shots", "Review", "Now"):
        await page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_be_attached()
        await expect(page).to_have_title(f"{name} · Anime studio")
        for width, height in ((3840, 2160), (360, 740)):
            await page.set_viewport_size({"width": width, "height": height})
            await expect(page.get_by_role("heading", level=1)).to_be_attached()
            with suppress(Error):  # some elements follow their window a frame later
                await page.wait_for_function(f"() => !({OVERFLOW})().length")
            assert await page.evaluate(OVERFLOW) == [], (name, width)
        await check_accessibility(page)  # narrow and dark; elsewhere wide and light
        await page.wait_for_function(f"() => !({MOVING})()")  # what ends at once, has ended


async def test_what_the_keys_reach_is_in_sight_where_the_page_is_at_twice_its_size(
    page: Page, production: None
) -> None:
    await page.emulate_media(reduced_motion="reduce")
    for width, height in ((1280, 500), (640, 400)):
        await page.set_viewport_size({"width": width, "height": height})
        for view in ("/", "/make", "/library", "/shots", "/review"):
            await page.goto(view, wait_until="networkidle")
            for reached in range(100):
                await page.keyboard.press("Tab")
                await page.wait_for_function(f"() => !({MOVING})()")
                if not await page.evaluate("document.activeElement !== document.body"):
                    break
                assert await page.evaluate(COVER) is None, (view, width, reached)
            assert reached > 9, view


async def test_the_first_key_reaches_the_way_to_the_content_whatever_a_view_brings_in_sight(
    page: Page, production: None
) -> None:
    brought = {"/library": "#months", "/review?project=harbour&shot=h03&take=1": "#take-strip"}
    for view, box in brought.items():
        await page.goto(view)
        await expect(page.locator(f"{box} [aria-current]")).to_be_visible()
        for reached in ("Skip to the content", "Now", "Make"):
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("link", name=reached, exact=True)).to_be_focused()


async def test_who_signs_in_sees_what_the_role_may_do(
    page: Page, studio: StackUnderTest, production: None
) -> None:
    record = studio.record.settings
    settings = load_settings(
        home=studio.home,
        database_url=record["database_url"],
        redis_url=record["redis_url"],
        prefect_api_url=record["prefect_api_url"],
        api_users="vera:view:v-token, rei:review:r-token",
    )
    approve = page.get_by_role("button", name="Approve", exact=True)
    async with serving_api(settings) as url:
        for token, may_review in (("v-token", False), ("r-token", True)):
            await page.goto("about:blank")  # or the view before would go to the login by itself
            await page.context.clear_cookies()
            await page.goto(f"{url}/review?project=harbour&shot=h03&take=1")
            await page.get_by_label("Token").fill("not-a-token")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("alert")).to_be_visible()
            await page.get_by_label("Token").fill(token)
            await page.keyboard.press("Enter")
            await expect(page.locator("#stage").get_by_role("img")).to_be_visible()
            await expect(approve).to_have_count(int(may_review))
            await page.goto(f"{url}/make")
            await expect(page.get_by_role("heading", name="Make")).to_be_visible()
            await expect(page.get_by_role("button", name="Make")).to_have_count(0)


async def test_each_filter_narrows_what_is_shown(
    page: Page, production: None, studio: StackUnderTest
) -> None:
    async with studio.api() as api:
        body = {"project": "harbour", "shot": "h02", "take": 2, "action": "approve"}
        (await api.post("/api/anime/reviews", json=body)).raise_for_status()
    [_, take] = await takes_of(studio, "h02")
    review = page.locator("select[name=review]")
    options = page.get_by_role("listbox", name="Files").get_by_role("option")
    await page.goto("/library")
    await page.get_by_label("Project").select_option(label="Harbour")
    await expect(options).to_have_count(6)
    await page.get_by_text("More filters").click()
    await page.get_by_label("State").select_option(label="Missing")
    await expect(page.get_by_text("No file matches these filters.")).to_be_visible()
    await page.get_by_label("State").select_option(label="Any")
    for label, said, left in (
        ("Character", "Aki", 5),
        ("Model", "rehearsal-sd15", 5),
        ("Shot", "h02", 2),
        ("Seed", str(take["seed"]), 1),
    ):
        await page.get_by_label(label, exact=True).fill(said)
        await page.keyboard.press("Tab")
        await expect(options).to_have_count(left)
    await review.select_option(label="Rejected")
    await expect(page.get_by_text("No file matches these filters.")).to_be_visible()
    await review.select_option(label="Approved")
    await expect(options).to_have_count(1)
