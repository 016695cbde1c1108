"""Spans and log lines: what they say, and what they keep to themselves."""

import ast
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import import_module
from uuid import UUID, uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from anime.comfyui import node_spans
from anime.comfyui.models import (
    Event,
    ExecutionFailed,
    HistoryEntry,
    NodeExecuting,
    NodeProgressed,
    NodesCached,
)
from anime.core.ids import trace_id_of
from anime.core.prompt_state import Finished
from anime.errors import ConfigurationError
from anime.net.log_lines import JsonFormatter, name_job_in_logs
from anime.net.span_exporters import PAUSE_SECONDS, PausingExporter, PrivateExporter
from anime.net.tracing import context_of, current_trace_id, current_traceparent
from anime.settings import PROJECT_DIR, load_settings
from anime.stack.environment import settings_environment
from anime.worker.prefect_internals import RunSpans

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JOB_ID = UUID(int=7)
GRAPH = {
    "1": {"class_type": "KSampler", "inputs": {"text": "a secret"}},
    "2": {"class_type": "SaveImage", "inputs": {}},
}


@pytest.fixture
def exported() -> InMemorySpanExporter:
    """The spans of this test, as they would leave the process."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exported: InMemorySpanExporter) -> trace.Tracer:
    """Makes spans that nobody but this test sees."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(PrivateExporter(exported)))
    return provider.get_tracer("test")


def all_of(exported: InMemorySpanExporter) -> str:
    return "".join(span.to_json() for span in exported.get_finished_spans())


def test_what_an_error_says_and_where_a_request_went_stay_here(
    tracer: trace.Tracer, exported: InMemorySpanExporter
) -> None:
    about = {"http.route": "/projects/{slug}", "url.path": "/projects/secret", "url.query": "q=s"}
    with (
        pytest.raises(ValueError, match="secret"),
        tracer.start_as_current_span("work", attributes=about),
    ):
        raise ValueError("a secret prompt")
    [span] = exported.get_finished_spans()
    assert [dict(event.attributes or {}) for event in span.events] == [
        {"exception.type": "ValueError"}
    ]
    assert dict(span.attributes or {}) == {"http.route": "/projects/{slug}"}
    assert (span.name, span.status.is_ok) == ("work", False)
    assert "secret" not in all_of(exported)


class AwayCollector(InMemorySpanExporter):
    """Takes nothing, and counts how often it was asked."""

    asked = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked += 1
        return SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_asked_again_after_a_pause() -> None:
    now, collector = [0.0], AwayCollector()
    exporter = PausingExporter(collector, clock=lambda: now[0])
    for _ in range(3):
        assert exporter.export([]) is SpanExportResult.FAILURE
    assert collector.asked == 1
    now[0] = PAUSE_SECONDS
    exporter.export([])
    assert collector.asked == 2


def test_a_span_of_a_task_has_the_tasks_name_and_nothing_of_what_is_rendered(
    tracer: trace.Tracer, exported: InMemorySpanExporter
) -> None:
    run = TaskRun(
        name="3 · a secret · submit",
        task_key="submit",
        dynamic_key="0",
        flow_run_id=uuid4(),
        tags=["project:secret"],
        labels={"__OTEL_TRACEPARENT": TRACEPARENT},
    )
    spans = RunSpans("submit")
    spans._tracer = tracer
    spans._start_span(run, {"prompt": "a secret"})
    spans.update_run_name("a secret")
    spans.update_state(Failed(message="a secret"))
    spans.record_exception(ValueError("a secret"))
    spans.end_span_on_failure("a secret")
    [span] = exported.get_finished_spans()
    assert span.name == "submit"
    assert f"{span.context.trace_id:032x}" == trace_id_of(TRACEPARENT)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    # What it calls is its child.
    assert str(run.labels["__OTEL_TRACEPARENT"]).split("-")[2] == f"{span.context.span_id:016x}"
    assert "secret" not in all_of(exported)


async def _events(*events: Event | Finished[HistoryEntry]) -> node_spans.PromptEvents:
    for event in events:
        yield event


