"""Prefect still has inside what the warm worker takes from there.

When one of these fails after an upgrade, read what Prefect changed, mend
anime/worker/prefect_internals.py, and only then raise the bound in pyproject.toml.
"""

import asyncio
import inspect
import re
import ssl
import tomllib
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4

import prefect
import pytest
from prefect import _flow_run_suspension, flow_engine, results, task, task_engine
from prefect._internal.observers import FlowRunCancellingObserver
from prefect.assets import materialize
from prefect.client import orchestration
from prefect.client.orchestration import PrefectClient, SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.context import AsyncClientContext
from prefect.events import clients as events_clients
from prefect.events.worker import EventsWorker
from prefect.exceptions import UpstreamTaskError
from prefect.logging.handlers import APILogHandler
from prefect.settings import Settings
from prefect.settings.legacy import _get_settings_fields
from prefect.states import Completed, Failed, Pending, Running
from prefect.telemetry import run_telemetry
from prefect.telemetry.run_telemetry import RunTelemetry
from prefect.utilities.engine import emit_task_run_state_change_event
from prefect.workers.base import BaseWorker

from anime.net import prefect_api
from anime.settings import PROJECT_DIR
from anime.stack.prefect_server import TUNING
from anime.worker import prefect_internals
from anime.worker.warm_worker import WarmWorker

HELD = (
    "_client",
    "_work_pool_name",
    "_work_queues",
    "_limit",
    "_last_polled_time",
    "_has_successfully_synced",
    "_cancelling_observer",
    "_logger",
)


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]  # classes, functions, modules


@pytest.mark.parametrize("name", HELD)
def test_the_base_worker_still_sets_the_attribute(name: str) -> None:
    assert f"self.{name}: " in source(BaseWorker) or f"self.{name} = " in source(BaseWorker)
    assert name in prefect_internals.PrefectWorkerHooks.__annotations__


def test_the_worker_is_registered_under_its_type() -> None:
    assert BaseWorker.get_worker_class_from_type("anime-warm") is WarmWorker


def test_a_cancellation_still_ends_in_our_method() -> None:
    assert "self._cancel_run, flow_run_id" in source(BaseWorker._setup_cancellation_observer)
    assert WarmWorker._cancel_run is prefect_internals.PrefectWorkerHooks._cancel_run
    for name in ("add_in_flight_flow_run_id", "remove_in_flight_flow_run_id"):
        assert list(inspect.signature(getattr(FlowRunCancellingObserver, name)).parameters) == [
            "self",
            "flow_run_id",
        ]


def test_start_still_polls_through_the_public_method_and_enters_the_worker() -> None:
    started = source(BaseWorker.start)
    assert "workload=self.get_and_submit_flow_runs" in started
    assert "async with self as worker" in started


@pytest.mark.parametrize("engine", ["AsyncFlowRunEngine", "FlowRunEngine"])
def test_the_engines_still_end_runs_where_we_step_in(engine: str) -> None:
    stock = getattr(flow_engine, engine)
    while stock.__module__ != "prefect.flow_engine":
        stock = stock.__mro__[1]
    for name in ("handle_crash", "handle_exception", "handle_cancellation"):
        assert callable(getattr(stock, name))
    assert "self.handle_crash(exc)" in source(stock.initialize_run)
    assert "self.handle_exception(exc)" in source(stock.run_context)
    runner = flow_engine.run_flow_async if engine.startswith("Async") else flow_engine.run_flow_sync
    assert f"{engine}[P, R](" in source(runner), "they are looked up when a flow runs"


def test_only_a_flow_that_another_run_has_called_waits_for_what_its_parameters_come_from() -> None:
    async def work(of: object) -> None: ...

    def engine(parent_task_run_id: UUID | None) -> Any:
        run = FlowRun(flow_id=uuid4(), parent_task_run_id=parent_task_run_id)
        return prefect_internals.WarmAsyncEngine(
            flow=prefect.flow(work), parameters={"of": Failed()}, flow_run=run
        )

    engine(None)._resolve_parameters()
    with pytest.raises(UpstreamTaskError):
        engine(uuid4())._resolve_parameters()
    assert "self._resolve_parameters()" in source(flow_engine.AsyncFlowRunEngine.begin_run)


def test_the_engine_of_tasks_still_has_the_parts_that_plain_tasks_do_without() -> None:
    run = source(task_engine.run_task_async)
    assert "AsyncTaskRunEngine[P, R](" in run, "it is looked up when a task runs"
    for part in ("asset_context()", "run_context()", "transaction_context() as txn"):
        assert f"engine.{part}" in run
    assert "await engine.call_task_fn(txn)" in run
    _, stock, *_ = prefect_internals.WarmTaskEngine.__mro__
    begins = source(stock).partition("def initialize_run")[2]
    assert "if not self.task_run:" in begins
    assert "async with self.setup_run_context():" in begins
    assert "self.log_finished_message()" in begins


def test_a_task_is_plain_if_it_keeps_no_result_and_nothing_hangs_on_one() -> None:
    async def work() -> None: ...

    def hook(*_: object) -> None: ...

    assert prefect_internals._is_plain(task(persist_result=False)(work))
    assert not prefect_internals._is_plain(task(work))
    assert not prefect_internals._is_plain(task(persist_result=True)(work))
    committed = task(persist_result=False)(work)
    committed.on_commit(hook)
    assert not prefect_internals._is_plain(committed)
    assert not prefect_internals._is_plain(materialize("file://x", persist_result=False)(work))


