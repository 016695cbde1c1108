"""What deployments run, as Prefect says."""

import time
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

BELIEVED_SECONDS = 5.0


class Entrypoints:
    """Deployments' entrypoints, asked for every few seconds instead of for every run."""

    def __init__(self, believed_seconds: float = BELIEVED_SECONDS) -> None:
        """After `believed_seconds` the server is asked again: it may be deployed anew."""
        self._believed_seconds = believed_seconds
        self._known: dict[UUID, tuple[str | None, float]] = {}  # and when, by time.monotonic()

    async def of(self, deployment_id: UUID | None, client: PrefectClient) -> str | None:
        """What to load for a run of the deployment; None when it is gone, or names none."""
        if deployment_id is None:
            return None
        entrypoint, asked_at = self._known.get(deployment_id, (None, None))
        now = time.monotonic()
        if asked_at is None or now - asked_at > self._believed_seconds:
            entrypoint = await _ask(deployment_id, client)
            self._known[deployment_id] = entrypoint, now
        return entrypoint


async def _ask(deployment_id: UUID, client: PrefectClient) -> str | None:
    try:
        return (await client.read_deployment(deployment_id)).entrypoint
    except ObjectNotFound:
        return None
