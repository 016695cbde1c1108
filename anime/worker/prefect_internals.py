"""Every use of what is not public in Prefect; tests/unit/test_worker_prefect.py checks it.

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
from prefect import Flow, flow_engine, results, task_engine
from prefect._flow_run_suspension import mark_flow_run_suspension_requested
from prefect._internal.engine import resolve_custom_flow_run_name
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy, State, TaskRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.context import AsyncClientContext
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import AsyncFlowRunEngine, FlowRunEngine
from prefect.logging.handlers import APILogHandler
from prefect.logging.loggers import print_as_log
from prefect.states import Pending, Running, to_state_create
from prefect.types._datetime import now
from prefect.utilities.engine import emit_task_run_state_change_event, propose_state

from anime.worker.run_control import EndReason, RunEnded, control_of_this_run

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)
FLUSH_TIMEOUT_SECONDS = 5.0
RESULT_STORAGE_SECONDS = 60.0


class PrefectWorkerHooks:
    """What the warm worker uses of BaseWorker's private attributes, under public names."""

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
        return self._work_pool_name

    @property
    def only_queues(self) -> Set[str]:
        """The queues to poll, as given on the command line; empty for all."""
        return self._work_queues

    @property
    def limit(self) -> int | None:
        """Runs at a time, as given on the command line."""
        return self._limit

    @property
    def log(self) -> logging.Logger:
        return self._logger  # type: ignore[no-any-return]  # an adapter is used like a logger

    @property
    def api(self) -> PrefectClient:
        """The worker's client, in the worker's loop."""
        if self._client is None:
            raise RuntimeError("The worker is not set up.")
        return self._client

    @property
    def is_synced(self) -> bool:
        """Whether the worker has read its pool from the server."""
        return self._has_successfully_synced

    def record_poll(self) -> None:
        """Record for Prefect's health check that this worker polls."""
        self._last_polled_time = now("UTC")

    async def scheduled_runs(
        self, limit: int, queues: Collection[str]
    ) -> list[tuple[UUID, FlowRun]]:
        """Up to `limit` runs that are due, each with the id of its queue.

        Ordered by priority of their queue, then by time.

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
        """Whether the run is this worker's now; of two workers that ask, the server accepts one."""
        try:
            state = await propose_state(self.api, Pending(), flow_run_id=run.id)
        except (Abort, ObjectNotFound):  # another worker has it, or it was cancelled or deleted
            return False
        return state.is_pending()

    def watch_for_cancellation(self, run_id: UUID) -> None:
        """Make Prefect call `_cancel_run` when that run is cancelled."""
        if self._cancelling_observer is not None:
            self._cancelling_observer.add_in_flight_flow_run_id(run_id)

    def stop_watching(self, run_id: UUID) -> None:
        """Watch no longer: the run has ended."""
        if self._cancelling_observer is not None:
            self._cancelling_observer.remove_in_flight_flow_run_id(run_id)

    async def _cancel_run(self, flow_run_id: UUID) -> None:
        """Called by Prefect when a watched run is cancelled."""
        self.cancel(flow_run_id)

    def cancel(self, run_id: UUID) -> None:
        """Stop that run; to be overridden."""
        raise NotImplementedError


_flow_ids: dict[str, UUID] = {}  # by name, of flows that flows of this process have called


