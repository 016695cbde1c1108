"""The whole house as a person runs it: `anime up` in a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from anime.local.postgres import prepare_postgres
from anime.settings import PROJECT_DIR
from anime.stack_record import StackRecord, read_record

ANIME = (sys.executable, "-m", "anime.cli.app")
READY_SECONDS = 120
JOB_SECONDS = 60


@dataclass
class House:
    """A data folder, and the stack that may run on it."""

    home: Path
    given: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a terminal of this house has set: no address of anything, any free port."""
        bare = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANIME_", "PREFECT_"))
        }
        return {**bare, "ANIME_HOME": str(self.home), **self.given}

    @property
    def record(self) -> StackRecord:
        """What the running stack wrote down."""
        record = read_record(self.home)
        assert record is not None, "no stack runs"
        return record

    @property
    def log(self) -> str:
        """What `anime up` has said."""
        return (self.home.parent / "up.log").read_text()

    async def start(self) -> None:
        """Run `anime up` until it is ready."""
        with (self.home.parent / "up.log").open("wb") as log:
            self.process = await asyncio.to_thread(
                subprocess.Popen,
                [*ANIME, "up"],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        async with asyncio.timeout(READY_SECONDS):
            while read_record(self.home) is None:
                assert self.process.poll() is None, self.log
                await asyncio.sleep(0.1)

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Press Ctrl-C and wait; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 60)

    async def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program in a terminal of this house."""
        return await asyncio.to_thread(
            subprocess.run,
            list(command),
            env={**self.environment, **more},
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=JOB_SECONDS,
            check=False,
        )

    async def anime(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an `anime` command."""
        return await self.run(*ANIME, *arguments)

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

    def prefect(self) -> httpx.AsyncClient:
        """A client of the house's Prefect server."""
        known = self.record.settings
        user, _, password = known["prefect_api_auth_string"].partition(":")
        return httpx.AsyncClient(base_url=known["prefect_api_url"], auth=(user, password))

    def processes(self) -> set[int]:
        """The pids of everything that `anime up` has started and that still runs."""
        assert self.process is not None
        try:
            return {
                child.pid for child in psutil.Process(self.process.pid).children(recursive=True)
            }
        except psutil.NoSuchProcess:
            return set()


@pytest_asyncio.fixture(scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One running house for all tests that only use it."""
    async with running_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@asynccontextmanager
async def running_house(folder: Path) -> AsyncIterator[House]:
    free = {
        "ANIME_API_PORTS": "0,0",
        "ANIME_PREFECT_PORT": "0",
        "ANIME_REHEARSAL_PORT": "0",
        "ANIME_REHEARSAL_STEP_SECONDS": "0.02",
        "PREFECT_HOME": str(folder / "prefect"),
    }
    house = House(folder / "home", free)
    try:
        await house.start()
        yield house
    finally:
        if house.process is not None and house.process.poll() is None:
            await house.stop()
        # As root the database lies outside of the data folder.
        (await asyncio.to_thread(prepare_postgres, house.home)).discard()
