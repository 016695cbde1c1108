"""Every use of what is not public in Prefect; tests/unit/test_worker_prefect.py checks it.

Written against Prefect 3.8.8 to 3.9.1, see the bound in pyproject.toml.
"""

import asyncio
import builtins
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Set
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from datetime import datetime
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, ParamSpec, Self, TypeVar
from uuid import UUID

import httpx
from opentelemetry.trace import Span
from prefect import Flow, Task, flow_engine, results, task_engine
from prefect._flow_run_suspension import mark_flow_run_suspension_requested
from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.client import orchestration
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, RunInput, State, TaskRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.concurrency.context import ConcurrencyContext
from prefect.context import AsyncClientContext, TaskRunContext
from prefect.events import clients as events_clients
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, ObjectNotFound
from prefect.flow_engine import AsyncFlowRunEngine, FlowRunEngine
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler
from prefect.logging.loggers import print_as_log, task_run_logger
from prefect.results import get_result_store
from prefect.settings import PREFECT_API_AUTH_STRING, get_current_settings
from prefect.states import Completed, Pending
from prefect.task_engine import (
    AsyncTaskRunEngine,
    TaskRunTimeoutError,
    _create_task_run_locally,
)
from prefect.tasks import MaterializingTask
from prefect.telemetry.run_telemetry import LABELS_TRACEPARENT_KEY, RunTelemetry
from prefect.transactions import AsyncTransaction
from prefect.types._datetime import now
from prefect.utilities.callables import call_with_parameters
from prefect.utilities.engine import (
    emit_task_run_state_change_event,
    propose_state,
    should_log_prints,
)
from prefect.utilities.timeout import timeout_async
from pydantic import SecretStr

from anime.net.log_lines import JsonFormatter
from anime.net.login import FollowedLogin, login_in
from anime.settings import get_settings, resolve_reference
from anime.settings.secret_references import known_value
from anime.worker.run_control import BegunRun, EndReason, RunEnded, control_of_this_run

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)
FLUSH_TIMEOUT_SECONDS = 5.0
RESULT_STORAGE_SECONDS = 60.0
SHOWN_AFTER_SECONDS = 1.0

_SAVED_BY_ENGINES = {"flow_version", "empirical_policy"}

_runs_to_show: dict[UUID, asyncio.TimerHandle] = {}  # task runs that Prefect is to be told of


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

    async def record_owner(
        self, run: FlowRun, owner: str, flow: Flow[..., Any] | None
    ) -> BegunRun | None:
        """Record who has the run, and with it what the engine would save of the flow before it.

        None if the flow is not known yet: the engine saves it itself then.
        """
        if flow is None:
            await self.api.update_flow_run(run.id, infrastructure_pid=owner)
            return None
        policy = run.empirical_policy
        if policy.retry_delay is None:
            policy.retry_delay = flow.retry_delay_seconds  # type: ignore[assignment]  # as theirs
        if policy.retries is None:
            policy.retries = flow.retries
        saved = await self.api.update_flow_run(
            run.id, infrastructure_pid=owner, flow_version=flow.version, empirical_policy=policy
        )
        return BegunRun(saved, run)


class RunSpans(RunTelemetry):
    """Prefect's spans of runs, under the name of what runs.

    Prefect would name them after the run, and add its tags and the messages of its states: all
    say what is rendered. It would also store each flow run's span by a request of its own, so that
    the run's next process can go on with it; the run came with a span for that.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    async def async_start_span(
        self,
        run: FlowRun | TaskRun,
        client: PrefectClient,
        parameters: dict[str, Any] | None = None,
    ) -> Span | None:
        """Start the span; as for sync flows, if Prefect does not know the trace yet."""
        if not self._enabled or LABELS_TRACEPARENT_KEY not in run.labels:
            return await super().async_start_span(run, client, parameters)
        return self._start_span(run)[1]

    def _start_span(
        self, run: FlowRun | TaskRun, parameters: dict[str, Any] | None = None
    ) -> tuple[str | None, Span]:
        del parameters
        return super()._start_span(run.model_copy(update={"name": self._name, "tags": []}))

    def update_run_name(self, name: str) -> None:
        """Keep the name of what runs."""

    def update_state(self, new_state: State[Any]) -> None:
        """Nothing: the span's beginning, end and status say it."""


