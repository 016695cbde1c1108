"""The view Now: what renders, what waits and why, what has failed."""

import re
from typing import Any

from playwright.async_api import Locator, Page, WebSocketRoute, expect

from tests.browser.conftest import as_viewer, check_accessibility
from tests.stack.conftest import StackUnderTest

HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
SLOW = {"steps": 1000, "width": 64, "height": 64}  # held, after twenty seconds
QUICK = {"steps": 1, "width": 64, "height": 64}


async def submitted(studio: StackUnderTest, **request: Any) -> str:
    async with studio.api() as api:
        answer = await api.post("/api/anime/generate", json=request)
    return str(answer.raise_for_status().json()["job_id"])


def section(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


async def test_a_render_is_watched_and_cancelled_and_a_failure_says_what_helps(
    page: Page, studio: StackUnderTest
) -> None:
    await page.goto("/")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    with studio.renders_held():
        await submitted(studio, prompt=HOSTILE, **SLOW)
        await submitted(studio, prompt="a lost fox", model="gone.safetensors", **QUICK)
        card = section(page, "Rendering").get_by_role("listitem").filter(has_text="<script>")
        await expect(card.get_by_role("img", name="The picture so far")).to_be_visible()
        await expect(card).to_contain_text(re.compile(r"step \d+ of 1000"))
        await expect(card).to_contain_text(re.compile(r"\d+:\d\d left"))
        server = page.get_by_role("complementary", name="Servers").get_by_role("listitem").first
        await expect(server).to_contain_text(re.compile(r"[\d.]+ of [\d.]+ GB free"))
        row = section(page, "Failed").get_by_role("listitem").filter(has_text="a lost fox")
        await expect(row).to_contain_text("gone.safetensors")
        await check_accessibility(page)
        await _check_what_a_viewer_sees(await page.context.new_page())
        await card.get_by_role("button", name="Cancel").click()
        await expect(card).to_have_count(0)
    await expect(page).to_have_title("Now · Anime studio")
    await row.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("It waits for a run again.")).to_be_visible()
    await row.get_by_role("link", name="a lost fox").click()
    sheet = page.get_by_role("dialog")
    await expect(sheet).to_contain_text("It was requeued.")
    await expect(page).to_have_url(re.compile(r"\?job="))
    await page.go_back()
    await expect(sheet).to_have_count(0)
    await expect(row).to_be_visible()


async def _check_what_a_viewer_sees(viewer: Page) -> None:
    """The same work, with no button that the role may not press, and no key that does it."""
    await viewer.route(re.compile(r"/(make)?$"), as_viewer)
    await viewer.goto("/")
    await expect(section(viewer, "Rendering").get_by_role("listitem")).to_contain_text("<script>")
    await expect(section(viewer, "Failed").get_by_role("listitem").first).to_be_visible()
    servers = viewer.get_by_role("complementary", name="Servers")
    await expect(servers.get_by_role("listitem").first).to_be_visible()
    forbidden = re.compile("Cancel|Try again|Pause|Resume|Hold back|Change")
    main = viewer.get_by_role("main")
    for role in ("button", "link"):
        await expect(main.get_by_role(role, name=forbidden)).to_have_count(0)
    await viewer.keyboard.press("p")
    await expect(viewer.get_by_role("dialog")).to_have_count(0)
    await viewer.goto("/make")
    await viewer.get_by_label("Prompt", exact=True).fill("a fox")
    await expect(viewer.get_by_role("region", name="What will be rendered")).to_contain_text(
        "a fox"
    )
    await expect(viewer.get_by_role("button", name="Make")).to_have_count(0)
    await viewer.close()


async def test_a_pause_says_why_others_wait_and_what_ends_unseen_is_shown_after_a_reconnect(
    page: Page, studio: StackUnderTest
) -> None:
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await page.route_web_socket(re.compile(r"/ws$"), connect)
    await page.goto("/")
    await expect(page.get_by_role("button", name="Pause new renders")).to_be_visible()
    await page.keyboard.press("p")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason, for the others").fill("The power is cut at 10.")
    await dialog.get_by_role("button", name="Pause new renders").click()
    note = page.get_by_role("list", name="Pauses").get_by_role("listitem")
    await expect(note).to_contain_text("The power is cut at 10.")
    await submitted(studio, prompt="a patient crane", **QUICK)
    row = section(page, "Waiting").get_by_role("listitem").filter(has_text="a patient crane")
    await expect(row).to_contain_text("paused")
    await sockets[-1].close(code=1012)
    await note.get_by_role("button", name="Resume").click()
    await expect(note).to_have_count(0)
    made = section(page, "Just made").get_by_role("link", name="a patient crane")
    await expect(made.get_by_role("img", name="a patient crane")).to_be_visible()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    assert len(sockets) > 1
    await made.click()
    await expect(page).to_have_url(re.compile(r"/library/\d+$"))
