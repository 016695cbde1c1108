"""What the library reckons with, in a browser: rows, and a scroll bar over too many pixels."""

import pytest
from playwright.async_api import Page

from anime.core.thumbhash import thumbhash

JUSTIFIED = """async () => {
  const {justify, ratioOf} = await import('/page/assets/layout.js')
  let seed = 1
  const random = () => (seed = seed * 48271 % 2147483647) / 2147483647
  const found = []
  for (let round = 0; round < 300; round++) {
    const ratios = Array.from({length: 1 + Math.floor(random() * 220)},
      () => ratioOf(Math.ceil(random() * 4000), Math.ceil(random() * 2000)))
    const [width, target] = [320 + random() * 3500, 110 + random() * 200]
    const {rows, height} = justify(ratios, width, target)
    const last = rows.at(-1)
    found.push({
      places: rows.flatMap(({first, lefts}) => lefts.map((_, at) => first + at)),
      count: ratios.length,
      tooWide: Math.max(...rows.map((row) => row.lefts.at(-1) + row.widths.at(-1) - width)),
      narrowest: rows.length > 1
        ? Math.max(...rows.map((row) => width - row.lefts.at(-1) - row.widths.at(-1))) : 0,
      highest: Math.max(...rows.map((row) => row.height / target)),
      gap: height - last.top - last.height,
    })
  }
  return found
}"""
SCROLLED = """async (total) => {
  const {Scroller, MOST_PX} = await import('/page/assets/scroller.js')
  const viewport = document.createElement('div')
  const spacer = viewport.appendChild(document.createElement('div'))
  viewport.style.cssText = 'height: 500px; overflow: auto; overflow-anchor: none'
  document.body.prepend(viewport)
  const scrolled = () => new Promise((resolve) =>
    viewport.addEventListener('scroll', () => requestAnimationFrame(resolve), {once: true}))
  const scroller = new Scroller(viewport, spacer, () => {})
  scroller.resize(total)
  const found = {bar: spacer.offsetHeight <= MOST_PX}
  scroller.scrollTo(total / 3)
  found.third = scroller.position - total / 3
  await scrolled()
  viewport.scrollTop += 120
  await scrolled()
  found.wheel = scroller.position - total / 3
  scroller.resize(total + 700, 700)
  found.grown = scroller.position - total / 3
  viewport.scrollTop = viewport.scrollHeight
  await scrolled()
  found.end = scroller.position - (total + 700 - 500)
  viewport.scrollTop = 0
  await scrolled()
  found.top = scroller.position
  viewport.remove()
  return found
}"""
DECODED = """async (hex) => {
  const {addressOf} = await import('/page/assets/thumbhash.js')
  const drawn = async (bytes) => {
    const image = new Image()
    image.src = addressOf(btoa(String.fromCharCode(...bytes)))
    await image.decode()
    const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d')
    canvas.drawImage(image, 0, 0)
    const at = (x, y) => [...canvas.getImageData(x, y, 1, 1).data.slice(0, 3)]
    return {size: [image.width, image.height], at}
  }
  const {size, at} = await drawn(hex.match(/../g).map((byte) => parseInt(byte, 16)))
  const old = await drawn(Array.from({length: 32}, (_, place) => place % 2 ? 0 : 0xf8))
  return {size, left: at(2, 4), right: at(13, 4), old: old.at(3, 3)}
}"""
HALVES = (bytes([255, 0, 0]) * 10 + bytes([0, 0, 255]) * 10) * 10


async def test_a_thumbhash_becomes_a_picture_and_so_do_the_colours_of_older_rows(
    page: Page,
) -> None:
    await page.goto("/login")
    found = await page.evaluate(DECODED, thumbhash(20, 10, HALVES).hex())
    assert found["size"] == [16, 9]
    assert found["left"] == pytest.approx([255, 0, 0], abs=40)
    assert found["right"] == pytest.approx([0, 0, 255], abs=40)
    assert found["old"] == pytest.approx([248, 0, 0], abs=9)


async def test_rows_have_every_picture_once_and_are_as_wide_as_the_window(page: Page) -> None:
    await page.goto("/login")
    for rows in await page.evaluate(JUSTIFIED):
        assert rows["places"] == list(range(rows["count"]))
        assert rows["tooWide"] < 0.01
        assert rows["highest"] <= 3.0001
        assert rows["narrowest"] < 0.01 or rows["highest"] > 2.99
        assert abs(rows["gap"] - 4) < 0.01


async def test_a_scroll_bar_reaches_every_pixel_of_more_than_a_browser_allows(page: Page) -> None:
    await page.goto("/login")
    for total in (9_000, 7_999_900, 60_000_000, 2_000_000_000):
        found = await page.evaluate(SCROLLED, total)
        assert found.pop("bar")
        assert {name: round(value) for name, value in found.items()} == {
            "third": 0,
            "wheel": 120,
            "grown": 820,
            "end": 0,
            "top": 0,
        }, total