def test_spans_of_runs_still_begin_and_are_named_where_we_step_in() -> None:
    for start in (RunTelemetry.async_start_span, RunTelemetry.start_span):
        assert "self._start_span(run, parameters)" in source(start)
        assert "if not self._enabled" in source(start)
    begins = source(RunTelemetry._start_span)
    assert "name=run.name" in begins
    assert "run.labels[LABELS_TRACEPARENT_KEY] = traceparent" in begins
    assert prefect_api.TRACEPARENT_LABEL == run_telemetry.LABELS_TRACEPARENT_KEY
    for engine in (flow_engine.BaseFlowRunEngine, task_engine.BaseTaskRunEngine):
        assert engine.__dataclass_fields__["_telemetry"].default_factory is RunTelemetry


def test_a_sync_engines_heartbeat_can_still_be_left_out() -> None:
    assert "if heartbeat_seconds is None" in source(flow_engine._send_heartbeats)


def test_suspension_is_still_observed_by_the_function_we_replace() -> None:
    assert "observe_flow_run_suspension(" in source(
        flow_engine.BaseFlowRunEngine.setup_flow_run_suspension_request
    )
    assert callable(_flow_run_suspension.mark_flow_run_suspension_requested)


def test_runs_still_ask_for_the_result_storage_through_the_functions_we_replace() -> None:
    asked = "_read_server_default_result_storage_block_id()"
    for name in ("_get_default_result_storage", "_get_default_persist_result"):
        assert asked in source(getattr(results, name))
    for name in ("_aget_default_result_storage", "_aget_default_persist_result"):
        assert f"await _a{asked[1:]}" in source(getattr(results, name))


def test_the_result_storage_is_asked_for_once_for_many_runs() -> None:
    answers = iter([uuid4(), uuid4()])
    storage = prefect_internals.ResultStorageId(lambda: next(answers))
    assert storage() == storage() == asyncio.run(storage.read_in_loop())


def test_a_task_run_is_still_told_of_first_through_the_function_we_replace() -> None:
    first = source(task_engine.AsyncTaskRunEngine.initialize_run).partition("_emit_pending:")[2]
    assert "= emit_task_run_state_change_event(" in first
    assert "initial_state=None" in first
    assert [*inspect.signature(emit_task_run_state_change_event).parameters] == [
        "task_run",
        "initial_state",
        "validated_state",
        "follows",
    ]


class Told:
    """What Prefect is told of task runs: the names of their states, in this order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.heard = asyncio.Event()
        monkeypatch.setattr(prefect_internals, "emit_task_run_state_change_event", self._hear)
        monkeypatch.setattr(prefect_internals, "_runs_to_show", {})
        self._run = TaskRun(task_key="key", dynamic_key="0")

    def tell(self, before: State[Any] | None, after: State[Any]) -> None:
        prefect_internals._emit_when_worth_seeing(self._run, before, after)

    def _hear(self, _: TaskRun, __: object, state: State[Any], *___: object) -> None:
        self.names.append(str(state.name))
        self.heard.set()


async def test_prefect_is_told_once_of_a_task_run_that_ends_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told(monkeypatch)
    told.tell(None, Pending())
    told.tell(Pending(), Running())
    told.tell(Running(), Completed())
    assert (told.names, prefect_internals._runs_to_show) == (["Completed"], {})


async def test_prefect_is_told_that_a_task_run_runs_when_it_has_done_so_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told(monkeypatch)
    monkeypatch.setattr(prefect_internals, "SHOWN_AFTER_SECONDS", 0.0)
    told.tell(Pending(), Running())
    await asyncio.wait_for(told.heard.wait(), 60)
    told.tell(Running(), Failed())
    assert (told.names, prefect_internals._runs_to_show) == (["Running", "Failed"], {})


def test_a_sync_task_run_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.tell(Pending(), Running())
    told.tell(Running(), Completed())
    assert told.names == ["Running", "Completed"]


def test_events_are_still_sent_over_the_connection_that_we_open() -> None:
    sending = source(events_clients.PrefectEventsClient)
    assert "websocket_connect(self._events_socket_url" in sending


def test_the_rest_is_there() -> None:
    assert list(inspect.signature(PrefectClient.request).parameters)[:4] == [
        "self",
        "method",
        "path",
        "params",
    ]
    assert "ctx.client.loop" in source(AsyncClientContext.get_or_create)
    assert inspect.iscoroutinefunction(APILogHandler.aflush)
    assert "timeout" in inspect.signature(EventsWorker.drain_all).parameters


def test_prefect_still_knows_every_setting_that_we_give_its_server() -> None:
    assert set(TUNING) - set(_get_settings_fields(Settings)) == set()


def test_the_bound_in_pyproject_holds_back_what_was_not_looked_at() -> None:
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())
    assert "prefect>=3.8.8,<3.10" in project["project"]["dependencies"]
    assert version("prefect").split(".")[:2] in (["3", "8"], ["3", "9"]), prefect.__version__


def test_prefects_clients_share_their_tls_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration, "ssl", ssl)
    prefect_internals.share_tls_contexts()
    shared = vars(orchestration)["ssl"]
    assert set(re.findall(r"\bssl\.(\w+)", source(orchestration))) == set(vars(shared))
    for _ in range(2):
        PrefectClient("http://127.0.0.1:9/api")
        SyncPrefectClient("http://127.0.0.1:9/api")
    assert shared.create_default_context.cache_info().misses == 1
    prefect_internals.share_tls_contexts()  # again, by another worker of this process
    assert vars(orchestration)["ssl"] is shared
