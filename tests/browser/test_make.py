"""The view Make: a form from a workflow, what it becomes, and what comes of it."""

import base64
import json
import re
from io import BytesIO
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.async_api import FilePayload, Page, expect

from tests.browser.conftest import check_accessibility
from tests.integration.test_api_making import BIG_SEED, GRAPH
from tests.stack.conftest import StackUnderTest

Json = dict[str, Any]


def png(*, graph: Json | None = None) -> bytes:
    texts, stream = PngInfo(), BytesIO()
    if graph is not None:
        texts.add_text("prompt", json.dumps(graph))
    Image.new("RGB", (128, 64), "teal").save(stream, "PNG", pnginfo=texts)
    return stream.getvalue()


async def drop(page: Page, content: bytes) -> None:
    """Drop a file on the page, as a file manager does."""
    await page.evaluate(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0))
            const dataTransfer = new DataTransfer()
            dataTransfer.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }))
            for (const type of ['dragenter', 'dragover', 'drop']) {
                document.body.dispatchEvent(
                    new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }))
            }
        }""",
        base64.b64encode(content).decode(),
    )


async def newest(studio: StackUnderTest, count: int) -> list[Json]:
    async with studio.api() as api:
        jobs = await api.get("/api/anime/jobs", params={"limit": count})
    return list(jobs.json()["items"])


async def test_prompts_and_seeds_become_pictures_as_was_explained(
    page: Page, studio: StackUnderTest
) -> None:
    look = {"prompt_before": "ink drawing", "width": 64, "height": 64, "steps": 2}
    style = {"style": {"workflow": "sdxl", **look}}
    async with studio.api() as api:
        await api.post("/api/anime/projects", json={"name": "Made"})
        await api.put("/api/anime/projects/made/style", json=style)
    await page.goto("/make?project=Made")
    await page.get_by_label("Prompt", exact=True).fill("a fox\na crane")
    await page.get_by_label("Each line is a prompt of its own").check()
    await page.get_by_role("textbox", name="Seeds").fill(f"7 {BIG_SEED}")
    await expect(page.get_by_text("2 × 2 = 4")).to_be_visible()
    await expect(page.get_by_role("combobox", name="Workflow")).to_have_value("sdxl")
    explained = page.get_by_role("region", name="What will be rendered")
    await expect(explained).to_contain_text("ink drawing, a fox")
    await expect(explained).to_contain_text("style 1 of Made")
    await page.get_by_label("Width (px)").fill("100")
    await expect(page.get_by_text("the nearest is 96")).to_have_count(2)
    await check_accessibility(page)
    await page.get_by_label("Width (px)").fill("")
    await page.get_by_role("button", name="Add a LoRA").click()
    lora = page.get_by_role("combobox", name="LoRA")
    await lora.select_option("rehearsal-ink.safetensors")
    await page.get_by_label("Prompt", exact=True).press("Control+Enter")
    made = page.get_by_role("region", name="Made here")
    await expect(made.get_by_role("img", name=re.compile("fox|crane"))).to_have_count(4)
    asked = {(job["prompt"], job["seed"], job["project"]) for job in await newest(studio, 4)}
    assert asked == {
        (prompt, seed, "Made") for prompt in ("a fox", "a crane") for seed in (7, BIG_SEED)
    }
    file = made.get_by_role("link").filter(has=page.get_by_role("img")).first
    number = (await file.get_attribute("href") or "").rpartition("/")[2]
    await page.goto(f"/make?from_file={number}")
    await expect(page.get_by_text(f"With the settings of file {number}.")).to_be_visible()
    await expect(page.get_by_label("Project")).to_have_value("Made")
    await expect(page.get_by_role("textbox", name="Seeds")).to_have_value(
        re.compile(rf"^(7|{BIG_SEED})$")
    )
    await expect(lora).to_have_value("rehearsal-ink.safetensors")
    await page.reload()
    await expect(page.get_by_label("Prompt", exact=True)).to_have_value(re.compile("fox|crane"))


async def test_a_dropped_recipe_fills_the_form_and_a_dropped_picture_is_where_it_starts(
    page: Page, studio: StackUnderTest
) -> None:
    await page.goto("/make")
    await expect(page.get_by_role("combobox", name="Sampler")).to_be_visible()
    recipe = FilePayload(name="fox.png", mimeType="image/png", buffer=png(graph=GRAPH))
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Open a file").click()
    await (await chooser.value).set_files(recipe)
    await expect(page.get_by_text("With the settings of fox.png (comfyui).")).to_be_visible()
    await expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox")
    await expect(page.get_by_role("textbox", name="Seeds")).to_have_value(str(BIG_SEED))
    await expect(page.get_by_role("combobox", name="Scheduler")).to_have_value("karras")
    model = page.get_by_role("combobox", name="Model")
    await expect(model.locator("option:checked")).to_have_text("ink.safetensors (no server has it)")
    await page.get_by_role("button", name="Clear").click()
    await drop(page, png(graph=GRAPH))
    await expect(page.get_by_text("With the settings of dropped.png (comfyui).")).to_be_visible()
    await page.get_by_role("button", name="Clear").click()
    await drop(page, png())
    await expect(page.get_by_role("combobox", name="Workflow")).to_have_value("img2img")
    start = page.get_by_role("group", name="Picture to start from")
    await expect(start.get_by_role("img", name="Picture")).to_be_visible()
    await page.get_by_label("Prompt", exact=True).fill("the same at night")
    await page.get_by_role("spinbutton", name="Steps").fill("1")
    await page.get_by_role("button", name="Make").click()
    await expect(page.get_by_role("button", name="Make")).to_be_focused()  # it was off meanwhile
    made = page.get_by_role("region", name="Made here")
    await expect(made.get_by_role("img", name="the same at night")).to_be_visible()
    [job] = await newest(studio, 1)
    assert job["workflow"] == "img2img"
    await drop(page, b"%PDF-1.7 no picture")
    await expect(page.get_by_role("alert").filter(has_text="dropped.png")).to_be_visible()
    await page.goto("/make?lang=ja")
    await expect(page.get_by_label("元の画像")).to_be_visible()
