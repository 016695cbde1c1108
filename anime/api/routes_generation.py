"""Submitting, following and cancelling a generation."""

from typing import Annotated, Self
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Query, Request, Response, status
from pydantic import AwareDatetime, BaseModel, Field

from anime.api.app_state import StateDependency
from anime.api.error_documentation import problems
from anime.api.middleware import JsonRoute
from anime.core.batches import BatchRequest
from anime.core.composition.record import Composition
from anime.core.ids import job_id_of
from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.errors import NotFound
from anime.schemas import (
    Accepted,
    AcceptedBatch,
    Cancellation,
    GenerationRequest,
    JobSnapshot,
    Requeued,
    Timeline,
)

MAX_BATCH_BYTES = 16 * 2**20  # of 10,000 generations; as much as Prefect's server is set to take
LONG_BODIES = {"/batches": MAX_BATCH_BYTES}
router = APIRouter(tags=["generation"], route_class=JsonRoute)

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="The same key gives the same job; it is refused with another request.",
    ),
]
BatchKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key gives the same run.",
    ),
]
Dispatched = Annotated[
    bool,
    Query(description="Answer once its run is there. It is refused if ComfyUI or Prefect is away."),
]


class GenerationStatus(BaseModel):
    """How far a generation is, with the keys that old clients read."""

    id: UUID
    status: JobStatus
    progress: float = Field(ge=0, le=1, description="Share of sampler steps over all nodes.")
    stage: Stage | None
    output_path: str | None
    error: str | None
    error_kind: FailureKind | None
    attempt: int
    updated_at: str
    expected_at: AwareDatetime | None = Field(
        description="When its render is expected to end; null while nobody knows."
    )

    @classmethod
    def of(cls, job: JobSnapshot) -> Self:
        """The job's status, with progress from 0 to 1."""
        return cls(
            id=job.id,
            status=job.status,
            progress=job.progress / 100,
            stage=job.stage,
            output_path=job.output_path,
            error=job.error,
            error_kind=job.error_kind,
            attempt=job.attempt,
            updated_at=job.updated_at.isoformat(),
            expected_at=job.expected_at,
        )


@router.post("/generate", status_code=status.HTTP_202_ACCEPTED, responses=problems(409, 429))
async def generate(
    generation: GenerationRequest,
    state: StateDependency,
    request: Request,
    response: Response,
    *,
    idempotency_key: IdempotencyKey = None,
    dispatched: Dispatched = False,
) -> Accepted:
    """Submit a generation. The answer comes at once, the picture when the job has run."""
    job_id = job_id_of(idempotency_key) if idempotency_key else None
    warnings: list[str] = []
    if dispatched:
        composition = await state.jobs.check(generation, job_id=job_id)
        warnings = composition.warnings if composition else []
        job = await state.jobs.submit_and_dispatch(generation, job_id=job_id)
    else:
        job = await state.jobs.submit(generation, job_id=job_id)
    status_url = request.app.url_path_for("generation_status", job_id=str(job.id))
    response.headers["Location"] = status_url
    return Accepted(job_id=job.id, status=job.status, status_url=status_url, warnings=warnings)


@router.post("/batches", status_code=status.HTTP_202_ACCEPTED)
async def submit_batch(
    batch: BatchRequest, state: StateDependency, idempotency_key: BatchKey = None
) -> AcceptedBatch:
    """Submit a batch, which is one run. The answer comes once it is there."""
    return await state.jobs.submit_batch(batch, key=idempotency_key or str(uuid4()))


@router.post("/compose")
async def compose(generation: GenerationRequest, state: StateDependency) -> Composition:
    """Show what a request would become, and where each part of it is from. Nothing is rendered."""
    return await state.jobs.admission.compose(generation)


@router.get("/generation/{job_id}/status", responses=problems(404))
async def generation_status(job_id: str, state: StateDependency) -> GenerationStatus:
    """How far a generation is."""
    return GenerationStatus.of(await state.jobs.lookup.get(job_id_in(job_id)))


@router.post("/generation/{job_id}/cancel", responses=problems(404))
async def cancel_generation(job_id: str, state: StateDependency) -> Cancellation:
    """Cancel this job and no other. A job that has ended is left as it is, and `detail` says so."""
    return await state.jobs.cancel(job_id_in(job_id))


@router.post("/jobs/{job_id}/requeue", responses=problems(404))
async def requeue_job(job_id: str, state: StateDependency) -> Requeued:
    """Let a failed job wait for a run again. Any other is left as it is, and `detail` says so."""
    found = job_id_in(job_id)
    if (job := await state.jobs.requeue(found)) is not None:
        return Requeued(job_id=found, status=job.status, detail="It waits for a run again.")
    job = await state.jobs.lookup.get(found)
    return Requeued(job_id=found, status=job.status, detail=f"It has not failed: {job.status}.")


@router.get("/jobs/{job_id}", responses=problems(404))
async def job_by_id(job_id: str, state: StateDependency) -> JobSnapshot:
    """One job, with all that is known of it."""
    return await state.jobs.lookup.get(job_id_in(job_id))


@router.get("/jobs/{job_id}/timeline", responses=problems(404))
async def job_timeline(job_id: str, state: StateDependency) -> Timeline:
    """What happened to the job, and why: runs, servers, attempts, decisions. The oldest first."""
    return Timeline(entries=await state.jobs.lookup.timeline(job_id_in(job_id)))


@router.get("/jobs/{job_id}/composition", responses=problems(404))
async def job_composition(job_id: str, state: StateDependency) -> Composition:
    """What the job's request became when it was submitted."""
    return await state.jobs.lookup.composition(job_id_in(job_id))


def job_id_in(text: str) -> UUID:
    """The job's id in an address.

    Raises:
        NotFound: the text is no id.
    """
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(
            f"There is no job {text[:64]!r}.", "A job's id comes with the answer to its request."
        ) from None
