"""The worker type `anime-warm`: `prefect worker start --type anime-warm`, or `anime worker`.

Prefect imports this module through the `prefect.collections` entry point at every start of its
server and command line: what only a running worker needs is imported when it starts.
"""

import asyncio
import os
import signal
import sys
import threading
from typing import Any, Self
from uuid import UUID

import anyio.abc
import httpx
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import (
    BaseJobConfiguration,
    BaseVariables,
    BaseWorker,
    BaseWorkerResult,
)

from anime.core.work_queues import queue_named
from anime.settings import get_settings, resolve_reference
from anime.worker.due_runs import DueRuns
from anime.worker.flow_loader import Entrypoints, load_ahead, unheeded
from anime.worker.live_run import LAST_SECONDS, LiveRun
from anime.worker.maintenance import MaintenanceLoop
from anime.worker.prefect_internals import (
    PrefectWorkerHooks,
    ask_seldom_for_result_storage,
    install_engines,
    send_prints_to_logs,
    send_what_is_left,
)
from anime.worker.process_identity import ProcessIdentity
from anime.worker.run_control import EndReason
from anime.worker.run_pool import RunPool


class WarmWorker(
    PrefectWorkerHooks, BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]
):
    """Runs flow runs in lanes of this process: deployments are imported once."""

    type = "anime-warm"
    job_configuration = BaseJobConfiguration
    job_configuration_variables = BaseVariables
    _description = "Run flows within one long-lived process, a thread each."

    def __init__(self, *arguments: Any, **named: Any) -> None:  # those of BaseWorker
        super().__init__(*arguments, **named)
        self.settings = get_settings()
        self.me = ProcessIdentity.me(self.settings.home)
        self.run_pool = RunPool(self.limit or self.settings.worker_limit, on_room=self.wake)
        self.runs_taken = 0
        self._entrypoints = Entrypoints()
        self._due = DueRuns()
        self._polling = asyncio.Lock()
        self._rung = asyncio.Event()
        self._background: list[asyncio.Task[None]] = []
        self._stopping: asyncio.Task[None] | None = None
        self._main: asyncio.Task[Any] | None = None  # whatever `start` gives
        self._begins_anew = False

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:  # as Prefect defines it
        """What a pool says of its jobs: all for the process worker, that it may serve it, too."""
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        # Measured: 3 s from created to running, not 6, as one interpreter starts instead of three.
        template["variables"]["properties"]["command"]["default"] = "python -m prefect.engine"
        return template

    async def __aenter__(self) -> Self:
        install_engines()
        ask_seldom_for_result_storage()
        send_prints_to_logs()
        await super().__aenter__()
        self._main = asyncio.current_task()
        self._listen_to_signals()
        await self._load_deployments()
        self.run_pool.warm_up()
        self._background = [
            asyncio.create_task(self._handle_notifications()),
            asyncio.create_task(MaintenanceLoop(self).walk()),
            asyncio.create_task(self._listen_for_runs()),
            asyncio.create_task(self._look_out()),
        ]
        for task in self._background:
            task.add_done_callback(self._log_failure)
        return self

    async def __aexit__(self, *exc_info: Any) -> None:  # as every context manager gets it
        self._stopping = self._stopping or asyncio.create_task(asyncio.sleep(0))
        if exc_info[0] is None:  # --run-once: nobody wants it to stop, it has no more to do
            await self.run_pool.until_idle(None)
        self.run_pool.end_all(EndReason.HANDED_BACK)
        await self.run_pool.until_idle(LAST_SECONDS)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self.run_pool.close()
        try:
            await super().__aexit__(*exc_info)
        finally:
            if self._begins_anew:
                await send_what_is_left()
                # For whoever keeps this process it is the same; its memory is that of a new one.
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> BaseWorkerResult:
        """Part of the interface: serve a run that is claimed already."""
        del configuration
        if task_status is not None:
            task_status.started(self.me.pid)
        queue = queue_named(flow_run.work_queue_name)
        await self.run_pool.begin(flow_run, self._serve_claimed, queue=queue)
        return BaseWorkerResult(identifier=str(self.me), status_code=0)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take up the most urgent runs, as many as there is room for.

        Called every second or so by Prefect, and at once by the doorbell and when a run ends.
        """
        self.note_poll()
        async with self._polling:
            if self._stopping or not self.knows_its_pool:
                return []
            begun: list[FlowRun] = []
            try:
                async for queue, run in self._due.runs(self, self.run_pool):
                    self.watch_for_cancellation(run.id)
                    self.run_pool.begin(run, self._serve, queue=queue)
                    begun.append(run)
            except ObjectNotFound:
                self._due.forget()  # the pool is made with the next heartbeat, or a queue is gone
            except httpx.HTTPError as fault:
                self.log.warning("Prefect gives no work: %s", fault or type(fault).__name__)
            return begun

    def wake(self) -> None:
        """Look for work now."""
        self._rung.set()

    def cancel(self, run_id: UUID) -> None:
        """Stop that run, if it is here."""
        self.run_pool.end(run_id, EndReason.CANCELLED)

    def settle_cancellation(self, run: FlowRun) -> None:
        """Do what is to be done for a cancelled run whose worker has died."""
        queue = queue_named(run.work_queue_name)
        self.run_pool.begin(run, self._serve_claimed, queue=queue, ending=EndReason.CANCELLED)

    def restart(self, why: str) -> None:
        """End the runs as `stop` does, then become a new worker."""
        if self._stopping is None:
            self.log.info("Beginning anew %s", why)
            self._begins_anew = True
            self.stop()

    def stop(self) -> None:
        """End once the runs have ended or had their grace. Asked again: at once."""
        if self._stopping is not None:
            self._begins_anew = False
            self.run_pool.end_all(EndReason.HANDED_BACK)
            return
        self._stopping = asyncio.create_task(self._stop(self.settings.worker_grace_seconds))

    async def _stop(self, grace_seconds: float) -> None:
        self.log.info(
            "No new runs; %d under way have %g s to end", len(self.run_pool), grace_seconds
        )
        await self.run_pool.until_idle(grace_seconds)
        if self._main is not None:
            self._main.cancel()  # what is left is handed back on the way out

    def _log_failure(self, task: asyncio.Task[None]) -> None:
        """A worker that has gone half deaf ends, for another one to begin whole."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("The worker stops after an error of its own", exc_info=error)
            self.stop()

    async def _serve(self, live: LiveRun) -> None:
        try:
            if await self.claim(live.flow_run):
                self._count()
                await self._serve_claimed(live)
        finally:
            self.stop_watching(live.flow_run.id)

    def _count(self) -> None:
        """One run more; the last one before this worker is to begin anew, perhaps."""
        self.runs_taken += 1
        most = self.settings.worker_max_runs
        if most is not None and self.runs_taken >= most:
            self.restart(f"after {self.runs_taken} runs")

    async def _serve_claimed(self, live: LiveRun) -> None:
        # Signed before it runs: a run without a name on it would be nobody's if this worker died.
        entrypoint, _ = await asyncio.gather(
            self._entrypoints.of(live.flow_run.deployment_id, self.api), self._sign(live.flow_run)
        )
        await live.serve(entrypoint, self.api)

    async def _sign(self, run: FlowRun) -> None:
        await self.api.update_flow_run(run.id, infrastructure_pid=str(self.me))

    async def _load_deployments(self) -> None:
        """Import what this pool's deployments run, before the first run asks for it."""
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self.pool_name]))
        try:
            found = await self.api.read_deployments(work_pool_filter=pool)
        except httpx.HTTPError as fault:
            self.log.warning("No flow is loaded ahead: %s", fault or type(fault).__name__)
            return
        for each in found:
            if wishes := unheeded(each):
                self.log.warning(
                    "Deployment %s asks for %s, which needs a worker of type process: ignored here",
                    each.name,
                    ", ".join(wishes),
                )
        await asyncio.to_thread(load_ahead, {it.entrypoint for it in found if it.entrypoint})

    async def _handle_notifications(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            await self.get_and_submit_flow_runs()

    async def _listen_for_runs(self) -> None:
        from anime.worker.notifications import answer

        url = self.settings.redis_url
        if url is not None:
            await answer(resolve_reference(url.get_secret_value()), self.pool_name, self.wake)

    async def _look_out(self) -> None:
        folder = self.settings.swept_folder
        if not self.settings.watch:
            return
        if folder is None:
            self.log.warning("ANIME_WATCH has no folder to watch: set ANIME_SWEEP_DIR")
            return
        from anime.worker.sweep_trigger import SweepTrigger

        await SweepTrigger(self.settings, folder).keep()

    def _listen_to_signals(self) -> None:
        """Take SIGTERM and SIGINT from Prefect's command line, which ends without a goodbye."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
