"""python -m benchmarks.page: the page in a headless Chromium, on a library of a million files.

The API runs alone, on a PostgreSQL of its own: nothing is rendered. The files are rows of three
years, one month of them with 100,000, and show 100 different pictures. Chromium and the API share
this machine's processors.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Annotated, Any

import httpx
import psycopg
import typer
from PIL import Image, ImageDraw, ImageFilter
from playwright.async_api import Browser, CDPSession, Page, async_playwright
from sqlalchemy import make_url

from anime.api.page.frame import assets
from anime.assets.thumbnails import draw_thumbnail
from anime.cli.terminal import print_error
from anime.core.paths import thumbnail_path
from anime.db.migrate import upgrade
from anime.errors import AnimeError, StackError
from benchmarks import report, until_ended
from benchmarks.report import Reach, Row
from benchmarks.served_api import served_api
from benchmarks.studio import scratch_folder
from benchmarks.timing import percentile
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.support.embedded import embedded_postgres

PICTURES = 100
LARGE_MONTH_FILES = 100_000
SCROLLED_FILES = 10_000
JUMPS = 12
WHEEL_PX = 480  # in each frame: fast
THUMBNAILS_A_SECOND = 200
THUMBNAIL_SECONDS = 10
ANSWERS = 40
SIZES = ((1216, 832), (832, 1216), (1024, 1024), (1344, 768), (1536, 640))

TAKES = 9
TAKE_STEPS = 40

# One shot whose takes are the first files.
SHOT = """
    WITH project AS (
        INSERT INTO anime_api.projects (slug, name) VALUES ('film', 'Film') RETURNING id
    ), shot AS (
        INSERT INTO anime_api.shots (project_id, code, code_key, sort_key, takes_given)
        SELECT id, 'sc1', 'sc1', 'sc1', %(takes)s FROM project RETURNING id
    )
    INSERT INTO anime_api.takes (shot_id, number, file_id, job_id)
    SELECT shot.id, n, n, gen_random_uuid() FROM shot, generate_series(1, %(takes)s) AS n
"""
# From the key to the frame that shows the take, in milliseconds.
NEXT_TAKE = """async (key) => {
    const picture = document.querySelector('.picture')
    const before = picture.firstElementChild
    const began = performance.now()
    const shown = new Promise((resolve) => {
        const seen = new MutationObserver(() => {
            if (!picture.firstElementChild || picture.firstElementChild === before) return
            seen.disconnect()
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)))
        })
        seen.observe(picture, {childList: true})
    })
    document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))
    return shown
}"""
# As many jobs as files: of a hundred, 97 have made theirs and two have failed; a thousand wait.
JOBS = """
    INSERT INTO anime_api.production_jobs (
        id, type, status, stage, workflow, prompt, params, seed, created_at, started_at,
        finished_at, error_kind, error_message
    )
    SELECT gen_random_uuid(), 'image', status, CASE status WHEN 'processing' THEN 'rendering' END,
        'txt2img', prompt, jsonb_build_object('prompt', prompt, 'width', 1216), 7, at,
        CASE WHEN status <> 'queued' THEN at END,
        CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN at + interval '1 min' END,
        CASE status WHEN 'failed' THEN 'internal' END,
        CASE status WHEN 'failed' THEN 'No VRAM.' END
    FROM (
        SELECT 'a girl on a rooftop at dusk, number ' || n AS prompt,
            timestamptz '2023-01-01Z' + n * interval '1095 days' / %(rows)s AS at,
            CASE WHEN n > %(rows)s - 8 THEN 'processing' WHEN n > %(rows)s - 1008 THEN 'queued'
                WHEN n %% 50 = 0 THEN 'failed' WHEN n %% 100 = 1 THEN 'cancelled'
                ELSE 'completed' END AS status
        FROM generate_series(1, %(rows)s) AS n
    ) AS job
"""
TABLES = ", ".join(
    f"anime_api.{name}"
    for name in ("production_jobs", "anime_files", "searchable_files", "counters")
)
# Triggers would take most of the time; what they keep is written by one statement each below.
FILES = """
    INSERT INTO anime_api.anime_files (
        filename, file_type, file_path, file_size, metadata, created_at, width, height, sha256,
        colours
    )
    SELECT 'f' || n || '.png', 'image', shown.path, 1000000,
        jsonb_build_object(
            'prompt', 'a girl on a rooftop at dusk, number ' || n, 'seed', n || '',
            'model', 'ink.safetensors', 'graph', repeat('node ', 180)
        ),
        timestamptz '2023-01-01Z' + CASE
            WHEN n <= %(large)s THEN interval '500 days' + n * interval '20 seconds'
            ELSE (n - %(large)s)::float8 / %(rows)s * interval '1095 days' END,
        shown.width, shown.height, shown.sha256, shown.colours
    FROM generate_series(1, %(rows)s) AS n JOIN shown ON shown.number = n %% %(pictures)s
