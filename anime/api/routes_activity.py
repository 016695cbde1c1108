"""What the studio does now."""

from fastapi import APIRouter

from anime.api.app_state import StateDependency
from anime.core.activity import Activity

router = APIRouter(tags=["jobs"])


@router.get("/activity")
async def activity(state: StateDependency) -> Activity:
    """What renders, what waits and why, what has failed, and how the servers are."""
    return await state.activity.read()
