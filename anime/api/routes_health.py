"""Whether the API lives, whether it is ready, and its figures."""

from fastapi import APIRouter, Response, status
from prometheus_client import CONTENT_TYPE_LATEST

from anime.api.app_state import StateDependency
from anime.api.examples import METRICS, NOT_READY
from anime.api.readiness import Health, Readiness, readiness
from anime.jobs.servers.registry import ServerRegistry

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> Health:
    """Whether this process answers; nothing about the services behind it."""
    return Health()


@router.get(
    "/ready",
    responses={
        503: {
            "model": Readiness,
            "content": {"application/json": {"example": NOT_READY.model_dump(mode="json")}},
            "description": "Something that is needed is away.",
        }
    },
)
async def ready(state: StateDependency, response: Response) -> Readiness:
    """The state of each dependency; 503 if one is away without which no job can run."""
    found = await readiness(state.settings, state.database)
    if found.status != "ready":
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = "5"
    return found


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "content": {"text/plain": {"schema": {"type": "string"}, "example": METRICS}},
            "description": "In Prometheus' format.",
        }
    },
)
async def metrics(state: StateDependency) -> Response:
    """Figures for Prometheus, at most some seconds old."""
    servers = await ServerRegistry(state.settings, state.database).addresses()
    figures = await state.metrics.collect(state.database, servers, state.settings.backup_dir)
    return Response(figures, media_type=CONTENT_TYPE_LATEST)
