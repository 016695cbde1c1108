#!/bin/sh
# A worker that claims a run by proposing Pending gets it although the run has completed already.
#
# One would guess: of two workers that were given the same list of due runs, the second cannot claim
# what the first has claimed: Prefect refuses Pending for a run that is no longer Scheduled.
# What happens: it refuses only as long as the first has not finished. A run that is pending, running
# or cancelled is not given away; one that has completed, failed or crashed is, and runs once more:
# Pending is also how a person runs a finished run again, and the server does not ask from which
# state the worker believes the run to come. Short runs finish before a list gets old.
# Versions: prefect 3.9.1, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: a worker must claim what it has just been told of. Keeping a list of due runs
# for a second, to save requests, ran a flow of 20 ms twice as soon as two workers shared a pool.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prefect==3.9.1
PREFECT_HOME="$folder/prefect" DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_LOGGING_LEVEL=ERROR PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=90 \
    "$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from prefect import flow, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import Abort
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running
from prefect.utilities.engine import propose_state


ENDS = (Cancelled, Completed, Failed, Crashed)


@flow
def empty():
    """What is run."""


async def is_claimed(client, run_id):
    """Whether a worker that knows the run from an earlier list is given it."""
    try:
        return (await propose_state(client, Pending(), flow_run_id=run_id)).is_pending()
    except Abort:
        return False


async def main():
    found = {}
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name="pool", type="process"))
        made = await client.create_deployment(
            await client.create_flow(empty), "deployment", work_pool_name="pool"
        )
        for states in ([], [Running], *([Running, last] for last in ENDS)):
            run = await client.create_flow_run_from_deployment(made)
            assert run.state.is_scheduled()
            assert await is_claimed(client, run.id), "the first worker is not given the run"
            for state in states:
                await client.set_flow_run_state(run.id, state())
            name = states[-1].__name__ if states else "Pending"
            found[name] = await is_claimed(client, run.id)
    return found


found = asyncio.run(main())
for state, is_given in found.items():
    answer = "given" if is_given else "refused"
    print(f"a second worker proposes Pending for a run that is {state}: {answer}")
assert found == {
    "Pending": False, "Running": False, "Cancelled": False,
    "Completed": True, "Failed": True, "Crashed": True,
}, "it is decided otherwise now"
PYTHON
