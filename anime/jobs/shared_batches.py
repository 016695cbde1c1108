"""Jobs of a batch that several of its runs render: a cancelled run leaves them to the others."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from anime.core.batches import BatchRequest, each_child, possible_jobs_of
from anime.core.paths import composed
from anime.db.repositories import DispatchRepository
from anime.db.session import Database


async def leave_to_other_runs(
    database: Database,
    going_on: Mapping[UUID, dict[str, Any]],  # parameters, as Prefect keeps them
    batch: str,
    job_ids: Collection[UUID],
    *,
    cancelled_run: UUID,
) -> set[UUID]:
    """Those of the jobs that another run of their batch goes on with, to which they belong now.

    `going_on`: the runs of batches that there are; `batch`: its name. Twice is harmless.
    """
    left: set[UUID] = set()
    for run_id, parameters in going_on.items():
        if run_id != cancelled_run and composed(str(parameters.get("name"))) == composed(batch):
            of_run = await asyncio.to_thread(_possible_jobs, parameters)
            shared = of_run.intersection(job_ids) - left
            if shared:
                async with database.session_scope() as session:
                    await DispatchRepository(session).change_batch(shared, cancelled_run, run_id)
            left |= shared
    return left


def _possible_jobs(parameters: dict[str, Any]) -> set[UUID]:
    try:
        return set(possible_jobs_of(each_child(BatchRequest.model_validate(parameters))))
    except ValidationError:  # its run will say so
        return set()
