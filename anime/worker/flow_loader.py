"""Flows by their entrypoint, each imported once."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prefect import Flow
from prefect.client.schemas.responses import DeploymentResponse
from prefect.flows import load_flow_from_entrypoint

from anime.errors import ConfigurationError

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
