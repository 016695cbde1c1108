"""Takes in full size: reviewed by keys and by mouse, compared, played; two people at once."""

import re
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import check_accessibility
from tests.browser.production import takes_of
from tests.stack.conftest import StackUnderTest

PICTURES = re.compile(r"/files/\d+/(content|proxy|thumbnail)")
LOADED = """(count) => {
  const names = performance.getEntriesByType('resource').map((each) => each.name)
  return new Set(names.filter((name) => name.endsWith('/content'))).size >= count
}"""


async def test_takes_are_reviewed_by_keys_and_what_was_said_is_undone(
    page: Page, studio: StackUnderTest, production: None
) -> None:
    await page.goto("/review?project=harbour&shot=h01&take=1")
    stage = page.locator("#stage").get_by_role("img")
    said = page.get_by_role("status").filter(has_text="Take")
    await expect(stage).to_have_attribute("alt", "Take 1 of shot h01")
    await page.wait_for_function(LOADED, arg=5)  # three takes here, one of each shot that follows
    await page.route(PICTURES, lambda route: route.abort())  # what comes next was loaded ahead
    await page.keyboard.press("2")
    await expect(stage).to_have_attribute("alt", "Take 2 of shot h01")
    await page.keyboard.press("ArrowRight")
    await expect(stage).to_have_attribute("alt", re.compile("of shot h02"))
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("2")
    await expect(stage).to_have_attribute("alt", "Take 2 of shot h01")
    await page.unroute(PICTURES)
    await page.keyboard.press("p")
    await expect(said).to_have_text("Take 2 is picked.")
    await page.keyboard.press("3")
    await page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Reject take 3")
    await dialog.get_by_role("combobox").fill("hands")
    await page.keyboard.press("Enter")
    await expect(said).to_have_text("Take 3 is rejected.")
    await page.keyboard.press("1")
    await expect(stage).to_have_attribute("alt", "Take 1 of shot h01")
    await page.keyboard.press("a")
    await expect(said).to_have_text("Take 1 is approved.")
    found = await takes_of(studio, "h01")
    assert [take["verdict"] for take in found] == ["approved", "approved", "rejected"]
    assert [take["is_picked"] for take in found] == [False, True, False]
    assert found[2]["reason"] == "hands"
    await page.keyboard.press("z")
    await expect(said).to_have_text("What was said last of take 1 is undone.")
    await page.keyboard.press("z")
    await expect(said).to_have_text("What was said last of take 3 is undone.")
    await expect(stage).to_have_attribute("alt", "Take 3 of shot h01")
    assert [take["verdict"] for take in await takes_of(studio, "h01")] == [None, "approved", None]

    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("heading", name="h02")).to_be_visible()
    await expect(page.get_by_text("<b>Aki</b> looks up")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="h01")).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Pick")


async def test_a_note_is_left_at_a_point_and_a_colleague_sees_it_at_once(
    page: Page, browser: Browser, studio: StackUnderTest, production: None
) -> None:
    address = "/review?project=harbour&shot=h02&take=1"
    await page.goto(address)
    colleague = await page.context.new_page()
    await colleague.goto(address)
    await expect(colleague.get_by_role("heading", name="Take 1")).to_be_visible()
    await expect(colleague.get_by_text("Live", exact=True)).to_be_visible()

    await page.get_by_label("Your name, beside what you say").fill("Ann")
    await page.get_by_label("Your name, beside what you say").press("Tab")
    await page.get_by_role("button", name="Note").click()
    shown = await page.locator("#stage img").bounding_box()
    assert shown is not None
    await page.mouse.click(shown["x"] + shown["width"] / 4, shown["y"] + shown["height"] / 2)
    await page.keyboard.type("the left hand <i>")
    await page.keyboard.press("Alt+ArrowRight")
    await page.keyboard.press("Enter")
    for each in (page, colleague):
        await expect(
            each.get_by_role("listitem").filter(has_text="the left hand <i>")
        ).to_contain_text("Ann")
        await expect(each.get_by_title("the left hand <i>")).to_have_text("1")
    [take, _] = await takes_of(studio, "h02")
    [note] = take["notes"]
    assert abs(note["point"]["x"] - 0.27) < 0.01
    assert abs(note["point"]["y"] - 0.5) < 0.01

    await colleague.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.get_by_role("heading", name="Take 1")).to_contain_text("approved")
    await expect(page.get_by_role("button", name="Take 1, approved")).to_be_visible()

    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("heading", name="Take 1")).not_to_contain_text("approved")
    await page.get_by_role("button", name="Pick", exact=True).click()
    await expect(page.get_by_role("heading", name="Take 1")).to_contain_text("picked")
    await page.get_by_role("button", name="Reject").click()
    dialog = page.get_by_role("dialog", name="Reject take 1")
    await dialog.get_by_role("combobox").fill("hands")
    await dialog.get_by_role("button", name="Reject").click()
    await expect(colleague.get_by_role("heading", name="Take 1")).to_contain_text("rejected")


async def test_two_takes_are_compared_and_a_file_that_is_gone_is_said(
    page: Page, studio: StackUnderTest, production: None
) -> None:
    await page.goto("/review?project=harbour&shot=h01&take=1")
    stage = page.locator("#stage")
    await expect(stage.get_by_role("img")).to_have_count(1)
    await page.keyboard.press("c")
    await expect(stage.get_by_role("img")).to_have_count(2)
    both = page.get_by_role("heading", name=re.compile("Take 1 and take [23]"))
    await expect(both).to_be_visible()
    await expect(page.get_by_role("rowheader", name="seed")).to_be_visible()
    await expect(page.get_by_role("button", name="Side by side")).to_have_attribute(
        "aria-pressed", "true"
    )
    await check_accessibility(page)
    await page.keyboard.press("c")
    await page.get_by_label("Where the wipe is").fill("0.25")
    assert "25%" in await stage.evaluate("stage => stage.style.getPropertyValue('--wipe')")
    await page.keyboard.press("c")
    await expect(stage).to_have_attribute("data-mode", "difference")
    await expect(page).to_have_url(re.compile("mode=difference"))
    await page.keyboard.press("c")
    await expect(stage.get_by_role("img")).to_have_count(1)

    [*_, last] = await takes_of(studio, "h01")
    path = Path(last["path"])
    hidden = path.rename(path.with_suffix(".away"))
    await page.goto(f"/review?project=harbour&shot=h01&take={last['number']}")
    await expect(stage.get_by_role("alert")).to_contain_text("was moved or deleted")
    hidden.rename(path)


async def test_picked_takes_are_played_in_the_order_of_their_shots(
    page: Page, studio: StackUnderTest, production: None
) -> None:
    async with studio.api() as api:
        for code in ("h01", "h03"):
            body = {"project": "harbour", "shot": code, "take": 1, "action": "pick"}
            (await api.post("/api/anime/reviews", json=body)).raise_for_status()
    await page.goto("/shots?project=harbour&episode=1")
    await page.get_by_role("link", name="Play").click()
    position = page.get_by_label("Position")
    heading = page.get_by_role("heading", level=2)
    await expect(heading).to_have_text("h03")  # after half a second of h01
    await expect(page.get_by_role("button", name="Play")).to_be_visible()  # it has ended
    assert float(await position.get_attribute("max") or 0) == 1.0
    await page.keyboard.press("ArrowLeft")
    await expect(heading).to_have_text("h01")
    await check_accessibility(page)
    await page.get_by_role("button", name="Leave").click()
    await expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
    await expect(page).to_have_url(re.compile(r"shot=h01"))
