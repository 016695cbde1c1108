"""Every use of what Prefect does not promise to keep; tests/unit/test_worker_prefect.py guards it.

Written against Prefect 3.8.8 to 3.9.1, see the bound in pyproject.toml.
"""

import builtins
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Set
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import httpx
from prefect import Flow, flow_engine, results
from prefect._flow_run_suspension import mark_flow_run_suspension_requested
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.context import AsyncClientContext
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, ObjectNotFound
from prefect.flow_engine import AsyncFlowRunEngine, FlowRunEngine
from prefect.logging.handlers import APILogHandler
from prefect.logging.loggers import print_as_log
from prefect.states import Pending
from prefect.types._datetime import now
from prefect.utilities.engine import propose_state

from anime.worker.run_control import EndReason, RunEnded, control_of_this_run

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)
FLUSH_TIMEOUT_SECONDS = 5.0
RESULT_STORAGE_SECONDS = 60.0


class PrefectWorkerHooks:
    """What the warm worker takes from BaseWorker's inside, under names of our own."""

    _client: PrefectClient | None
    _work_pool_name: str
    _work_queues: set[str]
    _limit: int | None
    _last_polled_time: datetime
    _has_successfully_synced: bool
    _cancelling_observer: Any  # Prefect's FlowRunCancellingObserver
    _logger: Any  # a logger, or Prefect's adapter of one

    @property
    def pool_name(self) -> str:
        """The work pool this worker polls."""
        return self._work_pool_name

    @property
    def only_queues(self) -> Set[str]:
        """The queues this worker was told to poll on the command line; empty for all."""
        return self._work_queues

    @property
    def limit(self) -> int | None:
        """Runs at a time, as told on the command line."""
        return self._limit

    @property
    def log(self) -> logging.Logger:
        """The worker's own log."""
        return self._logger  # type: ignore[no-any-return]  # an adapter is used like a logger

    @property
    def api(self) -> PrefectClient:
        """The worker's client, in the worker's loop."""
        if self._client is None:
            raise RuntimeError("The worker is not set up.")
        return self._client

    @property
    def knows_its_pool(self) -> bool:
        """Whether the server has told the worker what its pool is like."""
        return self._has_successfully_synced

    def note_poll(self) -> None:
        """Tell the health check that this worker is alive."""
        self._last_polled_time = now("UTC")

    async def scheduled_runs(
        self, limit: int, queues: Collection[str]
    ) -> list[tuple[UUID, FlowRun]]:
        """Up to so many runs that are due, each after the id of its queue.

        By priority of their queue, then by time.

        Raises:
            ObjectNotFound: there is no such pool, or no such queue.
        """
        body: dict[str, object] = {
            "scheduled_before": str(now("UTC")),
            "limit": limit,
            "work_queue_names": sorted(queues),
        }
        answer = await self.api.request(
            "POST",
            "/work_pools/{name}/get_scheduled_flow_runs",
            path_params={"name": self._work_pool_name},
            json=body,
        )
        found = [WorkerFlowRunResponse.model_validate(each) for each in answer.json()]
        return [(each.work_queue_id, each.flow_run) for each in found]

    async def claim(self, run: FlowRun) -> bool:
        """Whether the run is ours now; of two workers that ask, the server tells one so."""
        try:
            state = await propose_state(self.api, Pending(), flow_run_id=run.id)
        except (Abort, ObjectNotFound):  # another one has it, or it was cancelled or deleted
            return False
        return state.is_pending()

    def watch_for_cancellation(self, run_id: UUID) -> None:
        """Have `_cancel_run` called when somebody cancels that run."""
        if self._cancelling_observer is not None:
            self._cancelling_observer.add_in_flight_flow_run_id(run_id)

    def stop_watching(self, run_id: UUID) -> None:
        """The run has ended."""
        if self._cancelling_observer is not None:
            self._cancelling_observer.remove_in_flight_flow_run_id(run_id)

    async def _cancel_run(self, flow_run_id: UUID) -> None:
        """What Prefect calls when a watched run is cancelled."""
        self.cancel(flow_run_id)

    def cancel(self, run_id: UUID) -> None:
        """To be overridden: stop that run."""
        raise NotImplementedError


class WarmAsyncEngine(AsyncFlowRunEngine[P, R]):
    """Prefect's engine, that knows a run which was asked to end from one that crashed."""

    async def handle_crash(self, exc: BaseException) -> None:
        """Settle the run's state after an error that is no `Exception`."""
        match _asked_of(self.flow_run):
            case EndReason.CANCELLED:
                await self.handle_cancellation(exc)
            case EndReason.HANDED_BACK:
                self._raised = exc  # type: ignore[assignment]  # as the parent does
            case None:
                await super().handle_crash(exc)

    async def handle_exception(self, exc: Exception, *more: Any, **named: Any) -> Any:
        """Settle the state after an error; while the run is ended it is no failure."""
        if _asked_of(self.flow_run) is not None:
            raise RunEnded from exc
        return await super().handle_exception(exc, *more, **named)


