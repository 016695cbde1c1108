"""The whole stack as a person runs it: `anime up` in a process of its own."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, cast
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import make_url

from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.support.stack import RunningStack, running
from tests.support.waiting import HUNG_SECONDS

STEP_SECONDS = "0.02"
# Services of Prefect's server that no test needs: half of the CPU that it takes when idle, and a
# part of what each event takes.
NO_SERVICES = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
    for name in (
        *("CLEANUP_RECONCILER", "EVENT_PERSISTER", "FOREMAN", "LATE_RUNS", "PAUSE_EXPIRATIONS"),
        *("REPOSSESSOR", "SCHEDULER", "TRIGGERS"),
    )
}
# Each client of Prefect would first ask for a token that this server does not want.
NO_TOKENS = {"PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false"}
WATCHING = {  # for new files
    "ANIME_TIMEZONE": "Asia/Tokyo",
    "ANIME_WATCH": "true",
    "ANIME_WATCH_SECONDS": "2",
    "ANIME_SWEEP_SETTLE_SECONDS": "1",
}
# Given as they are, or by a reference to a file; nobody in these tests asks for them.
SECRETS = {name: token_hex(16) for name in ("header", "webhook", "collector", "file")}
FINAL = frozenset({"completed", "failed", "cancelled"})
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")  # types of states in Prefect


@dataclass
class StackUnderTest(RunningStack):
    """A stack whose jobs are asked for at the command line, over HTTP and in Redis."""

    @property
    def ws_url(self) -> str:
        """Where clients of old find the WebSocket."""
        return self.record.settings["ws_url"]

    @property
    def hold_file(self) -> Path:
        """While it is there, no render of the rehearsal server ends."""
        return self.folder / "hold"

    @contextmanager
    def renders_held(self) -> Iterator[None]:
        """No render ends while the block lasts."""
        self.hold_file.touch()
        try:
            yield
        finally:
            self.hold_file.unlink()

    @property
    def output(self) -> Path:
        """The output folder of the rehearsal server, which sweeps look through."""
        return Path(self.record.settings["sweep_dir"])

    def api(self) -> httpx.AsyncClient:
        """A client of the stack's API."""
        url = str(self.record.parts["api"].url)
        return httpx.AsyncClient(base_url=url, timeout=HUNG_SECONDS)

    def redis(self) -> Redis:
        """A client of the stack's Redis."""
        url = self.record.settings["redis_url"]
        return Redis.from_url(url, decode_responses=True, protocol=2)

    async def anime(
        self,
        *arguments: str,
        timeout_seconds: float = HUNG_SECONDS,
        is_forked: bool | None = True,
    ) -> "subprocess.CompletedProcess[str]":
        """Run an `anime` command; forked, it takes a tenth of the CPU."""
        return await super().anime(*arguments, timeout_seconds=timeout_seconds, is_forked=is_forked)

    async def job(self, job_id: str) -> dict[str, Any]:  # the JSON of a job and its files
        """A job that has ended, with its files."""
        async with asyncio.timeout(HUNG_SECONDS), self.api() as api:
            while True:
                job = (await api.get(f"/api/anime/jobs/{job_id}")).raise_for_status().json()
                if job["status"] in FINAL:
                    found = await api.get("/api/anime/files", params={"job": job_id})
                    return {**job, "files": found.raise_for_status().json()["items"]}
                await asyncio.sleep(0.25)

    async def hash_of_ended(self, job_id: str) -> dict[str, str]:
        """The job's hash in Redis when it says that the job has ended."""
        async with (
            asyncio.timeout(HUNG_SECONDS),
            self.redis() as redis,
            redis.pubsub(ignore_subscribe_messages=True) as channel,
        ):
            await channel.subscribe("anime:job:updates")
            while True:
                found = await redis.hgetall(f"anime:job:{job_id}")
                seen = cast("dict[str, str]", found)  # redis-py types every protocol
                if seen.get("status") in FINAL:
                    return seen
                await channel.get_message(timeout=1.0)

    async def ended_run(self, run_id: str) -> Any:  # Prefect's JSON
        """The run in Prefect, once it has ended."""
        await self.until_run(UUID(run_id))
        async with self.prefect() as prefect:
            return (await prefect.get(f"/flow_runs/{run_id}")).json()

    async def until_run(self, run_id: UUID, *states: str) -> None:
        """Return when the run's state has one of these names; any final one if none is given.

        Prefect's table is asked: its API takes ten times as long for an answer, of which a wait
        needs four a second.
        """
        wanted = ("state_name", list(states)) if states else ("state_type", list(ENDED))
        query = f"SELECT 1 FROM flow_run WHERE id = %s AND {wanted[0]}::text = ANY(%s)"
        url = make_url(self.record.settings["database_url"])
        prefect_url = url.set(drivername="postgresql", database=f"{url.database}_prefect")
        async with (
            asyncio.timeout(HUNG_SECONDS),
            await psycopg.AsyncConnection.connect(
                prefect_url.render_as_string(hide_password=False), autocommit=True
            ) as connection,
        ):
            while not (await connection.execute(query, [run_id, wanted[1]])).rowcount:
                await asyncio.sleep(0.2)

    async def until_rendering(self, job_id: str) -> None:
        """Return when ComfyUI has begun with the job."""
        await self._until(job_id, lambda job: job["progress"] > 0)

    async def until_completed(self, job_id: str) -> None:
        """Return when the job is, so that it is in nobody's way."""
        await self._until(job_id, lambda job: job["status"] == "completed")

    async def _until(self, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> None:
        async with asyncio.timeout(HUNG_SECONDS), self.api() as api:
            while not holds((await api.get(f"/api/anime/jobs/{job_id}")).json()):
                await asyncio.sleep(0.1)


def new_stack(folder: Path, **given: str) -> StackUnderTest:
    """A stack in that folder, not yet started; with these variables in its terminals."""
    stack = StackUnderTest(folder)
    rehearsal = {
        "ANIME_REHEARSAL_STEP_SECONDS": STEP_SECONDS,
        "ANIME_REHEARSAL_FAULTS": f"hold-while={stack.hold_file}",
    }
    return replace(stack, given={**rehearsal, **NO_SERVICES, **given})


def new_forked_stack(folder: Path, **given: str) -> StackUnderTest:
    """The same, whose programs are forked: its start takes a third of the CPU."""
    return replace(new_stack(folder, **NO_TOKENS, **given), is_forked=True)


@pytest.fixture(scope="package")
def traces() -> Iterator[OtlpReceiver]:
    """What the stack has said of itself in traces."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, traces: OtlpReceiver
) -> AsyncIterator[StackUnderTest]:
    """One running stack for all tests that only use it; it watches for new files.

    Its traces go to `traces`, its logs are JSON.
    """
    folder = tmp_path_factory.mktemp("stack")
    (folder / "secret").write_text(SECRETS["file"])
    given = {
        **WATCHING,
        "ANIME_COMFYUI_HEADERS": json.dumps(
            {"X-Studio": SECRETS["header"], "X-File": f"file:{folder / 'secret'}"}
        ),
        "ANIME_WEBHOOK_SECRET": f"whsec_{SECRETS['webhook']}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRETS['collector']}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "ANIME_LOG_FORMAT": "json",
    }
    async with running(new_stack(folder, **given)) as stack:
        yield stack
