"""The entrypoints of deployments, as Prefect gives them, and their flows, each imported once."""

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

CACHE_SECONDS = 5.0


class Entrypoints:
    """Deployments' entrypoints, read every few seconds instead of for every run."""

    def __init__(self, cache_seconds: float = CACHE_SECONDS) -> None:
        """After `cache_seconds` an entrypoint is read again, as it may have been changed."""
        self._cache_seconds = cache_seconds
        self._cache: dict[UUID, tuple[str | None, float]] = {}  # and when, by time.monotonic()

    async def read(self, deployment_id: UUID | None, client: PrefectClient) -> str | None:
        """The deployment's entrypoint; None when the deployment is gone or has none."""
        if deployment_id is None:
            return None
        entrypoint, read_at = self._cache.get(deployment_id, (None, None))
        now = time.monotonic()
        if read_at is None or now - read_at > self._cache_seconds:
            entrypoint = await _read_entrypoint(deployment_id, client)
            self._cache[deployment_id] = entrypoint, now
        return entrypoint


async def _read_entrypoint(deployment_id: UUID, client: PrefectClient) -> str | None:
    try:
        return (await client.read_deployment(deployment_id)).entrypoint
    except ObjectNotFound:
        return None


_log = logging.getLogger(__name__)
_flows: dict[str, Flow[..., Any]] = {}
_import_lock = threading.Lock()
_DEFAULT_STEP = "prefect.deployments.steps.set_working_directory"  # Prefect adds this one itself


def load_flow(entrypoint: str | None) -> Flow[..., Any]:
    """The flow as it was when this process first needed it; changed code needs a new worker.

    An import that failed is tried again the next time.

    Raises:
        ConfigurationError: there is no entrypoint.
        ScriptError, MissingFlowError: its module raises when imported, or has no such flow.
    """
    if entrypoint is None:
        raise ConfigurationError("The deployment has no entrypoint.", "Deploy it again.")
    with _import_lock:
        if entrypoint not in _flows:
            _flows[entrypoint] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
        return _flows[entrypoint]


def loaded_flow(entrypoint: str | None) -> Flow[..., Any] | None:
    """The flow, if it was imported before."""
    return _flows.get(entrypoint or "")


def preload_flows(entrypoints: Iterable[str]) -> None:
    """Import the flows that can be imported, so that no run waits for it."""
    for entrypoint in entrypoints:
        try:
            load_flow(entrypoint)
        except Exception as fault:  # noqa: BLE001  an unknown module may raise anything
            _log.warning("%s cannot be loaded; its runs will crash: %s", entrypoint, fault)


def ignored_options(deployment: DeploymentResponse) -> list[str]:
    """The deployment's options that this worker ignores: they need a process for each run."""
    steps: Sequence[Mapping[str, Any]] = deployment.pull_steps or []  # of any library
    ignored = [name for step in steps for name in step if name != _DEFAULT_STEP]
    variables: Mapping[str, Any] = deployment.job_variables or {}  # of any worker type
    return ignored + [name for name in ("env", "command", "working_dir") if variables.get(name)]
