"""Warm workers as processes of their own, on pools of their own, beside a running stack."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    temporary_settings,
)
from prefect.states import Cancelling

from anime.core.work_queues import PRIORITIES
from anime.settings import PROJECT_DIR
from anime.worker.warm_worker import WarmWorker
from tests.stack.conftest import WATCHING, StackUnderTest, new_forked_stack
from tests.support.forks import AnyProcess, Program, fork, spawn
from tests.support.stack import running
from tests.support.waiting import HUNG_SECONDS
from tests.worker.sample_flows import released


@dataclass
class WorkerProcess:
    """`prefect worker start` on one pool."""

    process: AnyProcess
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    async def end(self, number: signal.Signals) -> int:
        """Send the signal and wait; the exit status."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, HUNG_SECONDS)

    async def until_it_says(self, words: str, times: int = 1) -> None:
        async with asyncio.timeout(HUNG_SECONDS):
            while self.log.count(words) < times:
                assert self.process.poll() is None, self.log
                await asyncio.sleep(0.05)


@dataclass
class Site:
    """A pool with our queues, the sample flows deployed to it, and its workers."""

    pool: str
    client: PrefectClient
    stack: StackUnderTest
    folder: Path
    deployments: dict[str, UUID] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where sample flows write down what they do."""
        return str(self.folder / "notes")

    def notes(self, word: str) -> list[list[str]]:
        """Their lines that begin with the word: run id, pid, time."""
        try:
            lines = Path(self.path).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.split()[1:] for line in lines if line.startswith(f"{word} ")]

    def let_them_end(self) -> None:
        """End the flows that wait for it, now and whenever one begins again."""
        released(self.path).touch()

    async def until_noted(self, word: str, times: int = 1) -> None:
        async with asyncio.timeout(HUNG_SECONDS):
            while len(self.notes(word)) < times:
                await asyncio.sleep(0.02)

    async def start_worker(
        self,
        *more: str,
        limit: int = 4,
        kind: str = "anime-warm",
        is_forked: bool = True,
        **environment: str,
    ) -> WorkerProcess:
        """A worker that polls; `more` options of its command, and environment."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        program = Program(
            "prefect",
            ("worker", "start", "--pool", self.pool, "--type", kind, "--limit", str(limit), *more),
            {
                **self.stack.environment,
                **self.prefect_environment,
                "PREFECT_WORKER_QUERY_SECONDS": "1",
                "ANIME_WATCH": "false",  # the stack's own does; each would begin with a sweep
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # as activated
                **environment,
            },
            log,
            log,
        )
        begin: Callable[[Program], AnyProcess] = fork if is_forked else spawn
        worker = WorkerProcess(await asyncio.to_thread(begin, program), log)
        self.workers.append(worker)
        await worker.until_it_says("started!")
        return worker

    @property
    def prefect_environment(self) -> dict[str, str]:
        known = self.stack.record.settings
        return {
            "PREFECT_API_URL": known["prefect_api_url"],
            "PREFECT_API_AUTH_STRING": known["prefect_api_auth_string"],
            "NO_PROXY": "127.0.0.1,localhost",
        }

    async def start(self, flow: str, queue: str = "batch", **parameters: object) -> UUID:
        """The id of a new run of a sample flow."""
        if flow not in self.deployments:
            self.deployments[flow] = await self._deploy(flow)
        run = await self.client.create_flow_run_from_deployment(
            self.deployments[flow], parameters=parameters, work_queue_name=queue
        )
        return run.id

    async def _deploy(self, flow: str) -> UUID:
        entrypoint = f"tests.worker.sample_flows.{flow}" if "." not in flow else flow
        name = flow.rpartition(".")[2]
        if "." in flow:
            flow_id = await self.client.create_flow_from_name(name)
        else:
            flow_id = await self.client.create_flow(load_flow_from_entrypoint(entrypoint))
        return await self.client.create_deployment(
            flow_id, self.pool, entrypoint=entrypoint, work_pool_name=self.pool
        )

    async def run(self, run_id: UUID) -> FlowRun:
        return await self.client.read_flow_run(run_id)

    async def until(self, run_id: UUID, *states: str) -> FlowRun:
        """The run, once its state has one of these names; any final one if none is given."""
        await self.stack.until_run(run_id, *states)
        return await self.run(run_id)

    async def until_all(self, run_ids: Sequence[UUID], *states: str) -> list[FlowRun]:
        return [await self.until(run_id, *states) for run_id in run_ids]

    async def cancel(self, run_id: UUID) -> None:
        """Press Cancel in the UI."""
        await self.client.set_flow_run_state(run_id, Cancelling())

    async def logs(self, run_id: UUID, words: str, *, at_least: int) -> list[str]:
        """The lines of the run's log with these words, once the API has so many of them."""
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
        async with asyncio.timeout(HUNG_SECONDS):
            while True:
                logs = await self.client.read_logs(wanted, limit=200)
                lines = [log.message for log in logs if re.search(words, log.message)]
                if len(lines) >= at_least:
                    return lines
                await asyncio.sleep(0.2)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StackUnderTest]:
    """One running stack for all tests that only use it; it watches for new files."""
    folder = tmp_path_factory.mktemp("stack")
    async with running(new_forked_stack(folder, **WATCHING)) as stack:
        yield stack


