"""Traces, by OpenTelemetry: what was done for one request, in all processes, under one id.

Off until an OTLP endpoint is set: then nothing of the SDK is imported and no span is made. The
rest of its settings are its own variables (`OTEL_…`), which the SDK reads.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from anime.settings import Settings

TRACEPARENT = "traceparent"  # the header of W3C Trace Context, and the column of a job's row
EXPORT_SECONDS = 5.0  # for one batch of spans with all its tries, also when a process ends

tracer = trace.get_tracer("anime")
_w3c = TraceContextTextMapPropagator()


def start_tracing(settings: Settings, service: str) -> None:
    """Export the spans of this process as those of that service, if an endpoint is set.

    To be called after the last fork. What is left is exported when the process ends.
    """
    if settings.otlp_endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    hide_headers()
    traces = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint=traces, timeout=EXPORT_SECONDS)
    trace.set_tracer_provider(provider_of(settings, service, exporter))


def hide_headers() -> None:
    """Have the SDK not log a header of `OTEL_EXPORTER_OTLP_HEADERS` that it does not understand."""
    logging.getLogger("opentelemetry.util.re").addFilter(_without_values)


def _without_values(record: logging.LogRecord) -> bool:
    record.args = tuple("…" for _ in record.args or ())
    return True


def provider_of(settings: Settings, service: str, exporter: SpanExporter) -> TracerProvider:
    """What makes spans and hands them to the exporter, in batches."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from anime.net.span_exporters import PausingExporter, PrivateExporter

    about = {"service.name": service, "service.version": version("anime-production")}
    provider = TracerProvider(resource=Resource.create(about))
    kind = PausingExporter if settings.trace_prompts else PrivateExporter
    provider.add_span_processor(BatchSpanProcessor(kind(exporter)))
    return provider


def stop_tracing() -> None:
    """Export what is left, for a process that does not end by itself but is replaced."""
    shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
    if shutdown is not None:
        shutdown()


def current_traceparent() -> str | None:
    """The current span as a `traceparent`; None without one."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get(TRACEPARENT)


def about(job_id: UUID) -> dict[str, str]:
    """The attributes of a span of that job."""
    return {"anime.job.id": str(job_id)}


def current_trace_id() -> str | None:
    """The id of the current trace, in 32 hexadecimal digits; None without one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def context_of(traceparent: str | None) -> Context:
    """The context in which new spans are children of that span; an empty one for None."""
    return _w3c.extract({TRACEPARENT: traceparent} if traceparent else {}, Context())
