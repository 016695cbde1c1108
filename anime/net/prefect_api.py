"""A small client of Prefect's REST API: starting, reading and cancelling runs.

Prefect's own client takes two seconds and 90 MB to import: too much for a command that only starts
a run. https://docs.prefect.io/v3/api-ref/rest-api
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from typing import Any, Self
from uuid import UUID

import httpx
from pydantic import JsonValue

from anime.core.labels import RunLabel
from anime.errors import PrefectRefused, PrefectTimedOut, PrefectUnavailable, reason_of
from anime.net.login import login_for, login_in
from anime.net.sockets import tls_context
from anime.settings import Settings
from anime.settings.addresses import not_known

TIMEOUT_SECONDS = 5.0
RUNS_PER_REQUEST = 200  # Prefect returns no more in one response
WHOLE_RUNS_PER_REQUEST = 10  # with their parameters, which may be 25 MB each
TRACEPARENT_LABEL = "__OTEL_TRACEPARENT"  # where Prefect looks for it: prefect.telemetry
_FINAL_STATES = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_WAITING_STATES = frozenset({"SCHEDULED", "PAUSED"})
_STATES_GOING_ON = _WAITING_STATES | {"PENDING", "RUNNING"}


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run in Prefect; `type` is in capitals, such as RUNNING."""

    type: str
    message: str
    since: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether the run has ended, in whatever way."""
        return self.type in _FINAL_STATES

    @property
    def is_waiting(self) -> bool:
        """Whether the run waits for a worker, or for a person to let it go on."""
        return self.type in _WAITING_STATES


class PrefectApi:
    """A Prefect server, to be used in `async with`."""

    def __init__(self, url: str, auth_string: str | None = None) -> None:
        """`url` ends in /api; `auth_string` is user:password, and may have references."""
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            auth=login_for(auth_string or "", login_in),
            timeout=TIMEOUT_SECONDS,
            verify=tls_context(),
            trust_env=False,  # no proxy for a server of the studio
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The server of the settings.

        Raises:
            PrefectUnavailable: they have none and no stack runs.
        """
        if settings.prefect_api_url is None:
            raise PrefectUnavailable(*not_known(settings, "Prefect server", "PREFECT_API_URL"))
        secret = settings.prefect_api_auth_string
        return cls(settings.prefect_api_url, secret.get_secret_value() if secret else None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def version(self) -> str:
        """The server's version."""
        return str(await self._request("GET", "/admin/version"))

    async def deployment_id(self, name: str) -> UUID:
        """The id of the deployment with that name, `flow/deployment`."""
        found = await self._request(
            "GET",
            f"/deployments/name/{name}",
            not_found=f"has no deployment {name}",
            hint="Run `prefect --no-prompt deploy --all` in the project, or start `anime up`.",
        )
        return UUID(found["id"])

    async def start_run(
        self,
        deployment: UUID,
        parameters: dict[str, JsonValue],
        *,
        key: str,
        queue: str,
        label: RunLabel | None = None,
        traceparent: str | None = None,
    ) -> UUID:
        """The id of a new run, or of the run that was started before with the same key.

        `traceparent`: the span that Prefect makes the parent of the run's own.

        Prefect does not check the parameters against the deployment's schema, which takes it
        20 ms: the flow does so anyway.
        """
        body: dict[str, JsonValue] = {
            "parameters": parameters,
            "enforce_parameter_schema": False,
            "idempotency_key": key,
            "work_queue_name": queue,
        }
        if traceparent is not None:
            body["labels"] = {TRACEPARENT_LABEL: traceparent}
        if label is not None:
            body |= {"name": label.name, "tags": [*sorted(label.tags)]}
        created = await self._request(
            "POST",
            f"/deployments/{deployment}/create_flow_run",
            body=body,
            not_found=f"has no deployment {deployment} any more",
        )
        return UUID(created["id"])

    async def run_state(self, run_id: UUID) -> RunState:
        """The state of the run."""
        found = await self._request("GET", f"/flow_runs/{run_id}", not_found=f"has no run {run_id}")
        return _state_of(found)

    async def run_parameters(self, run_id: UUID) -> dict[str, JsonValue]:
        """What the run was started with, which stays readable when it has ended."""
        found = await self._request("GET", f"/flow_runs/{run_id}", not_found=f"has no run {run_id}")
        return dict(found.get("parameters") or {})

    async def runs_going_on(self, flow: str) -> dict[UUID, dict[str, JsonValue]]:
        """What the runs of that flow were started with that go on now, or wait for a worker.

        Those that a schedule begins later are not among them.
        """
        wanted: dict[str, JsonValue] = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {
                "state": {"type": {"any_": [*_STATES_GOING_ON]}},
                "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
            },
            "limit": WHOLE_RUNS_PER_REQUEST,
        }
        runs: dict[UUID, dict[str, JsonValue]] = {}
        for offset in count(0, WHOLE_RUNS_PER_REQUEST):
            body = wanted | {"offset": offset}
            found = await self._request("POST", "/flow_runs/filter", body=body)
            runs |= {UUID(run["id"]): dict(run.get("parameters") or {}) for run in found}
            if len(found) < WHOLE_RUNS_PER_REQUEST:
                break
        return runs

    async def run_states(self, run_ids: Sequence[UUID]) -> dict[UUID, RunState]:
        """The states of those of the runs that are there; at most 200 runs at a time."""
        body: dict[str, JsonValue] = {"flow_runs": _filter(run_ids), "limit": RUNS_PER_REQUEST}
        found = await self._request("POST", "/flow_runs/filter", body=body)
        return {UUID(run["id"]): _state_of(run) for run in found}

    async def count_waiting(self, run_ids: Sequence[UUID]) -> int:
        """How many of the runs wait for a worker; any number of runs costs one request."""
        waits: JsonValue = {"type": {"any_": [*_WAITING_STATES]}}
        body: dict[str, JsonValue] = {"flow_runs": _filter(run_ids) | {"state": waits}}
        return int(await self._request("POST", "/flow_runs/count", body=body))

    async def cancel_run(self, run_id: UUID, why: str) -> None:
        """Set the run to Cancelled unless it has ended. Doing so twice is harmless."""
        await self._end_run(run_id, {"type": "CANCELLED", "name": "Cancelled", "message": why})

    async def crash_run(self, run_id: UUID, why: str) -> None:
        """Set the run to Crashed unless it has ended. Doing so twice is harmless."""
        await self._end_run(run_id, {"type": "CRASHED", "name": "Crashed", "message": why})

    async def _end_run(self, run_id: UUID, state: JsonValue) -> None:
        if not (await self.run_state(run_id)).is_final:
            path = f"/flow_runs/{run_id}/set_state"
            await self._request("POST", path, body={"state": state, "force": True})

    async def work_pool_status(self, name: str) -> str:
        """READY when a worker polls the pool, else NOT_READY or PAUSED."""
        found = await self._request(
            "GET",
            f"/work_pools/{name}",
            not_found=f"has no work pool {name}",
            hint=f"Run `prefect work-pool create {name} --type anime-warm`, or start `anime up`.",
        )
        return str(found["status"])

    async def block_data(self, name: str) -> dict[str, dict[str, JsonValue]]:
        """The fields of the blocks of that name, by type; secrets as they were entered."""
        body: dict[str, JsonValue] = {
            "block_documents": {"name": {"any_": [name]}},
            "include_secrets": True,
        }
        found = await self._request("POST", "/block_documents/filter", body=body)
        return {each["block_type"]["slug"]: dict(each["data"]) for each in found}

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, JsonValue] | None = None,
        not_found: str = "does not know this address",
        hint: str = "Correct PREFECT_API_URL: it ends in /api.",
    ) -> Any:  # JSON of any shape
        try:
            answer = await self._http.request(method, f"{self.url}{path}", json=body)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                raise PrefectRefused(f"Prefect at {self.url} {not_found}.", hint)
            answer.raise_for_status()
            return answer.json()
        except httpx.HTTPStatusError as fault:
            raise self._error_of(fault.response) from fault
        except (httpx.ReadTimeout, httpx.WriteTimeout) as fault:
            raise PrefectTimedOut(
                f"Prefect at {self.url} has not answered within {TIMEOUT_SECONDS:g} s.",
                "It may be busy: try again, and see its log if that does not help.",
            ) from fault
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
            reason = reason_of(fault)
            raise PrefectUnavailable(
                f"Prefect at {self.url} does not answer: {reason}.",
                "Start it with `anime up`, or correct PREFECT_API_URL.",
            ) from fault

    def _error_of(self, answer: httpx.Response) -> PrefectUnavailable:
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return PrefectRefused(
                f"Prefect at {self.url} does not let us in ({answer.status_code}).",
                "Set PREFECT_API_AUTH_STRING to its user:password.",
            )
        kind = PrefectRefused if answer.is_client_error else PrefectUnavailable
        return kind(
            f"Prefect at {self.url} refused with {answer.status_code}: {answer.text[:300]}",
            "See the log of the Prefect server.",
        )


def is_outage(fault: BaseException | None) -> bool:
    """Whether Prefect is away or ill, by what a client raises when it has given up."""
    if isinstance(fault, httpx.HTTPStatusError):
        return fault.response.is_server_error
    return isinstance(fault, httpx.TransportError)


def _filter(run_ids: Sequence[UUID]) -> dict[str, JsonValue]:
    return {"id": {"any_": [str(run_id) for run_id in run_ids]}}


def _state_of(run: Mapping[str, Any]) -> RunState:  # JSON of Prefect
    state = run.get("state") or {}
    since = state.get("timestamp")
    return RunState(
        type=str(state.get("type", "PENDING")),
        message=str(state.get("message") or ""),
        since=datetime.fromisoformat(since) if isinstance(since, str) else None,
    )
