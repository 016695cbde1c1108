"""The stand-in for Prefect that tests use answers as Prefect does."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest_asyncio
from prefect import flow, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL

from tests.integration.prefect_peer import AUTH, running_prefect_peer

NAMES = {"deployment": "generate/generate", "pool": "anime"}
CANCELLED = {"state": {"type": "CANCELLED", "name": "Cancelled", "message": "no"}, "force": True}
FINAL = {"id": {"any_": ["{run}", "{nobody}"]}, "state": {"type": {"any_": ["CANCELLED"]}}}
BEGUN = {"id": {"any_": ["{run}"]}, "expected_start_time": {"before_": "2100-01-01T00:00:00Z"}}
# What is asked for one after the other, with what stands for the ids of each server.
ASKED: list[tuple[str, str, Any]] = [
    ("GET", "/admin/version", None),
    ("GET", "/deployments/name/generate/generate", None),
    ("GET", "/deployments/name/generate/other", None),
    ("GET", "/work_pools/anime", None),
    ("GET", "/work_pools/other", None),
    ("POST", "/deployments/{deployment}/create_flow_run", {"idempotency_key": "new"}),
    ("POST", "/deployments/{deployment}/create_flow_run", {"idempotency_key": "new"}),
    ("POST", "/deployments/{deployment}/create_flow_run", {"no_such_field": 1}),
    ("POST", "/deployments/{deployment}/create_flow_run", {"tags": "no list"}),
    ("POST", "/deployments/{nobody}/create_flow_run", {"idempotency_key": "other"}),
    ("POST", "/deployments/none/create_flow_run", {"idempotency_key": "other"}),
    ("GET", "/flow_runs/{run}", None),
    ("GET", "/flow_runs/{nobody}", None),
    ("GET", "/flow_runs/none", None),
    ("POST", "/flow_runs/{nobody}/set_state", CANCELLED),
    ("POST", "/flow_runs/none/set_state", CANCELLED),
    ("POST", "/flow_runs/{run}/set_state", {"state": {"type": "GONE"}}),
    ("POST", "/flow_runs/{run}/set_state", {"force": True}),
    ("POST", "/flow_runs/filter", {"flow_runs": FINAL}),
    ("POST", "/flow_runs/filter", {"flow_runs": BEGUN, "flows": {"name": {"any_": ["generate"]}}}),
    ("POST", "/flow_runs/filter", {"flow_runs": BEGUN, "flows": {"name": {"any_": ["batch"]}}}),
    ("POST", "/flow_runs/filter", {"flow_runs": BEGUN, "limit": 1, "offset": 1}),
    ("POST", "/flow_runs/filter", {"flow_runs": BEGUN, "offset": -1}),
    ("POST", "/flow_runs/{run}/set_state", CANCELLED),
    ("POST", "/flow_runs/{run}/set_state", {"state": {"type": "CRASHED"}}),
    ("POST", "/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}}),
    ("GET", "/flow_runs/{run}", None),
    ("POST", "/flow_runs/filter", {"flow_runs": FINAL}),
    ("POST", "/flow_runs/filter", {"flow_runs": FINAL, "limit": 201}),
    ("POST", "/flow_runs/filter", {"flow_runs": {"no_such_field": {}}}),
]


@flow(name="generate")
def generate() -> None:
    """What the deployment is of."""


@pytest_asyncio.fixture
async def prefect(prefect_server: None) -> AsyncIterator[httpx.AsyncClient]:
    async with get_client() as client:
        flow_id = await client.create_flow(generate)
        await client.create_work_pool(WorkPoolCreate(name=NAMES["pool"], type="process"))
        made = await client.create_deployment(flow_id, "generate", work_pool_name=NAMES["pool"])
        try:
            async with httpx.AsyncClient(base_url=str(PREFECT_API_URL.value())) as http:
                yield http
        finally:
            await client.delete_deployment(made)
            await client.delete_work_pool(NAMES["pool"])


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[httpx.AsyncClient]:
    async with running_prefect_peer() as peer:
        peer.run_state = "SCHEDULED"
        user, password = AUTH.split(":")
        async with httpx.AsyncClient(base_url=peer.url, auth=(user, password)) as http:
            yield http


async def test_the_stand_in_for_prefect_answers_as_prefect_does(
    prefect: httpx.AsyncClient, peer: httpx.AsyncClient
) -> None:
    nobody = uuid4()
    told, meant = await answers(peer, nobody), await answers(prefect, nobody)
    for asked, mine, right in zip(ASKED, told, meant, strict=True):
        assert (asked, *mine) == (asked, *right)


async def answers(http: httpx.AsyncClient, nobody: UUID) -> list[tuple[int, object]]:
    """Status, and what a client of ours reads, of the answer to each request."""
    known = {"nobody": str(nobody)}
    told = []
    for method, path, body in ASKED:
        answer = await http.request(
            method, filled(path, known), json=None if body is None else filled(body, known)
        )
        content = answer.json()
        if path.startswith("/deployments/name") and answer.is_success:
            known["deployment"] = content["id"]
        if path.endswith("create_flow_run") and answer.is_success:
            known["run"] = content["id"]
        told.append((answer.status_code, gist(content)))
    return told


def filled(asked: Any, known: dict[str, str]) -> Any:  # JSON
    """The same with the server's ids."""
    if isinstance(asked, dict):
        return {key: filled(value, known) for key, value in asked.items()}
    if isinstance(asked, list):
        return [filled(value, known) for value in asked]
    return asked.format(**known) if isinstance(asked, str) else asked


def gist(content: Any) -> object:  # JSON
    """The states in an answer, and what became of a wish."""
    if isinstance(content, list):
        return [gist(each) for each in content]
    if not isinstance(content, dict):
        return None
    state = content.get("state") or {}
    wish = content.get("status") if "details" in content or "state" in content else None
    return (state.get("type"), state.get("name"), wish)
