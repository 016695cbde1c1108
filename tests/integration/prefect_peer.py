"""A stand-in for Prefect's REST API: Prefect's own server takes twelve seconds to start.

It is as strict as Prefect: bodies are checked by Prefect's own models, which know no other field;
a run, deployment or work pool that it does not have is 404; and a run that has ended is not
cancelled once more. Only the queue of workers is left out: a run has the state a test gives it.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import uvicorn
from prefect.server.schemas.actions import DeploymentFlowRunCreate, StateCreate
from prefect.server.schemas.filters import FlowFilter, FlowRunFilter
from prefect.server.schemas.states import TERMINAL_STATES, StateType
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from anime.api.serve import address_of, listen
from tests.support.waiting import HUNG_SECONDS

AUTH = "anime:a password"
MOST_RUNS = 200  # in one answer
NO_RUN = JSONResponse({"detail": "Flow run not found"}, 404)
NOT_FROM_THE_END = {StateType.CANCELLING, StateType.PAUSED, StateType.CRASHED}


class Asked(BaseModel):
    """A body, or a part of one, that Prefect's routes take field by field."""

    model_config = ConfigDict(extra="forbid")


class RunsWanted(Asked):
    flow_runs: FlowRunFilter
    flows: FlowFilter | None = None
    limit: int = Field(MOST_RUNS, ge=0, le=MOST_RUNS)
    offset: int = Field(0, ge=0)


class CountWanted(Asked):
    flow_runs: FlowRunFilter


class StateWanted(Asked):
    state: StateCreate
    force: bool = False