async def test_the_nodes_of_a_prompt_are_spans_beneath_it(
    tracer: trace.Tracer, exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_spans, "tracer", tracer)
    heard = [
        NodesCached(nodes=("8", "9")),
        NodeExecuting(node="1"),
        NodeProgressed(node="1", value=20, max=20),
        NodeExecuting(node="2"),
        ExecutionFailed(node_id="2", exception_type="OSError"),
    ]
    with tracer.start_as_current_span("prompt"):
        events = node_spans.with_node_spans(_events(*heard), GRAPH)
        assert [event async for event in events] == heard
    sampler, saving, prompt = exported.get_finished_spans()
    assert [span.name for span in (sampler, saving, prompt)] == ["KSampler", "SaveImage", "prompt"]
    assert {span.parent and span.parent.span_id for span in (sampler, saving)} == {
        prompt.context.span_id
    }
    assert dict(sampler.attributes or {}) == {
        "comfyui.node.id": "1",
        "comfyui.node.class": "KSampler",
        "comfyui.node.steps": 20,
    }
    assert (saving.attributes or {})["error.type"] == "OSError"
    assert not saving.status.is_ok
    assert (prompt.attributes or {})["comfyui.nodes.cached"] == 2
    assert "secret" not in all_of(exported)


async def test_untraced_prompts_have_no_spans_and_their_events_go_by_untouched() -> None:
    events = _events(NodeExecuting(node="1"))
    assert node_spans.with_node_spans(events, GRAPH) is events
    assert [event async for event in events] == [NodeExecuting(node="1")]


def test_a_traceparent_leads_to_its_span(tracer: trace.Tracer) -> None:
    assert (current_traceparent(), current_trace_id()) == (None, None)
    with tracer.start_as_current_span("work", context_of(TRACEPARENT)):
        assert trace_id_of(current_traceparent()) == trace_id_of(TRACEPARENT) == current_trace_id()
    with (
        tracer.start_as_current_span("around"),
        tracer.start_as_current_span("a", context_of(None)),
    ):
        assert trace_id_of(current_traceparent()) is not None


def _line(**given: object) -> dict[str, str]:
    record = logging.makeLogRecord(
        {"name": "anime.test", "levelname": "INFO", "msg": "%s\n%s", "args": ("über", "x"), **given}
    )
    line: dict[str, str] = json.loads(JsonFormatter().format(record))
    return line


async def test_a_line_names_job_trace_and_run(tracer: trace.Tracer) -> None:
    line = _line()
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert line == {
        "time": line["time"],
        "level": "INFO",
        "logger": "anime.test",
        "message": "über\nx",
    }
    with tracer.start_as_current_span("run", context_of(TRACEPARENT)):
        name_job_in_logs(JOB_ID)
    fault = OSError("gone")
    after = _line(flow_run_id=JOB_ID, exc_info=(OSError, fault, None))  # the run's span has ended
    assert after["job_id"] == after["flow_run_id"] == str(JOB_ID)
    assert after["trace_id"] == trace_id_of(TRACEPARENT)
    assert after["error"].endswith("OSError: gone")


@pytest.mark.parametrize("name", ["ANIME_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_either_variable_sets_the_endpoint_and_children_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().otlp_endpoint is None
    monkeypatch.setenv(name, "http://collector:4318")
    settings = load_settings()
    assert settings.otlp_endpoint == "http://collector:4318/"
    assert settings_environment(settings)["ANIME_OTLP_ENDPOINT"] == "http://collector:4318/"
    monkeypatch.setenv(name, "collector")
    with pytest.raises(ConfigurationError, match=f"'collector'.*{name}|{name}.*'collector'"):
        load_settings()


def _imports_at_once(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_nothing_of_the_sdk_is_imported_before_an_endpoint_is_set() -> None:
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "anime.net.span_exporters")
    found = {
        path.name
        for top in ("anime", "blocks", "flows", "tasks")
        for path in (PROJECT_DIR / top).rglob("*.py")
        for name in _imports_at_once(ast.parse(path.read_bytes()))
        if name.startswith(heavy)
    }
    assert found == {"span_exporters.py"}
    with pytest.raises(ModuleNotFoundError):  # else redis imports it
        import_module("opentelemetry.sdk.metrics")
