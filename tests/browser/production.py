"""A small production in the running stack: shots with takes that people look at."""

import asyncio
from typing import Any

import httpx

from tests.stack.conftest import StackUnderTest
from tests.support.waiting import HUNG_SECONDS

Json = dict[str, Any]
PROJECT = "Harbour"
SLUG = "harbour"
LIST = """\
code,episode,scene,description,characters,prompt,width,height,seconds
h01,1,dawn,Cranes in the fog,Aki,the harbour at dawn,512,288,0.5
h02,1,dawn,<b>Aki</b> looks up,Aki,a girl on the quay,512,288,0.5
h03,1,noon,The boat leaves,,a boat,512,288,0.5
h04,2,noon,Not drawn yet,,an empty quay,512,288,
"""
RENDERED = {"h01": 3, "h02": 2, "h03": 1}  # takes of each


async def make_production(studio: StackUnderTest) -> None:
    """Import the shots, and render their takes; h04 has none."""
    async with studio.api() as api:
        await post(api, "/shots/import", project=PROJECT, table=LIST)
        style = {"style": {"steps": 2}}
        answer = await api.put(f"/api/anime/projects/{SLUG}/style", json=style)
        assert answer.is_success, answer.text
        for code, count in RENDERED.items():
            await post(api, "/shots/render", project=SLUG, codes=[code], takes=count)
        await until_takes(api, RENDERED)


async def until_takes(api: httpx.AsyncClient, wanted: dict[str, int], project: str = SLUG) -> None:
    """Return when the shots have so many takes."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            shots = await get(api, "/shots", project=project)
            there = {shot["code"]: shot["takes"] for shot in shots["items"]}
            if all(there[code] >= count for code, count in wanted.items()):
                return
            await asyncio.sleep(0.25)


async def takes_of(studio: StackUnderTest, code: str) -> list[Json]:
    """The shot's takes, as the API says."""
    async with studio.api() as api:
        items: list[Json] = (await get(api, "/takes", project=SLUG, shot=code))["items"]
        return items


async def get(api: httpx.AsyncClient, path: str, **query: str) -> Json:
    answer = await api.get(f"/api/anime{path}", params=query)
    found: Json = answer.raise_for_status().json()
    return found


async def post(api: httpx.AsyncClient, path: str, **body: object) -> Json:
    answer = await api.post(f"/api/anime{path}", json=body)
    assert answer.is_success, answer.text
    made: Json = answer.json()
    return made
