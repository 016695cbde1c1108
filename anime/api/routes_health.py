"""Whether the API lives, what it stands on, and its figures."""

from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Response, status
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from anime.api.readiness import Readiness, readiness
from anime.api.state import StudioDependency

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """An answer is all it takes: nothing else is asked."""

    status: Literal["healthy"] = "healthy"
    service: Literal["anime-production"] = "anime-production"
    version: str = version("anime-production")


@router.get("/health")
async def health() -> Health:
    """That this process answers; nothing about the services behind it."""
    return Health()


@router.get(
    "/ready", responses={503: {"model": Readiness, "description": "Something needed is away."}}
)
async def ready(studio: StudioDependency, response: Response) -> Readiness:
    """How each dependency was found: 503 when one is away without which no picture is made."""
    found = await readiness(studio.settings, studio.database)
    if found.status != "ready":
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = "5"
    return found


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "In Prometheus' format."}},
)
async def metrics(studio: StudioDependency) -> Response:
    """Figures for Prometheus, at most some seconds old."""
    figures = await studio.metrics.shown(studio.database, studio.settings.comfyui_urls)
    return Response(figures, media_type=CONTENT_TYPE_LATEST)