@dataclass
class PrefectPeer:
    """What it was asked for, and how it answers. `runs` are by idempotency key."""

    url: str = ""
    deployments: dict[str, UUID] = field(
        default_factory=lambda: {name: uuid4() for name in ("generate/generate", "batch/batch")}
    )
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked_for_runs: int = 0
    refuses_runs: bool = False
    forgets_runs: bool = False  # somebody has deleted them
    refused_keys: set[str] = field(default_factory=set)
    is_ill: bool = False  # it changes no state
    listed_runs: int = 0  # how often it was asked which there are of a flow
    lists_runs: bool = True  # else it is too busy to say which there are of a flow
    run_state: str = "RUNNING"  # of all runs that `states` does not name
    run_message: str = ""
    pool: str = "anime"
    pool_status: str = "READY"
    states: dict[str, str] = field(default_factory=dict)  # by the run's id, where not run_state
    run_made: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)  # while it is set
    lost_answers: int = 0  # as many runs are made, and nobody hears of it
    _keys: dict[str, str] = field(default_factory=dict)  # of runs, by id

    async def version(self, request: Request) -> JSONResponse:
        return JSONResponse("3.9.1")

    async def deployment(self, request: Request) -> JSONResponse:
        name = f"{request.path_params['flow']}/{request.path_params['name']}"
        if name not in self.deployments:
            return JSONResponse({"detail": "Deployment not found"}, 404)
        return JSONResponse({"id": str(self.deployments[name])})

    async def create_flow_run(self, request: Request) -> JSONResponse:
        if self.refuses_runs:
            return JSONResponse({"detail": "no"}, 500)
        self.asked_for_runs += 1
        deployment = request.path_params["id"]
        asked = DeploymentFlowRunCreate.model_validate_json(await request.body())
        if deployment not in self.deployments.values():
            return JSONResponse({"detail": "Deployment not found"}, 404)
        key = asked.idempotency_key or str(uuid4())
        if key in self.refused_keys:
            return JSONResponse({"detail": "no such parameter"}, 409)
        is_new = key not in self.runs
        if is_new:
            body = asked.model_dump(mode="json", exclude_unset=True)
            [flow] = (
                name.split("/")[0] for name, at in self.deployments.items() if at == deployment
            )
            self.add_run(uuid4(), key, deployment=str(deployment), flow=flow, **body)
        self.run_made.set()
        if self.lost_answers:
            self.lost_answers -= 1
            await asyncio.Event().wait()
        return JSONResponse(self._told(self.runs[key]["id"]), 201 if is_new else 200)

    async def flow_run(self, request: Request) -> JSONResponse:
        run_id = str(request.path_params["id"])
        return JSONResponse(self._told(run_id)) if self.has(run_id) else NO_RUN

    async def filtered(self, request: Request) -> JSONResponse:
        asked = RunsWanted.model_validate_json(await request.body())
        self.listed_runs += asked.flows is not None
        if asked.flows is not None and not self.lists_runs:
            return JSONResponse({"detail": "busy"}, 500)
        runs = self._matching(asked.flow_runs, asked.flows)
        return JSONResponse(runs[asked.offset :][: asked.limit])

    async def counted(self, request: Request) -> JSONResponse:
        asked = CountWanted.model_validate_json(await request.body())
        return JSONResponse(len(self._matching(asked.flow_runs)))

    def _matching(
        self, wanted: FlowRunFilter, flows: FlowFilter | None = None
    ) -> list[dict[str, Any]]:
        """Those of the runs; all have been begun, or could have been."""
        ids = self._keys if wanted.id is None else map(str, wanted.id.any_ or ())
        told = [self._told(run_id) for run_id in ids if self.has(run_id)]
        if wanted.state is not None and wanted.state.type is not None:
            told = [run for run in told if run["state"]["type"] in (wanted.state.type.any_ or ())]
        if flows is None or flows.name is None:
            return told
        names = flows.name.any_ or ()
        return [run for run in told if self.runs[self._keys[run["id"]]].get("flow") in names]

    async def set_state(self, request: Request) -> JSONResponse:
        run_id = str(request.path_params["id"])
        asked = StateWanted.model_validate_json(await request.body())
        if self.is_ill:
            return JSONResponse({"detail": "no"}, 500)
        if not self.has(run_id):
            return NO_RUN
        old, new = StateType(self._type_of(run_id)), asked.state.type
        if old in TERMINAL_STATES and new in NOT_FROM_THE_END and not asked.force:
            return JSONResponse({"state": self._told(run_id)["state"], "status": "ABORT"}, 200)
        self.states[run_id] = new.value
        return JSONResponse({"state": self._told(run_id)["state"], "status": "ACCEPT"}, 201)

    def add_run(self, run_id: UUID, key: str | None = None, **told: Any) -> None:
        """Have a run, as of somebody else who asked for it, in the state `run_state`."""
        self._keys[str(run_id)] = key = key or str(uuid4())
        self.runs[key] = {"id": str(run_id), **told}

    def has(self, run_id: str) -> bool:
        """Whether there is such a run."""
        return not self.forgets_runs and self._keys.get(run_id) in self.runs

    async def until_runs(self, number: int) -> None:
        """Return when so many runs are made."""
        async with asyncio.timeout(HUNG_SECONDS):
            while len(self.runs) < number:
                self.run_made.clear()
                await self.run_made.wait()

    def state_of(self, job_id: object) -> str:
        """The state of the job's first run."""
        return self._type_of(self.runs[str(job_id)]["id"])

    def _type_of(self, run_id: str) -> str:
        return self.states.get(run_id, self.run_state)

    def _told(self, run_id: str) -> dict[str, Any]:
        kind = self._type_of(run_id)
        state = {"type": kind, "name": kind.title(), "message": self.run_message}
        parameters = self.runs.get(self._keys.get(run_id, ""), {}).get("parameters", {})
        return {"id": run_id, "state_type": kind, "state": state, "parameters": parameters}

    async def work_pool(self, request: Request) -> JSONResponse:
        if request.path_params["name"] != self.pool:
            return JSONResponse({"detail": "Work pool not found"}, 404)
        return JSONResponse({"name": self.pool, "status": self.pool_status})

    async def _when_it_answers(
        self,
        request: Request,
        call_next: Any,  # as Starlette hands it over
    ) -> Any:
        await self.answers.wait()
        return await call_next(request)

    def app(self) -> Starlette:
        return Starlette(
            middleware=[
                Middleware(BaseHTTPMiddleware, dispatch=self._when_it_answers),
                Middleware(BaseHTTPMiddleware, dispatch=_authorized),
            ],
            exception_handlers={ValueError: _unprocessable, HTTPException: _no_such_route},
            routes=[
                Route("/api/health", _healthy),
                Route("/api/admin/version", self.version),
                Route("/api/deployments/name/{flow}/{name}", self.deployment),
                Route(
                    "/api/deployments/{id:uuid}/create_flow_run",
                    self.create_flow_run,
                    methods=["POST"],
                ),
                Route("/api/flow_runs/filter", self.filtered, methods=["POST"]),
                Route("/api/flow_runs/count", self.counted, methods=["POST"]),
                Route("/api/flow_runs/{id:uuid}", self.flow_run),
                Route("/api/flow_runs/{id:uuid}/set_state", self.set_state, methods=["POST"]),
                Route("/api/work_pools/{name}", self.work_pool),
            ],
        )


async def _healthy(request: Request) -> JSONResponse:
    return JSONResponse(True)


async def _authorized(request: Request, call_next: Any) -> Any:  # as Starlette hands it over
    if request.url.path == "/api/health":  # Prefect tells that to anyone
        return await call_next(request)
    expected = "Basic " + base64.b64encode(AUTH.encode()).decode()
    if request.headers.get("authorization") != expected:
        return JSONResponse({"detail": "Unauthorized"}, 401)
    return await call_next(request)


async def _unprocessable(_: Request, fault: Exception) -> JSONResponse:
    """A body that Prefect's models refuse."""
    return JSONResponse({"detail": str(fault)}, 422)


async def _no_such_route(_: Request, fault: Exception) -> JSONResponse:
    """A path or method that Prefect has not, such as one with an id that is none."""
    assert isinstance(fault, HTTPException)
    return JSONResponse({"detail": fault.detail}, fault.status_code)


@asynccontextmanager
async def running_prefect_peer() -> AsyncIterator[PrefectPeer]:
    """The peer on a free port; `url` ends in /api, as PREFECT_API_URL does."""
    [listening] = listen("127.0.0.1", [0])
    peer = PrefectPeer(url=f"{address_of(listening)}/api")
    peer.answers.set()
    config = uvicorn.Config(
        peer.app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))  # without its hold on the signals
    try:
        yield peer
    finally:
        server.should_exit = True
        await task
        listening.close()
