"""How long the API takes to accept a request while a picture is rendered."""

import asyncio
import json
from uuid import UUID

from anime.errors import StackError
from benchmarks.effort import Effort
from benchmarks.load import Load, Measured, measure_load, require_only, trivial_server
from benchmarks.report import Reach, Row
from benchmarks.status import NOTE
from benchmarks.studio import Studio, open_studio
from benchmarks.timing import percentile

RATE = 50.0  # requests a second
RENDER_SECONDS = 50.0  # as long as a render of 1,000 steps takes: longer than the load
BEGIN_SECONDS = 60.0
PATH = "/api/anime/generate"


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """Requests at an even rate, in a stack of its own, as it leaves hundreds of jobs."""
    async with open_studio(studio.stack.checkout) as studio:
        render = await _begin_render(studio)
        body = studio.request(0.05).model_dump(mode="json", exclude_defaults=True, exclude={"seed"})
        body["prompt"] = "the lighthouse keeper's cat, take {number}"
        load = Load(
            studio.stack.record.parts["api"].url or "",
            PATH,
            effort.submits / RATE,
            rate=RATE,
            method="POST",
            body=json.dumps(body),
        )
        ours = await measure_load(load)
        require_only("202", ours)
        if await studio.is_completed(render):
            raise StackError("The render ended before the requests did.", "Measure fewer of them.")
    async with trivial_server() as trivial_url:
        bare = await measure_load(
            Load(trivial_url, PATH, 2, rate=RATE, method="POST", body=load.body)
        )
    return _rows(ours, bare)


async def _begin_render(studio: Studio) -> UUID:
    """The id of a job whose render has begun."""
    job = await studio.submit(studio.request(RENDER_SECONDS))
    async with asyncio.timeout(BEGIN_SECONDS):
        while True:
            answer = await studio.http.get(f"/api/anime/generation/{job.job_id}/status")
            if answer.raise_for_status().json()["stage"] == "rendering":
                return job.job_id
            await asyncio.sleep(0.1)


def _rows(ours: Measured, bare: Measured) -> list[Row]:
    def row(percent: float, reach: Reach | None = None) -> Row:
        mine, other = (percentile(each.answers_seconds, percent) for each in (ours, bare))
        what = f"submitted → accepted at {RATE:g} a second, p{percent:g}, ms"
        return Row(what, mine * 1000, other * 1000, reach, NOTE)

    return [row(50, Reach(15)), row(95), row(99, Reach(80)), row(100)]