class _ChildRunClient:
    """A Prefect client that creates the run of a called flow in one request, named and running.

    Prefect's own creates the flow before, each time, names the run in a third request, and lets it
    run in a fourth: the run of a called flow waits for nothing.
    """

    def __init__(self, client: PrefectClient, name: str | None) -> None:
        self._client, self._name = client, name
        self.has_created = False

    def __getattr__(self, name: str) -> Any:  # whatever else Prefect's client has
        return getattr(self._client, name)

    async def create_flow_run(self, flow: Flow[..., Any], **settings: Any) -> FlowRun:
        """The new run; the flow's id is that of its last run, unless the server refuses it."""
        settings["state"], self.has_created = Running(), True
        if flow.name in _flow_ids:
            try:
                return await self._create(_flow_ids[flow.name], flow, **settings)
            except PrefectHTTPStatusError as fault:
                _log.debug("Flow %s is created again: %s", flow.name, fault)
        run = await self._client.create_flow_run(flow, name=self._name, **settings)
        _flow_ids[flow.name] = run.flow_id
        return run

    async def _create(
        self,
        flow_id: UUID,
        flow: Flow[..., Any],
        *,
        parameters: dict[str, Any],
        state: State[Any],
        parent_task_run_id: UUID | None,
        tags: Collection[str],
    ) -> FlowRun:
        asked = FlowRunCreate(
            name=self._name,
            flow_id=flow_id,
            flow_version=flow.version,
            parameters=parameters,
            tags=list(tags),
            parent_task_run_id=parent_task_run_id,
            state=to_state_create(state),
            empirical_policy=FlowRunPolicy(
                retries=flow.retries, retry_delay=int(flow.retry_delay_seconds or 0)
            ),
        )
        body = asked.model_dump(mode="json", exclude_unset=True)
        answer = await self._client.request("POST", "/flow_runs/", json=body)
        run = FlowRun.model_validate(answer.json())
        run.parameters = parameters
        return run


class WarmAsyncEngine(AsyncFlowRunEngine[P, R]):
    """Prefect's engine, which tells a run that was asked to end from one that crashed."""

    _is_about_to_run = False

    @property
    def heartbeat_seconds(self) -> None:
        """No heartbeat: it takes a thread and an event for each run, and nobody asks for it.

        That its worker is dead is seen by the worker's lock, and that a job is free by its lease.
        """
        return

    async def create_flow_run(self, client: PrefectClient) -> FlowRun:
        """The run of a flow that a flow calls, with the name that the flow says.

        Names that a function gives are left to Prefect: it may ask for what the run is.
        """
        is_named = isinstance(self.flow.flow_run_name, str)
        parameters = self.parameters or {}
        name = resolve_custom_flow_run_name(self.flow, parameters) if is_named else None
        child_client: Any = _ChildRunClient(client, name)
        run = await super().create_flow_run(child_client)
        self._flow_run_name_set = is_named
        self._is_about_to_run = child_client.has_created
        return run

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:  # noqa: FBT001, FBT002  as the parent
        """The run's new state, as the server accepts it; the first one came with the run."""
        if not (self._is_about_to_run and state.is_running()):
            return await super().set_state(state, force=force)
        self._is_about_to_run = False
        await self.call_hooks(self.state)
        return self.state

    async def handle_crash(self, exc: BaseException) -> None:
        """Settle the run's state after an error that is no `Exception`."""
        match _end_reason_of(self.flow_run):
            case EndReason.CANCELLED:
                await self.handle_cancellation(exc)
            case EndReason.HANDED_BACK:
                self._raised = exc  # type: ignore[assignment]  # as the parent does
            case None:
                await super().handle_crash(exc)

    async def handle_exception(self, exc: Exception, *more: Any, **named: Any) -> Any:
        """Settle the state after an error; while the run is ended it is no failure."""
        if _end_reason_of(self.flow_run) is not None:
            raise RunEnded from exc
        return await super().handle_exception(exc, *more, **named)


class WarmSyncEngine(FlowRunEngine[P, R]):
    """The same for sync flows."""

    @property
    def heartbeat_seconds(self) -> None:
        """As above. A sync run would also wait up to a second for that thread to end."""
        return

    def handle_crash(self, exc: BaseException) -> None:
        """Settle the run's state after an error that is no `Exception`."""
        match _end_reason_of(self.flow_run):
            case EndReason.CANCELLED:
                self.handle_cancellation(exc)
            case EndReason.HANDED_BACK:
                self._raised = exc  # type: ignore[assignment]  # as the parent does
            case None:
                super().handle_crash(exc)

    def handle_exception(self, exc: Exception, *more: Any, **named: Any) -> Any:
        """Settle the state after an error; while the run is ended it is no failure."""
        if _end_reason_of(self.flow_run) is not None:
            raise RunEnded from exc
        return super().handle_exception(exc, *more, **named)


def _end_reason_of(flow_run: FlowRun | None) -> EndReason | None:
    """Why that run is to end. A flow called by a run that is handed back counts as crashed."""
    control = control_of_this_run.get()
    if control is None or flow_run is None:
        return None
    is_called = flow_run.id != control.run_id
    return None if is_called and control.end_reason is EndReason.HANDED_BACK else control.end_reason


