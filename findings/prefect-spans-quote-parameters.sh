#!/bin/sh
# Prefect's spans quote what a run was asked for, in their names and their errors.
#
# One would guess: a task's span has the task's name, so that spans can be compared, and as of the
# parameters Prefect exports nothing but their types, no value leaves the process.
# What happens: the span has the name of the run, which `task_run_name` and `flow_run_name` make of
# parameters. After an error, the span has its message and its traceback, and so has its status.
# Versions: prefect 3.9.1, opentelemetry-sdk 1.45.2, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: as soon as a process that runs flows has a tracer provider, prompts leave
# the studio with the traces.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    prefect==3.9.1 opentelemetry-sdk==1.45.2
PREFECT_HOME="$folder/prefect" PREFECT_LOGGING_LEVEL=CRITICAL DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false "$folder/venv/bin/python" - <<'PYTHON'
from contextlib import suppress

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prefect import flow, task

memory = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(memory))
trace.set_tracer_provider(provider)


@task(name="render", task_run_name="render {prompt}")
def render(prompt):
    raise ValueError(f"cannot render {prompt}")


@flow(name="generate")
def generate():
    with suppress(ValueError):
        render("a secret prompt")


generate()
[span] = [each for each in memory.get_finished_spans() if each.name != "generate"
          and each.attributes.get("prefect.run.type") == "task"]
said = [event.attributes.get("exception.message") for event in span.events]
print("the task's span is named", repr(span.name))
print("messages of errors:", [message for message in said if message])
print("status:", span.status.description)
assert span.name == "render a secret prompt", "spans have the names of tasks now"
assert "cannot render a secret prompt" in said, "errors are no longer quoted"
PYTHON
