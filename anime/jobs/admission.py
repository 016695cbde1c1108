"""Admission: a request that can be rendered, and has room in the queue, is inserted as a job."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from anime.assets.composer import Composer, may_change
from anime.assets.folder_reader import ANSWER_SECONDS, FolderReader
from anime.assets.store import reading_faults
from anime.assets.workflow_catalogue import in_workflows
from anime.comfyui.workflow_templates import load_template
from anime.core.batches import kind_of
from anime.core.composition.equal_takes import refuse_equal_takes
from anime.core.composition.record import Composition
from anime.core.labels import label_of
from anime.core.paths import is_recorded
from anime.core.workflow_build import Template, build
from anime.db.repositories import DispatchRepository, JobRepository, NewJob
from anime.db.session import Database
from anime.errors import AnimeError, InvalidRequest, KeyReused, NotFound, QueueFull
from anime.net.tracing import current_traceparent
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import Settings
from anime.webhooks.policy import check_webhook

COUNT_SECONDS = 1.0  # how long a count is used; jobs admitted meanwhile are added to it


class QueueLimit:
    """Admits a new job while fewer than `max_waiting` wait; each process counts for itself.

    The jobs of batches are not counted: a batch is one request, its renders go after what
    people wait for, and a thousand frames for the night must not block all others.
    """

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self._waiting = 0
        self._counted_at: float | None = None  # by time.monotonic()
        self._counting = asyncio.Lock()

    def reserve(self) -> float | None:
        """Count one more job, if there is room by the last count; when that was made, or None."""
        if self._is_outdated or self._waiting >= self.max_waiting:
            return None
        self._waiting += 1
        return self._counted_at

    def release(self, counted_at: float) -> None:
        """Count a job no longer: nothing was inserted, which a later count has seen by itself."""
        if counted_at == self._counted_at:
            self._waiting -= 1

    @property
    def _is_outdated(self) -> bool:
        return self._counted_at is None or time.monotonic() - self._counted_at >= COUNT_SECONDS

    async def admit(self, session: AsyncSession) -> float:
        """Count the job that this session has just inserted; when the last count was made.

        Raises:
            QueueFull: there is no room for it; the transaction must be rolled back.
        """
        async with self._counting:  # others have inserted theirs meanwhile, which none else sees
            if self._counted_at is None or self._is_outdated:
                self._waiting = await DispatchRepository(session).waiting(self.max_waiting + 1)
                self._counted_at = time.monotonic()
            else:
                self._waiting += 1
            if self._waiting > self.max_waiting:
                self._waiting -= 1
                raise QueueFull(
                    f"{self.max_waiting} jobs wait for their turn already.",
                    "Send the request again in a while, or raise ANIME_QUEUE_LIMIT.",
                )
            return self._counted_at


@dataclass(frozen=True, slots=True)
class Admission:
    """Checks requests and inserts their jobs."""

    settings: Settings
    database: Database
    limit: QueueLimit
    library: FolderReader

    async def check(
        self, request: GenerationRequest, *, job_id: UUID | None = None
    ) -> Composition | None:
        """What is rendered for the request, if that is not the request as it is given.

        No server is asked. What a job was accepted for before passes under its id: what it needs
        may be gone meanwhile.

        Raises:
            InvalidRequest: the workflow is missing or broken, cannot take these values, or uses
                a node class that is not allowed; or the webhook could not be sent; or what it is
                composed to cannot be rendered.
            KeyReused: and that job has another request.
        """
        try:
            return await self._checked(request)
        except AnimeError:
            if job_id is None or await self.known(request, job_id) is None:
                raise
            return None

    async def known(self, request: GenerationRequest, job_id: UUID) -> JobSnapshot | None:
        """The job with that id as it is now; None if it is to be inserted yet.

        Raises:
            KeyReused: it has another request.
        """
        with suppress(NotFound):
            async with self.database.session_scope() as session:
                return await _same_job(JobRepository(session), job_id, request)
        return None

    async def _checked(self, request: GenerationRequest) -> Composition | None:
        check_webhook(request, self.settings)
        composition = await self._composition(request)
        await self.check_graph(composition.request if composition else request)
        return composition

    async def check_all(
        self,
        requests: Sequence[GenerationRequest],
        compositions: Sequence[Composition | None] | None = None,
    ) -> None:
        """Make sure of the same for the requests of a batch, which are composed unless they were.

        Takes that would be one picture are refused, too.
        """
        for request in requests:
            check_webhook(request, self.settings)
        if compositions is None:
            compositions = await self.compose_all(requests)
        composed = [each for each in compositions if each is not None]
        await self._check_references(composed)
        if faults := await self.faults(requests, compositions):
            (first, *_), fault = faults[0]
            others = sum(len(places) for places, _ in faults) - 1
            more = f" {others:,} more cannot be rendered either." if others else ""
            named = label_of(requests[first]).name
            raise type(fault)(f"{named}: {fault.what}{more}", fault.todo) from fault
        refuse_equal_takes(zip(requests, compositions, strict=True))

    async def faults(
        self, requests: Sequence[GenerationRequest], compositions: Sequence[Composition | None]
    ) -> list[tuple[list[int], InvalidRequest]]:
        """Why some cannot be rendered as they are composed, each reason with their places.

        The workflow is checked once for those of one kind.
        """
        faults: list[tuple[list[int], InvalidRequest]] = []
        kinds: defaultdict[str, list[int]] = defaultdict(list)
        rendered = [
            made.request if made else asked
            for asked, made in zip(requests, compositions, strict=True)
        ]
        for place, composition in enumerate(compositions):
            if composition is not None and composition.refused:
                faults.append(([place], InvalidRequest(composition.refused, "")))
            else:
                kinds[kind_of(rendered[place])].append(place)
        for places in kinds.values():
            try:
                await self.check_graph(rendered[places[0]])
            except InvalidRequest as fault:
                faults.append((places, fault))
        return faults

    async def compose_all(self, requests: Sequence[GenerationRequest]) -> list[Composition | None]:
        """What is rendered for each, unchecked; None where it is the request as it is given."""
        if not any(map(may_change, requests)):
            return [None] * len(requests)
        async with self.database.autocommit() as session:
            return await self.composer.compose_all(session, requests)

    async def compose(self, request: GenerationRequest) -> Composition:
        """What is rendered for the request, as it would be composed now.

        Raises:
            InvalidRequest: see `check`.
        """
        async with self.database.autocommit() as session:
            composition = await self.composer.compose(session, request)
        await self._check_references([composition])
        await self.check_graph(composition.request)
        return composition

    async def _composition(self, request: GenerationRequest) -> Composition | None:
        """What is rendered for the request; None if it is the request as it is given."""
        if not may_change(request):
            return None
        async with self.database.autocommit() as session:
            composition = await self.composer.changed(session, request)
        if composition is not None:
            await self._check_references([composition])
        return composition

    async def _check_references(self, compositions: Sequence[Composition]) -> None:
        """Make sure that the characters' pictures are still there, where the library is."""
        pictures: dict[str, str] = {}
        for composition in compositions:
            pictures |= composition.reference_paths
        if pictures:
            gone = await self.library.run(partial(self._gone, pictures), seconds=ANSWER_SECONDS)
            if gone is not None:
                raise InvalidRequest(
                    f"{gone} of {pictures[gone]} is no longer in the library"
                    f" {self.settings.library}.",
                    "Restore it there, or add a version of the character without it.",
                )

    def _gone(self, pictures: Collection[str]) -> str | None:
        """The first picture that is not there, in a library that is there."""
        library = self.settings.library
        with reading_faults(library):
            gone = next((each for each in pictures if not (library / each).is_file()), None)
            return gone if gone is not None and library.is_dir() else None

    async def check_graph(self, request: GenerationRequest) -> None:
        """Make sure that the workflow can take a request as it is composed.

        Raises:
            InvalidRequest: it is missing or broken, cannot take these values, or uses a node class
                that is not allowed.
        """
        template = await self.template_of(request)
        graph = build(template, request, seed=request.seed or 0, filename_prefix="")
        self.settings.node_class_policy.check(graph)

    @property
    def composer(self) -> Composer:
        """What composes by the settings."""
        return Composer(self.settings)

    async def template_of(self, request: GenerationRequest) -> Template:
        """The workflow of a request.

        Raises:
            InvalidWorkflow: it is missing or broken.
            StorageUnavailable: its disk does not answer.
        """
        name = request.workflow_name
        load = partial(load_template, name, *self.settings.folders_of_workflow(name))
        if is_recorded(name):  # it is in the library
            return await self.library.run(load, seconds=ANSWER_SECONDS)
        return await in_workflows(self.settings, load)

    async def admit(self, request: GenerationRequest, *, job_id: UUID | None = None) -> JobSnapshot:
        """The job, inserted in one transaction.

        The same `job_id` with the same request again is the same job, as it is now.

        Raises:
            InvalidRequest: see `check`.
            KeyReused: that job has another request.
            QueueFull: too many wait; nothing is inserted.
            DatabaseUnavailable: nothing is inserted.
        """
        composition = await self.check(request, job_id=job_id)
        job_id = job_id or uuid4()
        job = NewJob.of(job_id, request, composition=composition, traceparent=current_traceparent())
        counted_at = self.limit.reserve() if job.is_one_statement else None
        scope = self.database.session_scope if counted_at is None else self.database.autocommit
        inserted = None
        try:
            async with scope() as session:
                new = await JobRepository(session).insert(job_id, job)
                if new is not None and counted_at is None:
                    counted_at = await self.limit.admit(session)
            inserted = new
        finally:
            if counted_at is not None and inserted is None:
                self.limit.release(counted_at)
        if inserted is not None:
            return inserted
        async with self.database.autocommit() as session:
            return await _same_job(JobRepository(session), job_id, request)


async def _same_job(jobs: JobRepository, job_id: UUID, request: GenerationRequest) -> JobSnapshot:
    """The job as it is now, if it has that request. Raises NotFound or KeyReused."""
    if await jobs.request_of(job_id) != request:
        raise KeyReused(
            f"Job {job_id} was asked for with another request.",
            "Take a new key for a new request, or repeat the first one unchanged.",
        )
    return await jobs.get(job_id)
