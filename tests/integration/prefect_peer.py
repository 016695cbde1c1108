"""A stand-in for Prefect's REST API: Prefect's own server takes twelve seconds to start."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from anime.api.serve import address_of, listen

AUTH = "anime:a password"


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
    run_state: str = "RUNNING"
    run_message: str = ""
    pool_status: str = "READY"
    states: dict[str, str] = field(default_factory=dict)  # by the run's id, where not run_state
    ordered: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)  # while it is set
    unanswered_orders: int = 0  # as many runs are made, and nobody hears of it

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
        if UUID(deployment) not in self.deployments.values():
            return JSONResponse({"detail": "Deployment not found"}, 404)
        body = {"deployment": deployment, **await request.json()}
        if body["idempotency_key"] in self.refused_keys:
            return JSONResponse({"detail": "no such parameter"}, 422)
        run = self.runs.setdefault(body["idempotency_key"], {"id": str(uuid4()), **body})
        self.ordered.set()
        if self.unanswered_orders:
            self.unanswered_orders -= 1
            await asyncio.Event().wait()
        return JSONResponse(run, 201)

    async def flow_run(self, request: Request) -> JSONResponse:
        if self.forgets_runs:
            return JSONResponse({"detail": "Flow run not found"}, 404)
        return JSONResponse(self._told(request.path_params["id"]))

    async def filtered(self, request: Request) -> JSONResponse:
        wanted = (await request.json())["flow_runs"]
        told = [self._told(run_id) for run_id in wanted["id"]["any_"]]
        kinds = wanted["state"]["type"]["any_"]
        return JSONResponse([run for run in told if run["state"]["type"] in kinds])

    async def set_state(self, request: Request) -> JSONResponse:
        if self.is_ill:
            return JSONResponse({"detail": "no"}, 500)
        self.states[request.path_params["id"]] = (await request.json())["state"]["type"]
        return JSONResponse({"status": "ACCEPT"}, 201)

    async def until_runs(self, number: int) -> None:
        """Return when so many runs are ordered; within half a minute."""
        async with asyncio.timeout(30):
            while len(self.runs) < number:
                self.ordered.clear()
                await self.ordered.wait()

    def state_of(self, job_id: object) -> str:
        """The state of the job's first run."""
        return self.states.get(self.runs[str(job_id)]["id"], self.run_state)

    def _told(self, run_id: str) -> dict[str, Any]:
        kind = self.states.get(run_id, self.run_state)
        return {"id": run_id, "state": {"type": kind, "message": self.run_message}}

    async def work_pool(self, request: Request) -> JSONResponse:
        return JSONResponse({"name": request.path_params["name"], "status": self.pool_status})

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
            routes=[
                Route("/api/admin/version", self.version),
                Route("/api/deployments/name/{flow}/{name}", self.deployment),
                Route(
                    "/api/deployments/{id}/create_flow_run", self.create_flow_run, methods=["POST"]
                ),
                Route("/api/flow_runs/filter", self.filtered, methods=["POST"]),
                Route("/api/flow_runs/{id}", self.flow_run),
                Route("/api/flow_runs/{id}/set_state", self.set_state, methods=["POST"]),
                Route("/api/work_pools/{name}", self.work_pool),
            ],
        )


async def _authorized(request: Request, call_next: Any) -> Any:  # as Starlette hands it over
    expected = "Basic " + base64.b64encode(AUTH.encode()).decode()
    if request.headers.get("authorization") != expected:
        return JSONResponse({"detail": "Unauthorized"}, 401)
    return await call_next(request)


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
