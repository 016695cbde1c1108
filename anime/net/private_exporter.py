"""Keeps prompts and secrets out of exported spans: what errors say, and addresses of requests."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

KEPT_OF_EVENTS = frozenset({"exception.type"})
# A query may hold a signature or the words of a search, a path names of projects and characters;
# `http.route` stays.
LEFT_OUT = frozenset({"url.path", "url.query"})


class PrivateExporter(SpanExporter):
    """Exports spans through another exporter: of errors only types, of addresses only routes."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans without what may say too much."""
        return self._exporter.export([_private(span) for span in spans])

    def shutdown(self) -> None:
        """Export nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Whether nothing is left to be exported."""
        return self._exporter.force_flush(timeout_millis)


def _private(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    if not span.events and not span.status.description and LEFT_OUT.isdisjoint(attributes):
        return span
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in attributes.items() if name not in LEFT_OUT},
        events=[_private_event(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _private_event(event: Event) -> Event:
    said = event.attributes or {}
    kept = {name: value for name, value in said.items() if name in KEPT_OF_EVENTS}
    return Event(event.name, kept, event.timestamp)
