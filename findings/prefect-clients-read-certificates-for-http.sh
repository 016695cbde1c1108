#!/bin/sh
# Each of Prefect's clients reads all certificates anew, also for an API that is reached by http.
#
# One would guess: a client of http://127.0.0.1 needs no certificates, or the second one of a process
# takes those of the first.
# What happens: PrefectClient and SyncPrefectClient make a TLS context from certifi's bundle in their
# constructor, whatever the address says. It is most of what a client costs: `prefect deploy` makes
# five clients for each deployment, and a worker that runs flows in threads has one in each. A context
# that is handed in (`httpx_settings={"verify": context}`) is taken as it is.
# Versions: Prefect 3.9.1, certifi as it comes with it, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: our workers, and what deploys our twelve deployments, share one context.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile 'prefect==3.9.1'
export PREFECT_HOME="$folder/home" PREFECT_API_URL=http://127.0.0.1:9/api
"$folder/venv/bin/python" - <<'PYTHON'
import ssl
import time
from statistics import median

from prefect.client.orchestration import PrefectClient, SyncPrefectClient

ADDRESS = "http://127.0.0.1:9/api"
made = []
create = ssl.create_default_context


def counted(*arguments, **named):
    began = time.process_time()
    context = create(*arguments, **named)
    made.append((time.process_time() - began, len(context.get_ca_certs())))
    return context


ssl.create_default_context = counted
shared = create()


def cpu_ms(kind, **settings):
    began = time.process_time()
    kind(ADDRESS, **settings)
    return (time.process_time() - began) * 1000


for kind in (PrefectClient, SyncPrefectClient):
    cpu_ms(kind)
    made.clear()
    own = [cpu_ms(kind) for _ in range(9)]
    assert len(made) == 9, made
    certificates = made[0][1]
    assert certificates > 100
    reading = median(seconds for seconds, _ in made) * 1000
    given = [cpu_ms(kind, httpx_settings={"verify": shared}) for _ in range(9)]
    assert len(made) == 9
    print(f"{kind.__name__}: {median(own):.1f} ms of CPU, {reading:.1f} of them for {certificates} "
          f"certificates; with a context handed in {median(given):.1f} ms")
    assert reading > 0.5 * median(own)
    assert median(given) < 0.5 * median(own)
print("As described.")
PYTHON
