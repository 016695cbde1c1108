"""Looking after jobs that nobody works on, on schedule and whenever a worker starts."""

from datetime import timedelta

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from anime.runs.monitor_step import take_monitor_step
from anime.runs.server_blocks import update_server_blocks
from tasks.sweep import is_late

INTERVAL = timedelta(minutes=1)  # of the schedule in prefect.yaml
LATE = "Nothing was done: the next scheduled step is due already."


@flow(name="monitor")
async def monitor() -> State[None]:
    """Find jobs whose run is gone, and let another run go on with them.

    The API does the same every few seconds. Two never work at the same time. The blocks of the
    ComfyUI servers are brought up to date as well.
    """
    if is_late(INTERVAL):
        return Completed(message=LATE)
    done = await take_monitor_step()
    await update_server_blocks()
    return Completed(message=done.summary)
