#!/bin/sh
# FastAPI makes a span of each request by itself, and the span quotes the request's query.
#
# One would guess: FastAPI traces nothing unless opentelemetry-instrumentation-fastapi is installed
# and applied. With a tracer provider that a program sets for spans of its own, requests stay
# untraced, and a span of a middleware of one's own is the only one.
# What happens: as soon as the process has a tracer provider, each request is a span (and its
# dependencies, endpoint and serialization are three more). `url.query` has every parameter as it
# was sent, but for a few names that FastAPI takes for secret: `token` and `q` are exported.
# Versions: fastapi 0.149.0, opentelemetry-sdk 1.45.2, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: a middleware of ours would double each span, and searches for prompts and
# signed addresses would leave the studio with the traces.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastapi==0.149.0 opentelemetry-sdk==1.45.2 httpx
"$folder/venv/bin/python" - <<'PYTHON'
from fastapi import FastAPI
from fastapi.testclient import TestClient
from importlib.metadata import distributions
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)  # for spans of our own
app = FastAPI()


@app.get("/files")
def files(q: str, token: str) -> list[str]:
    return []


TestClient(app).get("/files", params={"q": "a secret prompt", "token": "hunter2"})
installed = {each.name for each in distributions() if "instrumentation" in each.name.lower()}
names = {span.name: dict(span.attributes) for span in spans.get_finished_spans()}
print("instrumentations installed:", installed or "none")
print("spans:", sorted(names))
print("url.query:", names.get("GET /files", {}).get("url.query"))
assert not installed
assert "GET /files" in names, "FastAPI makes no span by itself any more"
assert "hunter2" in names["GET /files"]["url.query"], "the query is no longer quoted"
PYTHON