def _spans_of(runnable: Flow[..., Any] | Task[..., Any]) -> RunTelemetry:
    """What makes the span of a run of it; Prefect's own if spans may say what is rendered."""
    return RunTelemetry() if get_settings().trace_prompts else RunSpans(runnable.name)


class WarmAsyncEngine(AsyncFlowRunEngine[P, R]):
    """Prefect's engine, which tells a run that was asked to end from one that crashed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._telemetry = _spans_of(self.flow)

    @property
    def heartbeat_seconds(self) -> None:
        """No heartbeat: it takes a thread and an event for each run, and nobody asks for it.

        That its worker is dead is seen by the worker's lock, and that a job is free by its lease.
        """
        return

    def _resolve_parameters(self) -> None:
        """Wait for what parameters depend on, if another run has given them.

        Those of a run that the worker has begun come from the API, so depend on nothing, and
        there may be ten thousand requests to walk through.
        """
        if self.flow_run is None or self.flow_run.parent_task_run_id is not None:
            super()._resolve_parameters()  # type: ignore[no-untyped-call]  # Prefect's

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


class WarmTaskEngine(AsyncTaskRunEngine[P, R]):
    """Prefect's engine of tasks, without what a plain task does not use: half of what it costs.

    States, events, retries, hooks, cancellation and suspension are Prefect's.
    """

    _is_plain = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._telemetry = _spans_of(self.task)
        # A task that was submitted to a task runner has its context elsewhere.
        self._is_plain = self.context is None and _is_plain(self.task)

    @asynccontextmanager
    async def initialize_run(
        self,
        task_run_id: UUID | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> AsyncIterator[Self]:
        """Make the task run as Prefect does for sync tasks, which opens no client for it."""
        if self._is_plain and self.task_run is None:
            self.task_run = _create_task_run_locally(
                self.task,
                id=task_run_id,
                parameters=self.parameters,
                wait_for=self.wait_for,
                extra_task_inputs=dependencies,
            )
        async with super().initialize_run(task_run_id, dependencies):
            yield self

    @asynccontextmanager
    async def setup_run_context(self, client: PrefectClient | None = None) -> AsyncIterator[None]:
        """The context of a task that keeps no result: it needs no store of its own."""
        if not self._is_plain or self.task_run is None:
            async with super().setup_run_context(client):
                yield
            return
        with (
            TaskRunContext(
                task=self.task,
                log_prints=should_log_prints(self.task),
                task_run=self.task_run,
                parameters=self.parameters or {},
                result_store=get_result_store(),
                client=client or self.client,
                persist_result=False,
            ),
            ConcurrencyContext(),
        ):
            self.logger = task_run_logger(task_run=self.task_run, task=self.task)  # type: ignore[assignment]
            yield

    def asset_context(self) -> AbstractAsyncContextManager[None]:  # type: ignore[override]  # wider
        """Nothing: a plain task has no assets."""
        return nullcontext() if self._is_plain else super().asset_context()

    @asynccontextmanager
    async def run_context(self) -> AsyncIterator[Self]:
        """What bounds each try; that of the run around it is up to date."""
        if not self._is_plain:
            async with super().run_context():
                yield self
            return
        try:
            with timeout_async(
                seconds=self.task.timeout_seconds, timeout_exc_type=TaskRunTimeoutError
            ):
                yield self
        except TimeoutError as fault:
            await self.handle_timeout(fault)
        except Exception as fault:  # noqa: BLE001  as the parent does
            await self.handle_exception(fault)

    def transaction_context(  # type: ignore[override]  # wider
        self,
    ) -> AbstractAsyncContextManager[AsyncTransaction | None]:
        """Nothing: a plain task stores nothing that could be rolled back."""
        return nullcontext() if self._is_plain else super().transaction_context()

    async def call_task_fn(self, transaction: AsyncTransaction | None) -> Any:
        """The task's result, and the state that follows from it."""
        if transaction is not None:
            return await super().call_task_fn(transaction)
        call: Any = call_with_parameters(self.task.fn, self.parameters or {})
        result = await call
        if isinstance(result, State):  # Prefect decides what it means
            async with super().transaction_context() as needed:
                await self.handle_success(result, needed)  # type: ignore[arg-type]  # any result
            return result
        kept = ResultRecord[Any](result=result, metadata=ResultRecordMetadata(storage_key="none"))
        await self.set_state(Completed(data=kept))
        self._return_value = result
        self._telemetry.end_span_on_success()
        return result

    def log_finished_message(self) -> None:
        """Log how the task run ended, unless it is completed: its state says that."""
        if not self.state.is_completed():
            super().log_finished_message()


