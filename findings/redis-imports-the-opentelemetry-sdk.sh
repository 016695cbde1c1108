#!/bin/sh
# redis-py imports OpenTelemetry's SDK in every process, once it is installed beside it.
#
# One would guess: a client library takes nothing of an SDK that no program has set up. To install
# the SDK for traces that are off costs nothing until they are on.
# What happens: `import redis` imports `opentelemetry.sdk.metrics` if that is there, for metrics
# that somebody might ask for: a quarter of the time of that import, and 3 MB.
# Versions: redis 8.1.0, opentelemetry-sdk 1.45.2, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: each command and each service imports redis. What is off is to cost nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    redis==8.1.0 opentelemetry-sdk==1.45.2
for round in first second; do  # in the first, Python compiles
    "$folder/venv/bin/python" - "$round" <<'PYTHON'
import resource
import sys
import time


def import_redis():
    began = time.process_time()
    import redis  # noqa: F401
    return time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


seconds, megabytes = import_redis()
found = [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
print(f"{sys.argv[1]}: {len(found)} modules of the SDK, {seconds * 1000:.0f} ms, {megabytes} MB")
assert "opentelemetry.sdk.metrics" in found, "redis leaves the SDK alone now"
PYTHON
done