@pytest.fixture
def pool_type(request: pytest.FixtureRequest) -> str:
    """What kind of worker the pool was made for."""
    return str(getattr(request, "param", "anime-warm"))


@asynccontextmanager
async def _client(stack: StackUnderTest) -> AsyncIterator[PrefectClient]:
    known = stack.record.settings
    told = {
        PREFECT_API_URL: known["prefect_api_url"],
        PREFECT_API_AUTH_STRING: known["prefect_api_auth_string"],
    }
    with temporary_settings(told):
        async with get_client() as client:
            yield client


@asynccontextmanager
async def _own_pool(stack: StackUnderTest, pool_type: str, folder: Path) -> AsyncIterator[Site]:
    """A pool without a worker; those that were started are killed in the end."""
    pool = f"trial-{uuid4().hex[:8]}"
    async with _client(stack) as client:
        template = WarmWorker.get_default_base_job_template()
        # The sample flows are no installed package; the studio's are, and need no folder.
        template["job_configuration"]["working_dir"] = str(PROJECT_DIR)
        await client.create_work_pool(
            WorkPoolCreate(name=pool, type=pool_type, base_job_template=template)
        )
        for name, priority in PRIORITIES.items():
            await client.create_work_queue(name, priority=priority, work_pool_name=pool)
        site = Site(pool, client, stack, folder)
        try:
            yield site
        finally:
            for worker in site.workers:
                if worker.process.poll() is None:
                    worker.process.kill()
                    worker.process.wait(HUNG_SECONDS)
            await client.delete_work_pool(pool)


@pytest_asyncio.fixture
async def site(stack: StackUnderTest, pool_type: str, tmp_path: Path) -> AsyncIterator[Site]:
    """A pool without a worker."""
    async with _own_pool(stack, pool_type, tmp_path) as site:
        yield site


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shared_site(
    stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A pool whose worker serves many tests: to start one takes three seconds of a processor."""
    async with _own_pool(stack, "anime-warm", tmp_path_factory.mktemp("shared")) as site:
        await site.start_worker(limit=5)
        yield site


@pytest_asyncio.fixture
async def served_site(
    stack: StackUnderTest, shared_site: Site, tmp_path: Path
) -> AsyncIterator[Site]:
    """A pool with a worker, for tests after which it has nothing to do and goes on as before."""
    async with _client(stack) as client:
        yield replace(shared_site, client=client, folder=tmp_path)
    [worker] = shared_site.workers
    assert worker.process.poll() is None, worker.log
