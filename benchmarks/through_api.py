"""Many single requests through our HTTP API."""

import asyncio
from uuid import UUID

from benchmarks.studio import Studio, seconds_allowed

POSTS_AT_A_TIME = 4


async def render_through_api(studio: Studio, number: int, seconds: float) -> dict[UUID, float]:
    """When each of that many jobs was completed."""
    at_a_time = asyncio.Semaphore(POSTS_AT_A_TIME)

    async def submit() -> UUID:
        async with at_a_time:
            return (await studio.submit(studio.request(seconds))).job_id

    async with asyncio.TaskGroup() as group:
        submitted = [group.create_task(submit()) for _ in range(number)]
    jobs = [task.result() for task in submitted]
    return await studio.endings.wait_for(jobs, seconds_allowed(number, seconds))
