"""One step of the monitor within a run, for studios whose API does not run."""

from anime.jobs.background import monitor_of
from anime.jobs.monitor import AnswerTimes, MonitorCounts
from anime.jobs.service import connect_job_service
from anime.settings import get_settings

_ANSWERS = AnswerTimes()  # of Prefect to the steps of this process


async def take_monitor_step() -> MonitorCounts:
    """What was done. Raises as `Monitor.step`."""
    async with connect_job_service(get_settings()) as service:
        return await monitor_of(service, _ANSWERS).step()
