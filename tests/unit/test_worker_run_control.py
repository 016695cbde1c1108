"""What a warm worker says it cannot do for a deployment."""

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.responses import DeploymentResponse

from anime.worker.flow_loader import ignored_options

CLONE = {"prefect.deployments.steps.git_clone": {"repository": "https://example.org/flows.git"}}
SLOT = {"prefect.deployments.steps.set_working_directory": {"directory": "/studio"}}


@pytest.mark.parametrize(
    ("told", "ignored"),
    [
        ({}, []),
        ({"pull_steps": [SLOT]}, []),
        ({"pull_steps": [SLOT, CLONE]}, ["prefect.deployments.steps.git_clone"]),
        ({"job_variables": {"env": {"MODEL": "large"}}}, ["env"]),
        ({"job_variables": {"env": {}, "image": "studio"}}, []),
    ],
)
def test_pull_steps_and_variables_of_a_process_are_named(
    told: dict[str, Any],  # fields of a deployment
    ignored: list[str],
) -> None:
    deployment = DeploymentResponse(id=uuid4(), name="generate", flow_id=uuid4(), **told)
    assert ignored_options(deployment) == ignored
