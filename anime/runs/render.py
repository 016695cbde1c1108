"""Rendering a job after its preflight: one attempt after another, wherever a server can."""

import logging
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from anime.assets.render_result import RenderResult
from anime.comfyui.event_sockets import event_sockets
from anime.comfyui.models import HistoryEntry
from anime.core.graph_facts import workflow_hash
from anime.core.graphs import Graph
from anime.core.ids import prompt_id_of
from anime.core.job_status import JobStatus, Stage
from anime.core.paths import filename_prefix
from anime.core.png_metadata import FileStamp, to_pnginfo
from anime.core.prompt_state import Absent, Finished, RenderPoint
from anime.core.recovery import (
    Adopt,
    Decision,
    FailurePolicy,
    FilesView,
    Follow,
    LeaseView,
    Move,
    NextAttempt,
    NextServer,
    PromptView,
    QuarantineJob,
    RecoverableJob,
    RunView,
    ServersView,
    decide,
)
from anime.core.render_kind import RenderKind
from anime.db.repositories import Slot, SlotRequest
from anime.errors import (
    ComfyUIError,
    ComfyUIRefused,
    ComfyUIUnreachable,
    GpuFault,
    InsufficientVram,
    OutOfVram,
    PromptInterrupted,
    PromptLost,
    PromptQuarantined,
    ServerIdle,
)
from anime.jobs.dispatcher import is_interactive
from anime.net.tracing import current_trace_id
from anime.runs.adoption import result_from_files
from anime.runs.execution import JobExecution
from anime.runs.preflight import Preflight, look_at
from anime.runs.server_pool import RunServer
from tasks.comfyui import poll_completion, submit
from tasks.files import OrganisedOutputs, organise
from tasks.preflight import check_services
from tasks.records import begin_attempt, check_lease, client_of
from tasks.render_records import latch_server, leave_server, note_decision, note_render
from tasks.slots import hold_slot
from tasks.vram import check_vram, held_mb

_log = logging.getLogger(__name__)

_DEAD_SECONDS = 10.0  # nobody listens at a server's port for so long: others go on
_MEASURED_RENDERS = 3  # whose VRAM is measured: such renders hold the same
_VIEWS = {  # of a prompt, by the error with which an attempt has ended
    PromptLost: PromptView.ABSENT,
    PromptInterrupted: PromptView.INTERRUPTED,
    OutOfVram: PromptView.OUT_OF_MEMORY,
    InsufficientVram: PromptView.FULL,
    GpuFault: PromptView.GPU_FAULT,
    ServerIdle: PromptView.IDLE,
    ComfyUIRefused: PromptView.DEAD,
    ComfyUIUnreachable: PromptView.SILENT,
}


async def render_files(
    job: JobExecution, preflight: Preflight
) -> tuple[RenderResult, OrganisedOutputs]:
    """The result of the attempt that came off, and its files in the library.

    Raises:
        ComfyUIError: it failed, and no other attempt can help: see `anime.core.recovery`.
    """
    attempts = _Attempts(job, preflight)
    while True:
        try:
            await attempts.look_for_prompt()
            return await attempts.render()
        except ComfyUIError as fault:
            # Cancelling the job also stops its prompt, and may be quicker than the heartbeat.
            await check_lease(
                job.database, job.lease, lease_seconds=job.blocks.database.lease_seconds
            )
            await attempts.after(fault)