class WarmSyncEngine(FlowRunEngine[P, R]):
    """The same for sync flows."""

    @property
    def heartbeat_seconds(self) -> None:
        """No heartbeat: its thread is waited for until the second is full, for each run."""
        return

    def handle_crash(self, exc: BaseException) -> None:
        """Settle the run's state after an error that is no `Exception`."""
        match _asked_of(self.flow_run):
            case EndReason.CANCELLED:
                self.handle_cancellation(exc)
            case EndReason.HANDED_BACK:
                self._raised = exc  # type: ignore[assignment]  # as the parent does
            case None:
                super().handle_crash(exc)

    def handle_exception(self, exc: Exception, *more: Any, **named: Any) -> Any:
        """Settle the state after an error; while the run is ended it is no failure."""
        if _asked_of(self.flow_run) is not None:
            raise RunEnded from exc
        return super().handle_exception(exc, *more, **named)


def _asked_of(flow_run: FlowRun | None) -> EndReason | None:
    """What is asked of that run: a flow called by a run that is handed back has crashed."""
    control = control_of_this_run.get()
    if control is None or flow_run is None:
        return None
    is_called = flow_run.id != control.run_id
    return None if is_called and control.ending is EndReason.HANDED_BACK else control.ending


def install_engines() -> None:
    """Have every flow of this process run by our engines, those that flows call, too."""
    vars(flow_engine).update(
        AsyncFlowRunEngine=WarmAsyncEngine,
        FlowRunEngine=WarmSyncEngine,
        # A thread, an event loop and a websocket for each run, to hear of its suspension:
        # 80 ms before it begins and 110 after. The patrol asks for all runs together.
        observe_flow_run_suspension=_nobody_observes,
    )


@contextmanager
def _nobody_observes(*_: object) -> Iterator[None]:
    yield


def tell_of_suspension(run_id: UUID, state: State[Any]) -> None:
    """Have the run stop at its next step, to be resumed when a person says so."""
    mark_flow_run_suspension_requested(run_id, state)


class ResultStorageId:
    """The server's default for results, asked for once a minute.

    Prefect asks three times a run, over a connection of its own each, while the run's loop stands
    still: a fifth of this process's CPU when runs are short.
    """

    def __init__(self, ask: Callable[[], UUID | None]) -> None:
        self._ask = ask
        self._answer: UUID | None = None
        self._asked_at: float | None = None  # by time.monotonic()

    def __call__(self) -> UUID | None:
        """The id of its block; None when results stay on this machine."""
        now_at = time.monotonic()
        if self._asked_at is None or now_at - self._asked_at > RESULT_STORAGE_SECONDS:
            self._answer, self._asked_at = self._ask(), now_at
        return self._answer

    async def in_loop(self) -> UUID | None:
        """The same, for Prefect's async code."""
        return self()


def ask_seldom_for_result_storage() -> None:
    """Have all runs of this process share the answer of a minute ago."""
    if not isinstance(results._read_server_default_result_storage_block_id, ResultStorageId):  # noqa: SLF001
        shared = ResultStorageId(results._read_server_default_result_storage_block_id)  # noqa: SLF001
        vars(results).update(
            _read_server_default_result_storage_block_id=shared,
            _aread_server_default_result_storage_block_id=shared.in_loop,
        )


def send_prints_to_logs() -> None:
    """Patch `print` for good; it goes to the log of runs with `log_prints` only.

    Prefect patches it run by run, and of two runs that overlap the first to end unpatches.
    """
    builtins.print = print_as_log


@asynccontextmanager
async def warm_client() -> AsyncIterator[None]:
    """A Prefect client that all runs of this loop share, one after the other."""
    try:
        context = await AsyncClientContext().__aenter__()
    except (httpx.HTTPError, RuntimeError) as fault:
        _log.warning("No Prefect client is kept ready, each run makes its own: %s", fault)
        yield
        return
    try:
        yield
    finally:
        await context.__aexit__(None, None, None)


async def run_cancellation_hooks(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    """Run what the flow wants done when it is cancelled, for a run no engine is at work on."""
    for hook in flow.on_cancellation_hooks:
        try:
            outcome: object = hook(flow, run, state)  # sync or async, as its author liked
            if isinstance(outcome, Awaitable):
                await outcome
        except Exception:  # noqa: BLE001  the run is cancelled all the same, as with Prefect
            _log.exception("A cancellation hook of run %s failed", run.id)


async def send_what_is_left() -> None:
    """Hand the last log lines and events to the server, before the process becomes another."""
    await APILogHandler.aflush()
    sending: object = EventsWorker.drain_all(timeout=FLUSH_TIMEOUT_SECONDS)
    if isinstance(sending, Awaitable):  # as it is when called within an event loop
        await sending