def _is_plain(task: Task[..., Any]) -> bool:
    """Whether the task keeps no result anywhere, and has nothing that hangs on a kept one."""
    hooks = (task.on_commit_hooks, task.on_rollback_hooks, task.asset_deps)
    is_kept = task.persist_result is not False or any(hooks)
    return not is_kept and not isinstance(task, MaterializingTask)


class WarmSyncEngine(FlowRunEngine[P, R]):
    """The same for sync flows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._telemetry = _spans_of(self.flow)

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
    """Why that run is to end."""
    control = control_of_this_run.get()
    return None if control is None or flow_run is None else control.end_reason


def install_engines() -> None:
    """Make our engines run every flow of this process, also flows that flows call."""
    vars(flow_engine).update(
        AsyncFlowRunEngine=WarmAsyncEngine,
        FlowRunEngine=WarmSyncEngine,
        # Prefect's own takes a thread, an event loop and a websocket for each run, 80 ms before
        # it starts and 110 after. The maintenance loop asks for all runs together.
        observe_flow_run_suspension=_no_observer,
    )
    # They go to a server near by, and packing them costs both sides more than sending them.
    vars(events_clients).update(
        websocket_connect=partial(vars(events_clients)["websocket_connect"], compression=None)
    )
    vars(task_engine).update(
        AsyncTaskRunEngine=WarmTaskEngine,
        emit_task_run_state_change_event=_emit_when_worth_seeing,
    )


def _emit_when_worth_seeing(
    task_run: TaskRun,
    initial_state: State[Any] | None,
    validated_state: State[Any],
    follows: Event | None = None,
) -> Event | None:
    """Tell Prefect that a task run runs when it has done so for a second, and how it ended.

    The last event has its start and its duration, too. Each event is some milliseconds of CPU
    here, in Prefect's server and in PostgreSQL.
    """
    if (waiting := _runs_to_show.pop(task_run.id, None)) is not None:
        waiting.cancel()
    if initial_state is None:
        return None
    if not validated_state.is_running():
        return emit_task_run_state_change_event(task_run, initial_state, validated_state, follows)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a sync flow
        return emit_task_run_state_change_event(task_run, initial_state, validated_state, follows)
    _runs_to_show[task_run.id] = loop.call_later(
        SHOWN_AFTER_SECONDS, _show_running, task_run.model_copy(), initial_state, validated_state
    )
    return None


def _show_running(task_run: TaskRun, before: State[Any], running: State[Any]) -> None:
    del _runs_to_show[task_run.id]
    emit_task_run_state_change_event(task_run, before, running)


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


def share_tls_contexts() -> None:
    """Let Prefect's clients share one; each reads 144 certificates for itself, in 20 ms.

    A thread that runs flows has a client of its own; to deploy takes five for each deployment.
    """
    if vars(orchestration)["ssl"] is ssl:
        shared = cache(ssl.create_default_context)
        vars(orchestration)["ssl"] = SimpleNamespace(
            create_default_context=shared, SSLContext=ssl.SSLContext, CERT_NONE=ssl.CERT_NONE
        )


class FollowedAuthString(SecretStr):
    """Prefect's login, by a text with references, as it is whenever somebody asks."""

    def __init__(self, text: str) -> None:
        """It may wait.

        Raises:
            ConfigurationError, VaultUnavailable: a reference has no value.
        """
        super().__init__(text)
        self._known = resolve_reference(text)

    def get_secret_value(self) -> str:
        """The newest value that is known."""
        self._known = known_value(self._secret_value) or self._known
        return self._known


