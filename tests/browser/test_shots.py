"""The shots of a project as a table: filtered, imported, rendered; many of them as quick as few."""

import re

from playwright.async_api import Page, expect

from tests.browser.conftest import check_accessibility
from tests.browser.production import until_takes
from tests.stack.conftest import StackUnderTest

NEW = "Lighthouse"
HOSTILE = "<img src=x onerror=alert(1)> \u202eevil\u202c"
WITH_FAULTS = "Take,Prompt,Width\nl01,the lighthouse,500\nl01,the stairs,512\n"
LIST = f'Take,Prompt,Width,Description\nl01,the lighthouse,512,"{HOSTILE}"\nl02,the stairs,512,\n'
DROP = """(target, [name, text]) => {
  const transfer = new DataTransfer()
  transfer.items.add(new File([text], name, {type: 'text/csv'}))
  for (const type of ['dragenter', 'dragover', 'drop']) {
    const about = {bubbles: true, cancelable: true, dataTransfer: transfer}
    target.dispatchEvent(new DragEvent(type, about))
  }
}"""


async def drop(page: Page, name: str, text: str) -> None:
    """Drop a file on the view, as from a folder."""
    await page.locator("main").evaluate(DROP, [name, text])


# By how many pixels the episode reaches below its row, or below what lies there on a telephone.
BELOW_CODE = """(row) => {
  const {bottom} = row.querySelector('small').getBoundingClientRect()
  const takes = row.querySelector('.takes').getBoundingClientRect()
  return bottom - (innerWidth > 360 ? row.getBoundingClientRect().bottom : takes.top)
}"""


async def test_a_list_is_dropped_mended_imported_and_rendered(
    page: Page, studio: StackUnderTest
) -> None:
    await page.goto("/shots")
    await expect(page.get_by_role("combobox", name="Project")).to_be_visible()
    await drop(page, "faults.csv", WITH_FAULTS)
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Project").fill(NEW)
    await expect(dialog.get_by_role("alert")).to_contain_text("No column")
    await dialog.get_by_label("Take").select_option("Shot")
    rows = dialog.get_by_role("table").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("500 is not a multiple of 8")
    await expect(rows.nth(2)).to_contain_text("is that of row 2 already")
    await expect(dialog.get_by_role("button", name="Import")).to_be_disabled()
    await check_accessibility(page)
    await page.keyboard.press("Escape")

    await drop(page, "list.csv", LIST)
    await dialog.get_by_label("Project").fill(NEW)
    await dialog.get_by_label("Take").select_option("Shot")
    await expect(dialog).to_contain_text("2 added, 0 changed")
    await dialog.get_by_role("button", name="Import").click()
    await expect(page).to_have_url(re.compile("project=lighthouse"))
    first = page.get_by_role("row", name="l01")
    await expect(first).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(first).to_contain_text("missing")

    async with studio.api() as api:  # a colleague's list, seen without a reload
        more = {"project": NEW, "table": "code,description\nl01,the lamp\nl03,the boat\n"}
        (await api.post("/api/anime/shots/import", json=more)).raise_for_status()
    await expect(page.get_by_role("row", name="l03")).to_contain_text("the boat")
    await expect(first).to_contain_text("the lamp")

    await first.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Render…").click()
    with studio.renders_held():
        await dialog.get_by_role("button", name="Render").click()
        await expect(first.locator(".state")).to_have_text(re.compile("^rendering"))
    await expect(first).to_contain_text("to review")  # told live
    await expect(first.get_by_role("link", name="Take 1, not reviewed")).to_be_visible()
    second = page.get_by_role("row", name="l02")
    await expect(second).to_contain_text("missing")
    await first.get_by_role("checkbox").uncheck()
    await page.get_by_role("button", name="Render…").click()
    await expect(dialog).to_contain_text("Shots that are missing or stale: 1")
    await dialog.get_by_role("button", name="Render").click()
    await expect(second).to_contain_text("to review")
    async with studio.api() as api:
        await until_takes(api, {"l01": 1}, project="lighthouse")


async def test_filters_are_in_the_address_and_back_takes_them_away(
    page: Page, production: None
) -> None:
    await page.goto("/shots?project=harbour")
    count = page.get_by_role("status").filter(has_text="shots")
    await expect(count).to_have_text("4 of 4 shots")
    await page.get_by_role("button", name="missing 1").click()
    await expect(count).to_have_text("1 of 4 shots")
    await page.get_by_label("Episode").select_option("1")
    await expect(page.get_by_text("No shot fits these filters.")).to_be_visible()
    await expect(page).to_have_url(re.compile("state=missing.*episode=1"))
    await page.go_back()
    await expect(page.get_by_role("row", name="h04")).to_be_visible()
    await page.reload()
    await expect(count).to_have_text("1 of 4 shots")
    await page.go_back()
    await page.get_by_label("Character").select_option("Aki")
    await expect(count).to_have_text("2 of 4 shots")
    await check_accessibility(page)
    await page.keyboard.press("j")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/review.*character=Aki.*shot=h02"))


async def test_a_long_code_leaves_its_episode_in_sight(page: Page, studio: StackUnderTest) -> None:
    async with studio.api() as api:
        body = {"project": "Long", "table": f"code,episode,prompt\n{'Quay_' * 12},7,x\n"}
        (await api.post("/api/anime/shots/import", json=body)).raise_for_status()
    await page.goto("/shots?project=long")
    for width in (1280, 360):
        await page.set_viewport_size({"width": width, "height": 800})
        row = page.get_by_role("row", name="Quay").last
        assert await row.evaluate(BELOW_CODE) <= 0, width


async def test_of_five_thousand_shots_those_in_sight_are_in_the_document(
    page: Page, studio: StackUnderTest
) -> None:
    table = "code,episode,prompt\n" + "".join(f"c{n},{n // 500},x\n" for n in range(1, 5001))
    async with studio.api() as api:
        body = {"project": "Many", "table": table}
        (await api.post("/api/anime/shots/import", json=body)).raise_for_status()
    await page.goto("/shots?project=many")
    await expect(page.get_by_role("status").filter(has_text="5,000")).to_have_text(
        "5,000 of 5,000 shots"
    )
    rows = page.get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("c1")
    assert await rows.count() < 60
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    await expect(page.get_by_role("row", name="c5000")).to_be_visible()
    assert await rows.count() < 60
    assert await page.get_by_role("table").get_attribute("aria-rowcount") == "5001"
