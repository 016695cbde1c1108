"""Runs in Prefect for jobs that are written down: ordered at once, or behind the answer."""

import asyncio
import logging
import time
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import UUID

from pydantic import ValidationError

from anime.core.job_status import FailureKind, JobStatus
from anime.core.run_labels import label_of
from anime.db.repositories import JobRepository, Order, OrderRepository
from anime.db.session import Database
from anime.errors import AnimeError, InvalidRequest, LeaseLost, PrefectUnavailable
from anime.prefect_api import PrefectApi
from anime.progress import ProgressPublisher
from anime.schemas import GenerationRequest
from anime.settings import Settings

DEPLOYMENT = "generate/generate"
INTERACTIVE_FROM = 50  # priority from which somebody is taken to be waiting
MOST_IN_MIND = 1000  # orders; what is beyond is found in the database by the reconciler
BURST_ORDERS = 4  # that wait: more than people at their desks send in the same moment
BURST_SECONDS = 0.1  # so long after a request the next is taken to be on its way
REST_SHARE = 3.0  # in a burst: how much longer than placing an order the pause after it is
MOST_REST_SECONDS = 0.5
_GOODBYE_SECONDS = 3.0

_log = logging.getLogger(__name__)


def is_interactive(priority: int) -> bool:
    """Whether somebody waits for a job of that priority."""
    return priority >= INTERACTIVE_FROM


class RunOrders:
    """Orders runs over one connection that stays open. To be used in `async with`.

    An order may be lost here at any moment: its job's row has no run then, and the reconciler
    orders it. It may also come twice: Prefect knows it by its key.
    """

    def __init__(
        self, settings: Settings, database: Database, publisher: ProgressPublisher
    ) -> None:
        self._settings = settings
        self._database = database
        self._publisher = publisher
        self._api: PrefectApi | None = None
        self._deployment: UUID | None = None
        self._in_mind: asyncio.Queue[Order] = asyncio.Queue(MOST_IN_MIND)
        self._last_came_at = 0.0  # by time.monotonic()
        self.has_lost_some = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._api is not None:
            await self._api.__aexit__(kind, error, trace)

    @property
    def api(self) -> PrefectApi:
        """The Prefect server.

        Raises:
            PrefectUnavailable: none is known.
        """
        if self._api is None:
            self._api = PrefectApi.from_settings(self._settings)
        return self._api

    @property
    def is_busy(self) -> bool:
        """Whether orders are left that were to be placed soon."""
        return not self._in_mind.empty()

    async def look(self) -> None:
        """Make sure that Prefect could take an order now.

        Raises:
            PrefectUnavailable: it could not.
        """
        self._deployment = await self.api.deployment_id(DEPLOYMENT)

    def soon(self, order: Order) -> None:
        """Place the order behind the caller's back."""
        self._last_came_at = time.monotonic()
        try:
            self._in_mind.put_nowait(order)
        except asyncio.QueueFull:
            self.has_lost_some.set()

    async def place(self, order: Order) -> UUID | None:
        """The id of the order's run; None when the job can never run, which its row says then.

        Raises:
            PrefectUnavailable: there is no run yet.
            DatabaseUnavailable: there is one, which is not written down.
        """
        try:
            request = order.request
        except ValidationError as fault:
            await self._fail(order, fault)
            return None
        run_id = await self._start(order, request)
        await self._publisher.ring(self._settings.work_pool)
        async with self._database.session_scope() as session:
            status = await OrderRepository(session).remember_run(order, run_id)
        if status is JobStatus.CANCELLED:
            await self.api.cancel_run(run_id, "Its job was cancelled.")
        return run_id

    async def work(self) -> None:
        """Place what was ordered soon, until cancelled.

        With a rest after each while requests come in: a run costs
        Prefect several times what its answer costs us. The first of a burst goes at once, and what
        is placed meanwhile is still more than a GPU renders.
        """
        while True:
            order = await self._in_mind.get()
            began = time.monotonic()
            try:
                await self.place(order)
            except AnimeError as fault:
                _log.warning("Job %s stays queued, it has no run yet: %s", order.job_id, fault)
                self._forget_all()
            finally:
                self._in_mind.task_done()
            await self._rest(time.monotonic() - began)

    async def _rest(self, placing_seconds: float) -> None:
        """Wait, after an order that took so long, if a burst of requests is coming in."""
        is_coming = time.monotonic() - self._last_came_at < BURST_SECONDS
        if is_coming and self._in_mind.qsize() >= BURST_ORDERS:
            await asyncio.sleep(min(REST_SHARE * placing_seconds, MOST_REST_SECONDS))

    async def finish(self) -> None:
        """Wait a moment for what is left to be placed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._in_mind.join()

    def _forget_all(self) -> None:
        """Leave what is left to the reconciler, which tries less and less often."""
        while not self._in_mind.empty():
            self._in_mind.get_nowait()
            self._in_mind.task_done()
        self.has_lost_some.set()

    async def _start(self, order: Order, request: GenerationRequest) -> UUID:
        try:
            return await self._start_at(await self._deployment_id(), order, request)
        except PrefectUnavailable:
            if self._deployment is None:
                raise
        # What we knew may be old: the deployment was made anew, the server closed the connection.
        self._deployment = None
        return await self._start_at(await self._deployment_id(), order, request)

    async def _deployment_id(self) -> UUID:
        if self._deployment is None:
            self._deployment = await self.api.deployment_id(DEPLOYMENT)
        return self._deployment

    async def _start_at(self, deployment: UUID, order: Order, request: GenerationRequest) -> UUID:
        # The job's row knows whom to tell; such an address is not for all who look at runs.
        fields = request.model_dump(mode="json", exclude_defaults=True, exclude={"webhook_url"})
        return await self.api.start_run(
            deployment,
            fields | {"job_id": str(order.job_id)},
            key=order.key,
            queue="interactive" if is_interactive(request.priority) else "batch",
            label=label_of(request),
        )

    async def _fail(self, order: Order, fault: ValidationError) -> None:
        error = InvalidRequest(
            f"The request cannot be read: {fault.errors()[0]['msg']}.", "Generate it anew."
        )
        with suppress(LeaseLost):  # somebody can read it after all
            async with self._database.session_scope() as session:
                jobs = JobRepository(session)
                await jobs.fail_unleased(order.job_id, FailureKind.INVALID_WORKFLOW, str(error))