def install_engines() -> None:
    """Make our engines run every flow of this process, also flows that flows call."""
    vars(flow_engine).update(
        AsyncFlowRunEngine=WarmAsyncEngine,
        FlowRunEngine=WarmSyncEngine,
        # Prefect's own takes a thread, an event loop and a websocket for each run, 80 ms before
        # it starts and 110 after. The maintenance loop asks for all runs together.
        observe_flow_run_suspension=_no_observer,
    )
    vars(task_engine).update(emit_task_run_state_change_event=_emit_from_running_on)


def _emit_from_running_on(
    task_run: TaskRun,
    initial_state: State[Any] | None,
    validated_state: State[Any],
    follows: Event | None = None,
) -> Event | None:
    """Tell Prefect of a task run when it runs, a moment after it was made: two events, not three.

    Each is some milliseconds of CPU here, in Prefect's server and in PostgreSQL.
    """
    if initial_state is None:
        return None
    return emit_task_run_state_change_event(task_run, initial_state, validated_state, follows)


@contextmanager
def _no_observer(*_: object) -> Iterator[None]:
    yield


def request_suspension(run_id: UUID, state: State[Any]) -> None:
    """Make the run stop at its next step, until a person resumes it."""
    mark_flow_run_suspension_requested(run_id, state)


class ResultStorageId:
    """The server's default storage block for results, read once a minute.

    Prefect reads it three times for each run, each time over a new connection, while the run's loop
    is blocked: a fifth of this process's CPU when runs are short.
    """

    def __init__(self, read: Callable[[], UUID | None]) -> None:
        self._read = read
        self._block_id: UUID | None = None
        self._read_at: float | None = None  # by time.monotonic()

    def __call__(self) -> UUID | None:
        """The id of its block; None when results stay on this machine."""
        monotonic_now = time.monotonic()
        if self._read_at is None or monotonic_now - self._read_at > RESULT_STORAGE_SECONDS:
            self._block_id, self._read_at = self._read(), monotonic_now
        return self._block_id

    async def read_in_loop(self) -> UUID | None:
        """The same, for Prefect's async code."""
        return self()


def cache_result_storage() -> None:
    """Make all runs of this process share one answer for a minute."""
    if not isinstance(results._read_server_default_result_storage_block_id, ResultStorageId):  # noqa: SLF001
        shared = ResultStorageId(results._read_server_default_result_storage_block_id)  # noqa: SLF001
        vars(results).update(
            _read_server_default_result_storage_block_id=shared,
            _aread_server_default_result_storage_block_id=shared.read_in_loop,
        )


def send_prints_to_logs() -> None:
    """Patch `print` permanently; it goes to the log of runs with `log_prints` only.

    Prefect patches it for each run; of two runs that overlap, the first to end unpatches it.
    """
    builtins.print = print_as_log


@asynccontextmanager
async def warm_client() -> AsyncIterator[None]:
    """A Prefect client that all runs of this loop share, one after the other."""
    try:
        context = await AsyncClientContext().__aenter__()
    except (httpx.HTTPError, RuntimeError) as fault:
        _log.warning("No shared Prefect client, each run makes its own: %s", fault)
        yield
        return
    try:
        yield
    finally:
        await context.__aexit__(None, None, None)


async def run_cancellation_hooks(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    """Run the flow's hooks for cancellation, for a run that has no engine any more."""
    for hook in flow.on_cancellation_hooks:
        try:
            outcome: object = hook(flow, run, state)  # sync or async
            if isinstance(outcome, Awaitable):
                await outcome
        except Exception:  # noqa: BLE001  the run is cancelled anyway, as in Prefect
            _log.exception("A cancellation hook of run %s failed", run.id)


async def flush_logs_and_events() -> None:
    """Send the last log lines and events to the server, before the process replaces itself."""
    await APILogHandler.aflush()
    sending: object = EventsWorker.drain_all(timeout=FLUSH_TIMEOUT_SECONDS)
    if isinstance(sending, Awaitable):  # as it is when called within an event loop
        await sending