"""
SEARCHABLE = """
    INSERT INTO anime_api.searchable_files (file_id, created_at, kind, state, terms)
    SELECT id, created_at, file_type, state, '' FROM anime_api.anime_files
"""
COUNTERS = """
    INSERT INTO anime_api.counters (name, value)
    SELECT 'files/made/' || CAST(floor(extract(epoch FROM created_at) / 86400) AS bigint), count(*)
    FROM anime_api.anime_files GROUP BY 1
"""

# Counts what is never seen at the end: the longest task, and the most pictures at a time.
WATCH = """() => {
  window.seen = {longest: 0, most: 0}
  new PerformanceObserver((list) => {
    const longest = Math.max(...list.getEntries().map((each) => each.duration))
    window.seen.longest = Math.max(window.seen.longest, longest)
  }).observe({type: 'longtask'})
  const count = () => {
    window.seen.most = Math.max(window.seen.most, document.querySelectorAll('anime-picture').length)
    requestAnimationFrame(count)
  }
  count()
}"""
ALL_ARE_SHOWN = """() => {
  const box = document.getElementById('grid').getBoundingClientRect()
  const images = [...document.querySelectorAll('.tile')].filter((tile) => {
    const {top, bottom} = tile.getBoundingClientRect()
    return bottom > box.top && top < box.bottom
  }).map((tile) => tile.querySelector('img'))
  return images.length > 5 && images.every((image) => image?.classList.contains('shown'))
}"""
JUMP = f"""async (month) => {{
  const areShown = {ALL_ARE_SHOWN}
  const isThere = () => document.querySelector('.months [aria-current]').dataset.month === month
  const began = performance.now()
  document.querySelector(`.months [data-month="${{month}}"]`).click()
  do await new Promise((resolve) => requestAnimationFrame(resolve))
  while (!isThere() || !areShown())
  return performance.now() - began
}}"""
NEXT_FRAME = "() => new Promise((resolve) => requestAnimationFrame(() => resolve()))"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class ServedLibrary:
    """An API on a library of many files."""

    url: str
    rows: int


@app.command()
def page(
    *,
    rows: Annotated[int, typer.Option(min=1000, help="Files of the library.")] = 1_000_000,
    serve: Annotated[
        bool, typer.Option("--serve", help="Measure nothing; stop with Ctrl-C.")
    ] = False,
) -> None:
    """Measure the page on that many files."""
    found = until_ended.run(_serve(rows) if serve else _measure(rows))
    if found:
        typer.echo(f"Written to {report.write(found, {'rows': rows})}")


async def _serve(rows: int) -> dict[str, list[Row]]:
    async with served_library(rows) as library:
        typer.echo(library.url)
        await asyncio.Event().wait()
    return {}


async def _measure(rows: int) -> dict[str, list[Row]]:
    if CHROMIUM is None:
        raise StackError("There is no Chromium.", "Install chromium, or set ANIME_CHROMIUM.")
    async with served_library(rows) as library, async_playwright() as playwright:
        api = [*_weight(), *await _measure_api(library)]
        report.show("page: the API", api)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        shown = await _measure_browser(browser, library)
        await browser.close()
    report.show("page: the library", shown)
    return {"page: the API": api, "page: the library": shown}


@asynccontextmanager
async def served_library(rows: int) -> AsyncIterator[ServedLibrary]:
    """A library of that many files, and the API on it, for as long as the block."""
    with scratch_folder() as folder:
        async with embedded_postgres(folder / "postgresql") as urls:
            await upgrade(urls.database)
            pictures = await draw_pictures(folder / "library")
            await _insert(urls.database, rows, pictures)
            async with served_api(folder, urls.database) as url:
                yield ServedLibrary(url, rows)


async def draw_pictures(library: Path) -> list[tuple[object, ...]]:
    """Number, path, size, hash and colours of each of the different pictures, with thumbnails."""
    random = Random(7)  # noqa: S311  the same pictures in each run, and no secret
    (library / "pictures").mkdir(parents=True)
    return [await _draw(library, number, random) for number in range(PICTURES)]


async def _draw(library: Path, number: int, random: Random) -> tuple[object, ...]:
    size = SIZES[number % len(SIZES)]
    picture = Image.new("RGB", size, tuple(random.randrange(20, 120) for _ in "rgb"))
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, radius = (
            random.randrange(size[0]),
            random.randrange(size[1]),
            random.randrange(40, 400),
        )
        colour = tuple(random.randrange(30, 255) for _ in "rgb")
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    picture = picture.filter(ImageFilter.GaussianBlur(9))
    path = library / "pictures" / f"{number}.png"
    picture.save(path, compress_level=1)
    digest = sha256(path.read_bytes()).hexdigest()
    colours = await draw_thumbnail(path, library / thumbnail_path(digest))
    return (number, str(path), *size, digest, colours)


async def _insert(url: str, rows: int, pictures: list[tuple[object, ...]]) -> None:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    large = min(LARGE_MONTH_FILES, rows // 2)
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute("ALTER TABLE anime_api.anime_files DISABLE TRIGGER USER")
        await connection.execute("ALTER TABLE anime_api.production_jobs DISABLE TRIGGER USER")
        await connection.execute(
            "CREATE TEMP TABLE shown (number integer, path text, width integer, height integer,"
            " sha256 text, colours text)"
        )
        async with connection.cursor() as cursor:
            await cursor.executemany("INSERT INTO shown VALUES (%s, %s, %s, %s, %s, %s)", pictures)
        given = {"rows": rows, "large": large, "pictures": PICTURES}
        await connection.execute(FILES, given)
        await connection.execute(SEARCHABLE)
        await connection.execute(JOBS, given)
        await connection.execute(COUNTERS)
        await connection.execute(SHOT, {"takes": TAKES})
        await connection.execute("ALTER TABLE anime_api.anime_files ENABLE TRIGGER USER")
        await connection.execute("ALTER TABLE anime_api.production_jobs ENABLE TRIGGER USER")
        await connection.execute(f"VACUUM ANALYZE {TABLES}".encode())


def _weight() -> list[Row]:
    sizes = assets.compressed_bytes
    heavy = sum(size for name, size in sizes.items() if name.endswith((".js", ".css")))
    return [Row("scripts and styles of all views, compressed, kB", heavy / 1000, reach=Reach(60))]


async def _measure_api(library: ServedLibrary) -> list[Row]:
    """First pages, the month index, what is done now, and thumbnails at a steady rate."""
    async with httpx.AsyncClient(base_url=library.url) as client:
        files, _ = await _asked(client, "/api/anime/files")
        jobs, _ = await _asked(client, "/api/anime/jobs")
        index, answer = await _asked(client, "/api/anime/files/months")
        activity, now = await _asked(client, "/api/anime/activity")
        if len(now.json()["failed"]) < 20:
            raise StackError("The failed jobs are not shown.", "Look into it.")
        total = sum(each["files"] for each in answer.json()["items"])
        if total != library.rows:
            raise StackError(f"The months have {total} files, not {library.rows}.", "Look into it.")
        seconds = await _thumbnails(client, library.rows)
    return [
        Row("GET /files, first page, p95, ms", percentile(files, 95) * 1000, reach=Reach(20)),
        Row("GET /jobs, first page, p95, ms", percentile(jobs, 95) * 1000, reach=Reach(20)),
        Row("month index, p95, ms", percentile(index, 95) * 1000, reach=Reach(100)),
        Row(
            f"what {library.rows:,} jobs do now, p95, ms",
            percentile(activity, 95) * 1000,
            reach=Reach(20),
        ),
        Row("month index, kB", len(answer.content) / 1000, reach=Reach(50)),
        Row(
            f"thumbnail at {THUMBNAILS_A_SECOND} a second, p95, ms",
            percentile(seconds, 95) * 1000,
            reach=Reach(10),
        ),
    ]


async def _asked(client: httpx.AsyncClient, path: str) -> tuple[list[float], httpx.Response]:
    """How long each of some answers takes, one after another, and the last one."""
    seconds = []
    for _ in range(ANSWERS):
        began = time.perf_counter()
        answer = (await client.get(path)).raise_for_status()
        seconds.append(time.perf_counter() - began)
    return seconds, answer


async def _thumbnails(client: httpx.AsyncClient, rows: int) -> list[float]:
    """How long each takes, when they are asked for at a steady rate, however many are under way."""
    random = Random(3)  # noqa: S311  the same files in each run
    seconds: list[float] = []

    async def ask(file_id: int) -> None:
        began = time.perf_counter()
        (await client.get(f"/api/anime/files/{file_id}/thumbnail")).raise_for_status()
        seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(THUMBNAILS_A_SECOND * THUMBNAIL_SECONDS):
            due = began + number / THUMBNAILS_A_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(random.randrange(1, rows)))
    return seconds[THUMBNAILS_A_SECOND:]  # the first second warms up


async def _measure_browser(browser: Browser, library: ServedLibrary) -> list[Row]:
    first = [await _first_pictures(browser, library) for _ in range(3)]
    context = await browser.new_context(
        base_url=library.url, viewport={"width": 1920, "height": 1080}
    )
    tab = await context.new_page()
    session = await context.new_cdp_session(tab)
    await tab.goto("/library")
    await tab.wait_for_function(ALL_ARE_SHOWN)
    rows = [Row("first pictures from an empty cache, slowest of 3, s", max(first), reach=Reach(1))]
    jumps = await _jumps(tab)
    rows.append(
        Row(f"jump to a month, slowest of {JUMPS}, ms", max(jumps) * 1000, reach=Reach(300))
    )
    rows.append(
        Row(
            "height of the scrolled content, million px",
            await _height(tab),
            reach=Reach(2**24 / 1e6),
        )
    )
    for what, month in (("ten thousand pictures", None), ("a month of 100,000", "2024-05")):
        rows += await _scroll(browser, tab, session, what, month)
    steps = await _take_steps(tab)
    rows.append(Row("take to take, p95, ms", percentile(steps, 95), reach=Reach(50)))
    await context.close()
    return rows


async def _take_steps(tab: Page) -> list[float]:
    """Milliseconds from one take of a shot to another, once they are loaded."""
    await tab.goto("/review?project=film&shot=sc1&take=1", wait_until="networkidle")
    keys = [str(2 + step % (TAKES - 1)) for step in range(TAKES - 1 + TAKE_STEPS)]
    seconds = [float(await tab.evaluate(NEXT_TAKE, key)) for key in keys]
    return seconds[TAKES - 1 :]  # each was seen once before


async def _first_pictures(browser: Browser, library: ServedLibrary) -> float:
    """Seconds from the address to all pictures of the first screen."""
    context = await browser.new_context(
        base_url=library.url, viewport={"width": 1920, "height": 1080}
    )
    tab = await context.new_page()
    began = time.perf_counter()
    await tab.goto("/library", wait_until="commit")
    await tab.wait_for_function(ALL_ARE_SHOWN)
    seconds = time.perf_counter() - began
    await context.close()
    return seconds


async def _jumps(tab: Page) -> list[float]:
    """Seconds from a click on a month to all pictures of the screen."""
    random = Random(5)  # noqa: S311  the same months in each run
    months = await tab.eval_on_selector_all(
        ".months button", "each => each.map(one => one.dataset.month)"
    )
    chosen = random.sample(months[1:], min(JUMPS, len(months) - 1))
    return [await tab.evaluate(JUMP, month) / 1000 for month in chosen]


async def _height(tab: Page) -> float:
    return float(await tab.evaluate("document.getElementById('grid').scrollHeight")) / 1e6


async def _scroll(
    browser: Browser, tab: Page, session: CDPSession, what: str, month: str | None
) -> list[Row]:
    """Turns the wheel until ten thousand pictures have gone by."""
    if month is None:
        await tab.keyboard.press("Home")
    else:
        await tab.locator(f'.months button[data-month="{month}"]').click()
    await tab.wait_for_function(ALL_ARE_SHOWN)
    await tab.evaluate(WATCH)
    await tab.mouse.move(600, 600)
    in_view = await tab.locator(".tile").count()
    height = await tab.evaluate("document.getElementById('grid').clientHeight")
    turns = round(SCROLLED_FILES / (in_view / 2) * height / WHEEL_PX)
    await browser.start_tracing(page=tab, categories=["toplevel"])
    for _ in range(turns):
        await tab.mouse.wheel(0, WHEEL_PX)
        await tab.evaluate(NEXT_FRAME)
    await tab.wait_for_function(ALL_ARE_SHOWN)
    cpu_ms = longest_task_ms(json.loads(await browser.stop_tracing()))
    seen = await tab.evaluate("window.seen")
    heap = await _heap_mb(session)
    return [
        Row(f"{what}: longest task, CPU ms", cpu_ms, reach=Reach(50)),
        Row(f"{what}: the same by the clock, ms", seen["longest"], reach=Reach(50)),
        Row(f"{what}: pictures in the DOM at most", seen["most"], reach=Reach(400)),
        Row(f"{what}: JavaScript heap, MB", heap, reach=Reach(80)),
    ]


def longest_task_ms(trace: dict[str, Any]) -> float:  # Chromium's trace format
    """The CPU time of the longest task of a renderer's main thread, by a trace of Chromium's."""
    events = trace["traceEvents"]
    main = {
        (each["pid"], each["tid"])
        for each in events
        if each.get("name") == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        each["tdur"]
        for each in events
        if each.get("ph") == "X" and "tdur" in each and (each["pid"], each["tid"]) in main
    ]
    if not tasks:
        raise StackError("Chromium's trace has no task.", "Look at its format.")
    return float(max(tasks)) / 1000


async def _heap_mb(session: CDPSession) -> float:
    await session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    return float(usage["usedSize"]) / 1e6


if __name__ == "__main__":
    try:
        app(prog_name="python -m benchmarks.page")
    except AnimeError as error:
        print_error(error)
        sys.exit(1)
