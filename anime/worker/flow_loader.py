"""What deployments run, as Prefect says, and the flows themselves, each imported once."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint

from anime.errors import ConfigurationError

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


_log = logging.getLogger(__name__)
_flows: dict[str, Flow[..., Any]] = {}
_importing = threading.Lock()
_SLOT = "prefect.deployments.steps.set_working_directory"  # what Prefect adds by itself


def load_flow(entrypoint: str | None) -> Flow[..., Any]:
    """The flow, as it was when this process first needed it; changed code wants a new worker.

    What could not be imported is tried again the next time.

    Raises:
        ConfigurationError: there is no entrypoint.
        ScriptError, MissingFlowError: it raises when imported, or names no flow.
    """
    if entrypoint is None:
        raise ConfigurationError("The deployment names no entrypoint.", "Deploy it anew.")
    with _importing:
        if entrypoint not in _flows:
            _flows[entrypoint] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
        return _flows[entrypoint]


def loaded(entrypoint: str | None) -> Flow[..., Any] | None:
    """The flow, if it was imported before."""
    return _flows.get(entrypoint or "")


def load_ahead(entrypoints: Iterable[str]) -> None:
    """Import what can be imported, so that no run waits for it."""
    for entrypoint in entrypoints:
        try:
            load_flow(entrypoint)
        except Exception as fault:  # noqa: BLE001  a stranger's module may raise anything
            _log.warning("%s cannot be loaded; its runs will crash: %s", entrypoint, fault)


def unheeded(deployment: DeploymentResponse) -> list[str]:
    """What the deployment asks for and only a process of its own could give each run."""
    steps: Sequence[Mapping[str, Any]] = deployment.pull_steps or []  # of any library
    asked = [name for step in steps for name in step if name != _SLOT]
    variables: Mapping[str, Any] = deployment.job_variables or {}  # of any worker type
    return asked + [name for name in ("env", "command", "working_dir") if variables.get(name)]
