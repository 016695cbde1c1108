"""Whether the API lives."""

from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

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