def follow_auth_string(text: str) -> None:
    """Have Prefect log in with what the text stands for at each request and for each socket.

    It would remember what it was when it made a client, some of which live as long as the process.

    Raises:
        ConfigurationError, VaultUnavailable: a reference has no value.
    """
    get_current_settings().api.auth_string = FollowedAuthString(text)
    login = FollowedLogin(text, login_in)
    vars(orchestration).update(
        PrefectHttpxAsyncClient=partial(PrefectHttpxAsyncClient, auth=login),
        PrefectHttpxSyncClient=partial(PrefectHttpxSyncClient, auth=login),
    )
    token = property(lambda _: PREFECT_API_AUTH_STRING.value(), lambda *_: None)
    for client in (events_clients.PrefectEventsClient, events_clients.PrefectEventSubscriber):
        setattr(client, "_auth_token", token)  # noqa: B010  not declared as a property there


def cache_result_storage() -> None:
    """Make all runs of this process share one answer for a minute."""
    if not isinstance(results._read_server_default_result_storage_block_id, ResultStorageId):  # noqa: SLF001
        shared = ResultStorageId(results._read_server_default_result_storage_block_id)  # noqa: SLF001
        vars(results).update(
            _read_server_default_result_storage_block_id=shared,
            _aread_server_default_result_storage_block_id=shared.read_in_loop,
        )


def write_json_to_console() -> None:
    """Write what goes to this process's output as JSON; what goes to Prefect stays as it is."""
    names: list[str | None] = [None, *logging.root.manager.loggerDict]
    for logger in map(logging.getLogger, names):
        for handler in [each for each in logger.handlers if type(each) is PrefectConsoleHandler]:
            plain = logging.StreamHandler(handler.stream)
            plain.setFormatter(JsonFormatter())
            plain.setLevel(handler.level)
            logger.removeHandler(handler)
            logger.addHandler(plain)


def send_prints_to_logs() -> None:
    """Patch `print` permanently; it goes to the log of runs with `log_prints` only.

    Prefect patches it for each run; of two runs that overlap, the first to end unpatches it.
    """
    builtins.print = print_as_log


class WarmClient(PrefectClient):
    """Prefect's client, which neither says nor asks again what was just said of a run: 20 ms."""

    async def update_flow_run(self, flow_run_id: UUID, *more: Any, **values: Any) -> httpx.Response:
        """Save the values, unless the worker has saved them when it recorded itself."""
        told = _told_of(flow_run_id)
        if told is not None and not more and values.keys() == _SAVED_BY_ENGINES:
            return told.saved
        return await super().update_flow_run(flow_run_id, *more, **values)

    async def read_flow_run(self, flow_run_id: UUID) -> FlowRun:
        """The run; for the first time as its engine has it, which has just set its state."""
        told = _told_of(flow_run_id)
        if told is None or told.flow_run is None:
            return await super().read_flow_run(flow_run_id)
        run, told.flow_run = told.flow_run, None
        if run.state is None or not run.state.is_running():
            return await super().read_flow_run(flow_run_id)
        run.run_count += 1
        run.start_time = run.start_time or run.state.timestamp  # type: ignore[assignment]
        return run


def _told_of(run_id: UUID) -> BegunRun | None:
    control = control_of_this_run.get()
    return control.told if control is not None and control.run_id == run_id else None


@asynccontextmanager
async def warm_client() -> AsyncIterator[None]:
    """A Prefect client that all runs of this loop share, one after the other."""
    try:
        context = await AsyncClientContext().__aenter__()
        context.client.__class__ = WarmClient  # Prefect offers no way to choose it
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
