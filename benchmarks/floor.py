"""What Prefect itself costs: flows with five empty tasks, run by its own engine.

`python -m benchmarks.floor NUMBER` runs so many one after the other, and prints the seconds of CPU
that this process took for them.
"""

import asyncio
import subprocess
import sys
import time

from prefect import flow, task

from benchmarks.studio import Studio

_STEPS = 5


@task
async def nothing() -> None:
    """A step that does nothing."""


@flow
async def floor() -> None:
    """As many steps as a generation has."""
    for _ in range(_STEPS):
        await nothing()


async def run_flows(number: int) -> float:
    """How many seconds of CPU so many runs took this process, after a first one."""
    await floor()
    began = time.process_time()
    for _ in range(number):
        await floor()
    return time.process_time() - began


async def floor_in(studio: Studio, number: int) -> float:
    """The same, in a process of its own that speaks to the studio's Prefect server."""
    known = studio.stack.record.settings
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "benchmarks.floor", str(number)],
        env={
            **studio.stack.environment,
            "PREFECT_API_URL": known["prefect_api_url"],
            "PREFECT_API_AUTH_STRING": known["prefect_api_auth_string"],
            "PREFECT_LOGGING_LEVEL": "WARNING",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(run_flows(int(sys.argv[1])))))