class _Attempts:
    """The attempts at one job: which is next, and at which servers it may be made."""

    def __init__(self, job: JobExecution, preflight: Preflight) -> None:
        self._job, self._preflight = job, preflight
        self._number = job.lease.attempt
        self._avoided = list(job.lease.avoided_servers)
        self._sent_to = job.lease.comfyui_url if job.lease.prompt_id else None
        self._bound_to: str | None = None
        self._only: frozenset[str] | None = None
        self._server: RunServer | None = None
        self._adopted: RenderResult | None = None
        self._freed: set[str] = set()
        self._deaths: list[RenderPoint] = []  # of servers in this run, while they rendered it

    @property
    def _lost(self) -> int:
        """How many attempts were no moves, with the current one, since it was last requeued."""
        return max(1, self._number - self._job.lease.attempts_before - len(self._avoided))

    async def look_for_prompt(self) -> None:
        """Go on with what an earlier run has sent, unless its server has lost it altogether."""
        url, self._sent_to = self._sent_to, None
        if url is None:
            return
        server = self._server = await self._job.servers.server(url)
        prompt = await self._prompt_at(server)
        match await self._decide(server, prompt):
            case Follow():
                self._bound_to = url
            case NextAttempt():
                self._number += 1
            # Fail: an attempt that nobody knows of was perhaps never sent, so it is made now.

    async def _prompt_at(self, server: RunServer) -> PromptView:
        """What the server knows of the current attempt's prompt."""
        was_requeued = self._number <= self._job.lease.attempts_before
        try:
            sighting = await server.comfy.find(prompt_id_of(self._job.job_id, self._number))
        except ComfyUIUnreachable:
            # What follows waits for it, or finds that it is dead.
            return PromptView.FAILED if was_requeued else PromptView.KNOWN
        if isinstance(sighting, Absent):
            return PromptView.ABSENT
        has_failed = isinstance(sighting, Finished) and not sighting.entry.succeeded
        return PromptView.FAILED if was_requeued and has_failed else PromptView.KNOWN

    async def _decide(self, server: RunServer, prompt: PromptView) -> Decision:
        """What is to become of the current attempt; `_adopted` is set if its files are there."""
        job, block, files = self._job, self._job.blocks.comfyui, FilesView.UNASKED
        if prompt is PromptView.ABSENT:
            self._adopted = await result_from_files(job, self._preflight, server, self._number)
            files = FilesView.WHOLE if self._adopted else FilesView.NONE
        decision = decide(
            RecoverableJob(JobStatus.PROCESSING, attempt=self._lost, moves=len(self._avoided)),
            LeaseView.LIVE,
            RunView.UNDER_WAY,
            prompt,
            files,
            self._view_of_servers(server),
            FailurePolicy(block.max_attempts, block.max_server_deaths, block.silent_server_policy),
        )
        if not isinstance(decision, Follow):
            _log.info("Job %s: %s", job.job_id, decision.why)
        if isinstance(decision, Adopt):
            await note_decision(job.database, job.job_id, decision.why)
        return decision

    def _view_of_servers(self, server: RunServer) -> ServersView:
        return ServersView(
            others=bool(self._preflight.able.keys() - {server.url}),
            larger=bool(self._larger_than(server)),
            was_freed=server.url in self._freed,
            deaths=self._job.lease.servers_killed + len(self._deaths),
            alike_deaths=sum(point.is_near(self._deaths[-1]) for point in self._deaths),
        )

    async def render(self) -> tuple[RenderResult, OrganisedOutputs]:
        """The result of the current attempt, and its files in the library."""
        job = self._job
        adopted, self._adopted = self._adopted, None
        if adopted is not None and self._server is not None:
            return await self._taken_in(adopted, self._server, kind=None)
        self._server = None
        job.reporter.begin(self._number)
        request = self._slot_request()
        async with hold_slot(
            job.database,
            request,
            job.blocks.comfyui.in_flight,
            job.reporter,
            reconsider=self._reconsider,
            away_seconds=job.blocks.comfyui.unreachable_timeout_seconds,
        ) as slot:
            server = self._server = await job.servers.server(slot.held_at)
            if self._was_sent_elsewhere(server):
                self._number += 1
                job.reporter.begin(self._number)
            result = await self._render_at(server, slot)
        kind = None if request.bound_to else self._preflight.kind
        return await self._taken_in(result, server, kind=kind, had_model=slot.holds_model)

    def _was_sent_elsewhere(self, server: RunServer) -> bool:
        """Whether an earlier run has sent the current attempt to another server, by its row.

        None of its prompt is known there; still, an id is never sent to two.
        """
        lease = self._job.lease
        was_sent = lease.prompt_id is not None and lease.attempt == self._number
        return was_sent and lease.comfyui_url != server.url

    async def _taken_in(
        self,
        result: RenderResult,
        server: RunServer,
        *,
        kind: RenderKind | None,
        had_model: bool = False,
    ) -> tuple[RenderResult, OrganisedOutputs]:
        """The result, with its files in the library; what it has cost is learned for its kind."""
        job = self._job
        await note_render(
            job.database,
            result.prompt_id,
            server=server.url,
            kind=kind,
            seconds=_seconds_of(result.entry),
            had_model=had_model,
            peak_vram_mb=None if kind is None else await self._measure(server),
        )
        place = partial(
            organise,
            server.comfy,
            job.library,
            result,
            output_folder=job.connections.output_folder,
            zone=job.blocks.library.zone,
            file_prefix=job.file_prefix,
            reporter=job.reporter,
        )
        return result, await job.with_library(place)

    async def after(self, fault: ComfyUIError) -> None:
        """Prepare the next attempt, or raise the fault if there is to be none.

        Raises:
            PromptQuarantined: servers have died of the prompt.
        """
        job, server, view = self._job, self._server, _VIEWS.get(type(fault))
        if view is None or server is None or not getattr(fault, "can_fit_later", True):
            raise fault
        if isinstance(fault, GpuFault):
            await latch_server(job.database, server.url, fault.what)
        if point := _point_of_death(fault):
            self._deaths.append(point)
        decision = await self._decide(server, view)
        if isinstance(decision, NextAttempt | QuarantineJob):
            await self._leave(server, fault, decision)
        match decision:
            case Adopt():
                return
            case NextAttempt():
                await self._prepare(server, fault, decision)
            case QuarantineJob():
                raise PromptQuarantined(
                    f"{decision.why} {fault.what}",
                    "Find out why; then `anime requeue` renders it again.",
                ) from fault
            case _:
                raise fault

    async def _leave(self, server: RunServer, fault: ComfyUIError, decision: Decision) -> None:
        """Record what was decided, and what is known of the prompt at its server."""
        is_away = isinstance(fault, ComfyUIUnreachable)
        await leave_server(
            self._job.database,
            self._job.lease,
            server.url,
            why=f"{fault.what} {decision.why}",
            avoids=isinstance(decision, Move),
            was_killed=_point_of_death(fault) is not None,
            ended_prompt=None if is_away else prompt_id_of(self._job.job_id, self._number),
        )

    async def _prepare(self, server: RunServer, fault: ComfyUIError, decision: NextAttempt) -> None:
        self._bound_to, self._only = None, None
        if decision.server is NextServer.SAME:
            self._freed.add(server.url)
            self._only = frozenset({server.url})
            with suppress(ComfyUIError):  # the next check of its VRAM says what it needs
                await server.comfy.free()
        elif decision.server is NextServer.LARGER:
            self._only = frozenset(self._larger_than(server))
        if isinstance(decision, Move):
            self._avoided.append(server.url)
            server.note_check(None)
        self._number += 1
        why = f"{fault.what} {decision.why}"
        _log.warning("%s", why)
        await self._job.reporter.enter(Stage.SUBMITTING, why)

    def _larger_than(self, server: RunServer) -> list[str]:
        """The servers that can run the job and have more memory."""
        total = self._job.servers.vram_total_mb
        mine = total(server.url) or 0
        return [url for url in self._preflight.able if (total(url) or 0) > mine > 0]

    def _slot_request(self) -> SlotRequest:
        bound = self._bound_to
        return SlotRequest(
            job_id=self._job.job_id,
            fence=self._job.lease.fence,
            is_interactive=is_interactive(self._job.request.priority),
            estimates=self._preflight.estimates([bound] if bound else self._candidates()),
            model=self._preflight.kind.model,
            bound_to=bound,
        )

    def _candidates(self) -> set[str]:
        """The servers that may get it: one that failed it only if there is no other."""
        able = set(self._preflight.able)
        if self._only is not None:
            return able & self._only or able
        latest = set(self._avoided[-1:])
        return able - set(self._avoided) or able - latest or able

    async def _reconsider(self, slot: Slot, request: SlotRequest) -> SlotRequest:
        """The request with those servers that have come, or come back, and can run the job.

        One that was to try once more is not waited for while it is given nothing, such as one that
        is drained or dead by now.
        """
        if self._only and self._only <= self._freed - slot.open_servers:
            self._only = None
            return self._slot_request()
        if request.bound_to or self._only:
            return request
        if not await look_at(self._job, self._preflight, slot.open_servers):
            return request
        return self._slot_request()

    async def _render_at(self, server: RunServer, slot: Slot) -> RenderResult:
        """The result of the current attempt at that server, where the job holds a slot."""
        job, preflight, number = self._job, self._preflight, self._number
        if self._bound_to is None:
            await self._check_vram(server)
        request = await preflight.uploaded_to(server, job.library)
        prompt_id = prompt_id_of(job.job_id, number)
        graph = preflight.graph(request, server.url, filename_prefix(job.job_id, number))
        submitted_at = datetime.now(UTC)
        entry = await self._rendered(server, graph, prompt_id, slot.reason)
        return RenderResult(
            job_id=job.job_id,
            request=request,
            seed=preflight.seed,
            attempt=number,
            prompt_id=prompt_id,
            graph=graph,
            entry=entry,
            comfyui_url=server.url,
            comfyui_version=server.version,
            device=server.device,
            submitted_at=submitted_at,
            output_node=preflight.template.output_node,
        )

    async def _check_vram(self, server: RunServer) -> None:
        """Raises as `check_vram`; a server that nobody can stand in for is waited for before."""
        block, reporter = self._job.blocks.comfyui, self._job.reporter
        check = partial(check_vram, server.comfy, block, self._preflight.need_mb, reporter=reporter)
        try:
            await check()
        except ComfyUIUnreachable:
            if self._preflight.able.keys() - {server.url}:
                raise
            await check_services(None, {server.url: server.comfy}, block, reporter=reporter)
            await check()

    async def _rendered(
        self, server: RunServer, graph: Graph, prompt_id: UUID, reason: str
    ) -> HistoryEntry:
        """How the attempt has ended at that server, once it has succeeded.

        A prompt that by the job's row nobody has sent is not looked for before it is sent, and
        what happens to it is heard from its beginning. A run that dies in between leaves its id in
        the row: the next one looks.
        """
        job, number = self._job, self._number
        is_new = number > job.lease.attempt or job.lease.prompt_id is None
        client_id = (
            event_sockets().client_id if is_new else await client_of(job.database, prompt_id)
        )
        async with server.comfy.listening(client_id, prompt_id) as listener:
            await begin_attempt(
                job.database,
                job.lease,
                attempt=number,
                prompt_id=prompt_id,
                comfyui_url=server.url,
                client_id=client_id,
                reason=reason,
            )
            job.server_url = server.url
            has_heard_all = is_new and await listener.wait_until_up()
            await submit(
                server.comfy,
                graph,
                prompt_id=prompt_id,
                client_id=client_id,
                pnginfo=to_pnginfo(_stamp(job, graph, number)),
                reporter=job.reporter,
                is_new=is_new,
            )
            return await poll_completion(
                server.comfy,
                job.blocks.comfyui,
                graph,
                prompt_id=prompt_id,
                listener=listener,
                has_heard_all=has_heard_all,
                refused_seconds=_DEAD_SECONDS if len(self._preflight.able) > 1 else None,
                reporter=job.reporter,
            )

    async def _measure(self, server: RunServer) -> int | None:
        """What the server holds of its card after the render, in MB, while that is still news."""
        cost = self._preflight.costs.get(server.url)
        return None if cost and cost.renders >= _MEASURED_RENDERS else await held_mb(server.comfy)


def _point_of_death(fault: ComfyUIError) -> RenderPoint | None:
    """How far the prompt was when its server died; None if it did not, or did not render it."""
    return fault.died_at if isinstance(fault, ComfyUIRefused | PromptLost) else None


def _seconds_of(entry: HistoryEntry) -> float | None:
    """How long the server took, by its own word."""
    if entry.started_ms is None or entry.ended_ms is None:
        return None
    return max(0, entry.ended_ms - entry.started_ms) / 1000


def _stamp(job: JobExecution, graph: Graph, attempt: int) -> FileStamp:
    """The stamp that goes into the picture itself."""
    return FileStamp(
        job_id=job.job_id,
        project=job.request.project,
        character=job.request.first_character,
        characters=tuple(job.request.named_characters),
        shot=job.request.shot,
        prompt=job.request.prompt,
        negative_prompt=job.request.negative_prompt,
        seed=str(job.seed),
        workflow=job.request.workflow_name,
        workflow_sha256=workflow_hash(graph),
        attempt=attempt,
        trace_id=current_trace_id(),
    )
