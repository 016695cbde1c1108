"""Receives traces as a collector does: OTLP over HTTP, in protobuf."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.waiting import HUNG_SECONDS


@dataclass(frozen=True)
class ReceivedSpan:
    """A span, with the service that sent it; ids in hexadecimal digits, "" for no parent."""

    service: str
    scope: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    attributes: dict[str, str]
    started_ns: int
    ended_ns: int
    is_error: bool


class OtlpReceiver:
    """All spans that were sent, and every byte of them."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.raw = b""
        self._news = threading.Condition()
        self.url = ""

    def take(self, body: bytes) -> None:
        """Keep the spans of one request."""
        with self._news:
            self.raw += body
            self.spans += _spans_in(ExportTraceServiceRequest.FromString(body))
            self._news.notify_all()

    def until(self, is_enough: Callable[[list[ReceivedSpan]], bool]) -> list[ReceivedSpan]:
        """The spans, once they are enough; blocks.

        Raises:
            TimeoutError: they never are.
        """
        with self._news:
            if not self._news.wait_for(lambda: is_enough(self.spans), HUNG_SECONDS):
                raise TimeoutError(f"Only these have come: {[each.name for each in self.spans]}")
            return list(self.spans)


def _spans_in(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for of_resource in request.resource_spans:
        about = {each.key: each.value.string_value for each in of_resource.resource.attributes}
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield ReceivedSpan(
                    service=about["service.name"],
                    scope=of_scope.scope.name,
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    attributes={each.key: each.value.string_value for each in span.attributes},
                    started_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                )


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """A receiver on a free port, for as long as the block lasts."""
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()
