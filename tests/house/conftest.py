"""The whole house as a person runs it: `anime up` in a process of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from anime.local.house import House as LocalHouse
from anime.local.house import running

JOB_SECONDS = 60
STEP_SECONDS = "0.02"


@dataclass
class House(LocalHouse):
    """A house whose jobs are asked for at the command line."""

    async def job(self, job_id: str) -> dict[str, Any]:  # the JSON of a job and its files
        """A job that has ended, with its files, as `anime` prints them."""
        async with asyncio.timeout(JOB_SECONDS):
            while True:
                job = json.loads((await self.anime("jobs", job_id, "--json")).stdout)
                job = job[0] if isinstance(job, list) else job
                if job["status"] in {"completed", "failed", "cancelled"}:
                    files = (await self.anime("files", "--job", job_id, "--json")).stdout
                    return {**job, "files": json.loads(files)}
                await asyncio.sleep(0.2)


@pytest_asyncio.fixture(scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One running house for all tests that only use it."""
    async with running(new_house(tmp_path_factory.mktemp("house"))) as house:
        yield house


def new_house(folder: Path) -> House:
    """A house in that folder, not yet started."""
    return House(folder, {"ANIME_REHEARSAL_STEP_SECONDS": STEP_SECONDS})
