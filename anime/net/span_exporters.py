"""What spans pass on their way out: a pause while nobody takes them, and a filter.

The filter keeps prompts and secrets in: what errors say, and addresses of requests.
"""

import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

PAUSE_SECONDS = 30.0  # after a failed export
KEPT_OF_EVENTS = frozenset({"exception.type"})
# A query may hold a signature or the words of a search, a path names of projects and characters;
# `http.route` stays.
LEFT_OUT = frozenset({"url.path", "url.query"})


class PausingExporter(SpanExporter):
    """Exports spans through another exporter, and after a failure none for a while.

    Else a process that ends while the collector is away would try for each batch that is left.
    """

    def __init__(self, exporter: SpanExporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._clock = clock
        self._paused_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans; during a pause they are lost."""
        if self._clock() < self._paused_until:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._paused_until = self._clock() + PAUSE_SECONDS
        return result

    def shutdown(self) -> None:
        """Export nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Whether nothing is left to be exported."""
        return self._exporter.force_flush(timeout_millis)


class PrivateExporter(PausingExporter):
    """The same, without what may say too much: of errors only types, of addresses only routes."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what may be said of the spans."""
        return super().export([_private(span) for span in spans])


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
