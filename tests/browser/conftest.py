"""The page as a person uses it: a running stack, and a Chromium of this machine."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from tests.browser.production import make_production
from tests.stack.conftest import StackUnderTest, new_forked_stack
from tests.support.stack import running

# The first has no window that it could show, and needs three quarters of the CPU.
NAMES = (
    *("chromium-headless-shell", "chromium", "chromium-browser"),
    *("google-chrome", "google-chrome-stable"),
)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
ANSWER_MS = 60_000  # what a page shows within a second on a quiet machine
expect.set_options(timeout=ANSWER_MS)
# Read before the tests take all settings of ours out of the environment.
CHROMIUM = os.environ.get("ANIME_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none."""
    if CHROMIUM is None:
        reason = "No Chromium on PATH: apt-get install chromium, or set ANIME_CHROMIUM."
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StackUnderTest]:
    """One running stack for all tests of the page."""
    async with running(new_forked_stack(tmp_path_factory.mktemp("browser"))) as stack:
        yield stack


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def production(studio: StackUnderTest) -> None:
    """Shots with takes, in the project Harbour."""
    await make_production(studio)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture
async def page(browser: Browser, studio: StackUnderTest) -> AsyncIterator[Page]:
    """An empty tab of a new visitor. Whatever the page logs as an error fails the test."""
    context = await browser.new_context(
        base_url=str(studio.record.parts["api"].url),
        locale="en-GB",
        timezone_id="Asia/Tokyo",
        viewport={"width": 1280, "height": 800},
    )
    context.set_default_timeout(ANSWER_MS)
    opened = await context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda fault: faults.append(str(fault)))
    opened.on(
        "console",
        lambda message: (
            faults.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    yield opened
    await context.close()
    assert faults == []


async def as_viewer(route: Route) -> None:
    """The view as the API sends it to somebody who may only look: see test_api_roles."""
    answer = await route.fetch()
    html = (await answer.text()).replace('data-role="produce"', 'data-role="view"')
    html = re.sub(r'<button class="primary" id="submit".*?</button>', "", html)
    await route.fulfill(response=answer, body=html)


async def check_accessibility(page: Page) -> None:
    """Fail if axe-core finds anything serious in what the page shows now."""
    found = await Axe().run(page, options={"resultTypes": ["violations"]})
    serious = [
        f"{each['id']}: {each['help']}: " + "; ".join(node["html"] for node in each["nodes"][:3])
        for each in found.response["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
    assert serious == []
