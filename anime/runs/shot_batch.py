"""Shots rendered by a run that somebody starts in Prefect."""

from anime.jobs.service import connect_job_service
from anime.jobs.shots import ShotBatch, ShotRender, render_shots
from anime.settings import get_settings

__all__ = ["ShotRender", "submit_shots"]


async def submit_shots(asked: ShotRender, *, key: str) -> ShotBatch:
    """The run of the batch that renders them; the same `key` again is the same run.

    Raises as `render_shots`.
    """
    async with connect_job_service(get_settings()) as service:
        return await render_shots(service, asked, key=key)
