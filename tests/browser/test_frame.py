"""The frame of every view: navigation, language, colours, help."""

import re

from playwright.async_api import Page, WebSocketRoute, expect

from tests.browser.conftest import check_accessibility


async def test_language_and_colours_are_switched_and_kept(page: Page) -> None:
    await page.goto("/library?text=rain")
    root = page.locator("html")
    await page.get_by_role("link", name="日本語").click()
    await expect(page).to_have_title("ライブラリ · アニメスタジオ")
    await expect(page).to_have_url(re.compile(r"text=rain"))
    await page.get_by_role("button", name="明暗の切り替え").click()
    await expect(root).to_have_attribute("data-scheme", "dark")
    await page.goto("/shots")
    await expect(page).to_have_title("ショット · アニメスタジオ")
    await expect(root).to_have_attribute("data-scheme", "dark")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("ショートカット")
    await check_accessibility(page)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_session_that_has_ended_leads_to_the_login_and_back(page: Page) -> None:
    await page.route("**/api/anime/files/months", lambda route: route.fulfill(status=401, json={}))
    await page.goto("/library?month=2026-04")
    await expect(page).to_have_url(re.compile(r"/login\?next=%2Flibrary%3Fmonth%3D2026-04"))
    await expect(page.get_by_label("Token")).to_be_focused()
    await check_accessibility(page)
    await page.get_by_label("Token").fill("any will do here, where none is needed")
    await page.unroute("**/api/anime/files/months")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(re.compile(r"/library\?month=2026-04"))


async def test_a_lost_connection_is_said_and_mended(page: Page) -> None:
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await page.route_web_socket("**/ws", connect)
    await page.goto("/library")
    status = page.get_by_role("banner").get_by_role("status")
    await expect(status).to_have_text("Live")
    async with page.expect_response("**/api/anime/files/months"):  # what was missed meanwhile
        await sockets[0].close()
        await expect(status).to_have_text("Live")
    assert len(sockets) == 2
