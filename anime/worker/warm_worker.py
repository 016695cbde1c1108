"""The worker type `anime-warm`: `prefect worker start --type anime-warm`, or `anime worker`.

Prefect imports this module through the `prefect.collections` entry point at every start of its
server and command line: what only a running worker needs is imported when it starts.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
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

from anime.core.work_queues import WorkQueue, queue_named
from anime.errors import AnimeError, reason_of
from anime.net.saved_blocks import SavedBlockTypes
from anime.net.tracing import start_tracing, stop_tracing
from anime.net.vault.start import resolve_at_start
from anime.settings import get_settings
from anime.settings.addresses import redis_address
from anime.settings.service_manager import ServiceManager
from anime.worker.due_runs import DueRuns
from anime.worker.flow_loader import Entrypoints, ignored_options, loaded_flow, preload_flows
from anime.worker.live_run import MAX_END_SECONDS, LiveRun
from anime.worker.maintenance import MaintenanceLoop
from anime.worker.prefect_internals import (
    PrefectWorkerHooks,
    cache_result_storage,
    flush_logs_and_events,
    install_engines,
    send_prints_to_logs,
    share_tls_contexts,
    write_json_to_console,
)
from anime.worker.process_identity import ProcessIdentity
from anime.worker.run_control import EndReason
from anime.worker.run_pool import RunPool
from anime.worker.watchdog import PollWatchdog

MONITOR = "monitor/monitor"


class WarmWorker(
    PrefectWorkerHooks, BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]
):
    """Runs flow runs in threads of this process, so that each flow is imported once."""

    type = "anime-warm"
    job_configuration = BaseJobConfiguration
    job_configuration_variables = BaseVariables
    _description = "Run flows within one long-lived process, a thread each."

    def __init__(self, *arguments: Any, **named: Any) -> None:  # those of BaseWorker
        super().__init__(*arguments, **named)
        self.settings = get_settings()
        self.identity = ProcessIdentity.of_this_process(self.settings.home)
        self.run_pool = RunPool(self.limit or self.settings.worker_limit, on_run_ended=self.wake)
        self.runs_started = 0
        self._entrypoints = Entrypoints()
        self._due_runs = DueRuns()
        self._saved_types = SavedBlockTypes()
        self._polling = asyncio.Lock()
        self._watchdog = PollWatchdog(ServiceManager.of_this_process())
        self._wake_event = asyncio.Event()
        self._woken_for: set[WorkQueue] = set()
        self._background: list[asyncio.Task[None]] = []
        self._stop_task: asyncio.Task[None] | None = None
        self._main: asyncio.Task[Any] | None = None  # whatever `start` returns
        self._will_restart = False

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:  # as Prefect defines it
        """What decides how a process worker runs a flow, so that one can serve the same pool.

        Not all that it knows: for each run, the server checks the schema of the variables twice, in
        1 ms each.
        """
        variables = {
            # Measured: 3 s from created to running, not 6, as one Python starts instead of three.
            "command": {"type": "string", "default": "python -P -m prefect.engine"},
            "env": {"type": "object"},
            "working_dir": {"type": "string"},
        }
        return {
            "job_configuration": {name: f"{{{{ {name} }}}}" for name in variables},
            "variables": {"type": "object", "properties": variables},
        }

    async def __aenter__(self) -> Self:
        if self.settings.log_format == "json":
            write_json_to_console()
        start_tracing(self.settings, "anime-worker")
        await self._resolve_references()
        install_engines()
        share_tls_contexts()
        cache_result_storage()
        send_prints_to_logs()
        await super().__aenter__()
        self._main = asyncio.current_task()
        self._listen_to_signals()
        await self._load_deployments()
        self.run_pool.warm_up()
        self._background = [
            asyncio.create_task(self._poll_when_woken()),
            asyncio.create_task(MaintenanceLoop(self).run()),
            asyncio.create_task(self._watchdog.run()),
            asyncio.create_task(self._listen_for_runs()),
            asyncio.create_task(self._watch_folder()),
            asyncio.create_task(self._start_monitor()),
        ]
        for task in self._background:
            task.add_done_callback(self._log_failure)
        return self

    async def _resolve_references(self) -> None:
        try:
            await resolve_at_start(self.settings, "worker")
        except AnimeError as fault:  # runs that need it say so, and try again
            self.log.warning("%s", fault)

    async def __aexit__(self, *exc_info: Any) -> None:  # as every context manager gets it
        from anime.retry_policies import cancel_until_ended

        self._stop_task = self._stop_task or asyncio.create_task(asyncio.sleep(0))
        if exc_info[0] is None:  # --run-once: nobody stopped it, it has nothing more to do
            await self.run_pool.wait_until_idle(None)
        self.run_pool.end_all(EndReason.HANDED_BACK)
        await self.run_pool.wait_until_idle(MAX_END_SECONDS)
        await cancel_until_ended(*self._background)
        self.run_pool.close()
        try:
            await super().__aexit__(*exc_info)
        finally:
            if self._will_restart:
                await asyncio.to_thread(stop_tracing)
                await flush_logs_and_events()
                # The pid stays, so that its supervisor sees no end; the memory is a new process's.
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> BaseWorkerResult:
        """Execute a run that is claimed already; part of Prefect's interface."""
        del configuration
        if task_status is not None:
            task_status.started(self.identity.pid)
        queue = queue_named(flow_run.work_queue_name)
        await self.run_pool.start(flow_run, self._execute, queue=queue)
        return BaseWorkerResult(identifier=str(self.identity), status_code=0)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Start the most urgent runs, up to each queue's limit.

        Prefect calls it every second or so. Only those of one queue are asked for when a run of it
        is dispatched, or has ended.
        """
        self.record_poll()
        return await self._start_most_urgent(tuple(WorkQueue))

    async def _start_most_urgent(self, among: Collection[WorkQueue]) -> list[FlowRun]:
        async with self._polling:
            if self._stop_task or not self.is_synced:
                return []
            with self._watchdog.polling():
                return await self._start_due_runs(among)

    async def _start_due_runs(self, among: Collection[WorkQueue]) -> list[FlowRun]:
        started: list[FlowRun] = []
        try:
            async for queue, run in self._due_runs.runs(self, self.run_pool, among):
                if self._stop_task:  # told to stop while Prefect was asked
                    break
                self.watch_for_cancellation(run.id)
                self.run_pool.start(run, self._claim_and_execute, queue=queue)
                started.append(run)
        except ObjectNotFound:
            self._due_runs.forget()  # the next heartbeat creates the pool; or a queue is gone
        except httpx.HTTPError as fault:
            self.log.warning("Prefect cannot be polled for runs: %s", reason_of(fault))
        return started

    def wake(self, *queues: WorkQueue) -> None:
        """Poll for runs of these queues now, or of all if none is named."""
        self._woken_for.update(queues or WorkQueue)
        self._wake_event.set()

    def cancel(self, run_id: UUID) -> None:
        """Stop that run, if it is here."""
        self.run_pool.end(run_id, EndReason.CANCELLED)

    def settle_cancellation(self, run: FlowRun) -> None:
        """Run the hooks of a cancelled run whose worker has died, and confirm its cancellation."""
        queue = queue_named(run.work_queue_name)
        self.run_pool.start(run, self._execute, queue=queue, end_reason=EndReason.CANCELLED)

    def restart(self, why: str) -> None:
        """End the runs as `stop` does, then start again as a new process."""
        if self._stop_task is None:
            self.log.info("Restarting %s", why)
            self._will_restart = True
            self.stop()

    def stop(self) -> None:
        """End after the runs, which have the grace period to end; when called again, at once."""
        if self._stop_task is not None:
            self._will_restart = False
            self.run_pool.end_all(EndReason.HANDED_BACK)
            return
        self._stop_task = asyncio.create_task(self._stop(self.settings.worker_grace_seconds))

    async def _stop(self, grace_seconds: float) -> None:
        self.log.info(
            "No new runs; %d under way have %g s to end", len(self.run_pool), grace_seconds
        )
        await self.run_pool.wait_until_idle(grace_seconds)
        if self._main is not None:
            self._main.cancel()  # `__aexit__` hands back the runs that are left

    def _log_failure(self, task: asyncio.Task[None]) -> None:
        """Log the error of a background task, and stop: the worker needs all of them."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("The worker stops after an internal error", exc_info=error)
            self.stop()

    async def _claim_and_execute(self, live: LiveRun) -> None:
        run = live.flow_run
        try:
            is_ours, live.saved_block_types, _ = await asyncio.gather(
                self.claim(run),
                self._read_saved_types(run),
                self._entrypoints.read(run.deployment_id, self.api),
            )
            if is_ours:
                self._count_run()
                await self._execute(live)
        finally:
            self.stop_watching(run.id)

    async def _read_saved_types(self, run: FlowRun) -> frozenset[str] | None:
        """None if Prefect does not answer: then the run asks until it does."""
        with suppress(httpx.HTTPError):
            return await self._saved_types.read(self.api, before=run.created)
        return None

    def _count_run(self) -> None:
        """Count one more run, and restart after the last one that the settings allow."""
        self.runs_started += 1
        max_runs = self.settings.worker_max_runs
        if max_runs is not None and self.runs_started >= max_runs:
            self.restart(f"after {self.runs_started} runs")

    async def _execute(self, live: LiveRun) -> None:
        # The owner is recorded before the run starts: else nobody could tell that its worker died.
        entrypoint = await self._entrypoints.read(live.flow_run.deployment_id, self.api)
        live.control.told = await self.record_owner(
            live.flow_run, str(self.identity), loaded_flow(entrypoint)
        )
        await live.execute(entrypoint, self.api)

    async def _load_deployments(self) -> None:
        """Import the flows of this pool's deployments before the first run needs them."""
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self.pool_name]))
        try:
            found = await self.api.read_deployments(work_pool_filter=pool)
        except httpx.HTTPError as fault:
            self.log.warning("No flow is loaded before its first run: %s", reason_of(fault))
            return
        for each in found:
            if ignored := ignored_options(each):
                self.log.warning(
                    "Deployment %s sets %s, which needs a worker of type process: ignored here",
                    each.name,
                    ", ".join(ignored),
                )
        await asyncio.to_thread(
            preload_flows, {each.entrypoint for each in found if each.entrypoint}
        )

    async def _poll_when_woken(self) -> None:
        while True:
            await self._wake_event.wait()
            self._wake_event.clear()
            queues, self._woken_for = self._woken_for, set()
            await self._start_most_urgent(queues)

    async def _listen_for_runs(self) -> None:
        from anime.worker.notifications import listen

        url = redis_address(self.settings)
        if url is not None:
            await listen(url, self.pool_name, lambda queue: self.wake(queue_named(queue)))

    async def _start_monitor(self) -> None:
        """Have the monitor look at once at what was left while no worker ran."""
        from anime.errors import PrefectUnavailable
        from anime.net.prefect_api import PrefectApi

        try:
            async with PrefectApi.from_settings(self.settings) as prefect:
                deployment = await prefect.deployment_id(MONITOR)
                key = f"monitor-{self.identity.lock}"
                await prefect.start_run(deployment, {}, key=key, queue=WorkQueue.MAINTENANCE)
        except PrefectUnavailable as fault:
            self.log.debug("The monitor begins on schedule: %s", fault)

    async def _watch_folder(self) -> None:
        folder = self.settings.swept_folder
        if not self.settings.watch:
            return
        if folder is None:
            self.log.warning("ANIME_WATCH has no folder to watch: set ANIME_SWEEP_DIR")
            return
        from anime.worker.sweep_trigger import SweepTrigger

        await SweepTrigger(self.settings, folder).run()

    def _listen_to_signals(self) -> None:
        """Handle SIGTERM and SIGINT here: Prefect's command line would not end the runs first."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
