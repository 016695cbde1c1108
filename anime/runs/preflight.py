"""What is checked and prepared before GPU time is spent on a job."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from anime.assets.store import RESTART_SECONDS, AssetStore
from anime.assets.workflow_catalogue import in_workflows
from anime.comfyui.workflow_templates import load_template
from anime.core.assignment import LearnedCost, RenderEstimate, estimate_of
from anime.core.batches import kind_of
from anime.core.graphs import Graph
from anime.core.paths import is_recorded
from anime.core.render_kind import RenderKind, render_kind
from anime.core.workflow_build import Template, build
from anime.db.repositories import RenderCostRepository
from anime.errors import (
    AnimeError,
    ComfyUIUnreachable,
    InvalidRequest,
    PromptRejected,
    StorageTimedOut,
)
from anime.retry_policies import RECORD, TASK
from anime.runs.execution import JobExecution
from anime.runs.server_pool import PROMISING, RunServer
from anime.schemas import GenerationRequest
from anime.settings import get_settings
from tasks.preflight import (
    PreparedTemplate,
    check_services,
    prepare_template,
    upload_pictures,
    with_uploaded,
)

_COSTS_SECONDS = 5.0  # for how long the costs of a kind of renders count


@dataclass
class Preflight:
    """What the checks have found; all attempts at a job share it.

    `able` are the servers that can run it, by address; `unable` those that cannot, with the
    reason. A server in neither has not answered yet. `costs` are those of such renders.
    """

    template: Template
    request: GenerationRequest
    seed: int
    stated_need_mb: int | None
    default_need_mb: int
    able: dict[str, PreparedTemplate] = field(default_factory=dict)
    unable: dict[str, AnimeError] = field(default_factory=dict)
    costs: Mapping[str, LearnedCost] = field(default_factory=dict)

    @property
    def pinned_to(self) -> str | None:
        """The name or label of the servers that may render it; None if all may."""
        return self.request.server or self.template.binding.server

    @property
    def need_mb(self) -> int:
        """The VRAM that it needs, in MB: as stated, or as such renders have needed."""
        if self.stated_need_mb is not None:
            return self.stated_need_mb
        peaks = [cost.peak_vram_mb for cost in self.costs.values() if cost.peak_vram_mb]
        return max(peaks, default=self.default_need_mb)

    @cached_property
    def kind(self) -> RenderKind:
        """What decides how long it takes."""
        first = next(iter(self.able))
        return render_kind(self.template.name, self.graph(self.request, first, ""))

    def estimates(self, urls: Iterable[str]) -> dict[str, RenderEstimate]:
        """What the render is expected to take at each of these servers."""
        return {url: estimate_of(url, self.costs) for url in urls}

    async def uploaded_to(self, server: RunServer, library: AssetStore) -> GenerationRequest:
        """The request with the names that its pictures have at the server, once they are there."""
        pictures = self._prepared_for(server.url).pictures
        if not pictures:
            return self.request
        return with_uploaded(self.request, await upload_pictures(server.comfy, library, pictures))

    def graph(self, request: GenerationRequest, url: str, prefix: str) -> Graph:
        """The graph to submit to that server; the names of its files begin with `prefix`."""
        return build(
            self.template,
            request,
            seed=self.seed,
            filename_prefix=prefix,
            default_model=self._prepared_for(url).model,
        )

    def _prepared_for(self, url: str) -> PreparedTemplate:
        """What that server can render; of one that has the prompt and is away, as another can."""
        return self.able.get(url) or next(iter(self.able.values()))


async def run_preflight(job: JobExecution) -> Preflight:
    """The job's preflight, once the library and a server that can run it have passed their checks.

    What holds for all jobs of a batch is checked once.

    Raises:
        StorageError, ComfyUIUnreachable: library, workflows or servers are not there.
        InvalidRequest, InvalidWorkflow, PromptRejected: the request cannot be rendered.
    """
    request, block = job.request, job.blocks.comfyui
    template = await TASK.call(partial(_load, job, request.workflow_name))
    stated = (request.required_vram_mb, template.vram_mb)
    preflight = Preflight(
        template=template,
        request=request,
        seed=job.seed,
        stated_need_mb=next((each for each in stated if each is not None), None),
        default_need_mb=block.default_vram_mb,
    )
    wanted = await job.servers.wanted(preflight.pinned_to)
    promising = [each for each in wanted if each.health in PROMISING] or wanted
    await _assess(job, preflight, await job.servers.servers(promising))
    if not preflight.able:
        others = [each for each in wanted if each.url not in preflight.unable]
        await _wait_for(job, preflight, await job.servers.servers(others))
    if not preflight.able:
        raise _why_none(preflight)
    preflight.costs = await _costs_of(job, preflight.kind)
    _leave_out_small_servers(job, preflight)
    return preflight


async def _load(job: JobExecution, name: str) -> Template:
    """The workflow. Twice is harmless: it reads."""
    settings = get_settings()

    def load() -> Template:
        return load_template(name, *settings.folders_of_workflow(name, job.library.root))

    if is_recorded(name):
        return await job.library.in_thread(load)
    return await in_workflows(settings, load, seconds=RESTART_SECONDS)


async def look_at(job: JobExecution, preflight: Preflight, urls: Collection[str]) -> bool:
    """Whether one of these servers can run the job, too. One that does not answer cannot now."""
    wanted = {each.url for each in await job.servers.wanted(preflight.pinned_to)}
    known = preflight.able.keys() | preflight.unable.keys()
    servers = [await job.servers.server(url) for url in urls if url in wanted - known]
    before = len(preflight.able)
    try:
        await _assess(job, preflight, servers)
    except ComfyUIUnreachable:
        return False
    return len(preflight.able) > before


async def _wait_for(job: JobExecution, preflight: Preflight, servers: Sequence[RunServer]) -> None:
    """Assess servers that have not answered, as none of the others can run the job."""
    try:
        fault = await _assess(job, preflight, servers)
    except ComfyUIUnreachable as silence:
        fault = silence
    if fault is None or preflight.able:
        return
    if not preflight.unable:
        raise fault
    raise ComfyUIUnreachable(
        f"{fault.what} No other server can run this: {_why_none(preflight).what}", fault.todo
    ) from fault


async def _assess(
    job: JobExecution, preflight: Preflight, servers: Sequence[RunServer]
) -> ComfyUIUnreachable | None:
    """Find out which of these servers can run the job; what they lack is remembered.

    The fault of one that answered the check and nothing after it; None if all did.
    """
    await job.with_library(partial(_check_services, job, servers))
    last_fault = None
    for server in servers:
        if not server.is_checked:
            continue
        try:
            preflight.able[server.url] = await _prepared(job, preflight.template, server)
        except ComfyUIUnreachable as fault:
            server.note_check(None)
            last_fault = fault
        except InvalidRequest as fault:  # or what the server lacks
            preflight.unable[server.url] = fault
    return last_fault


async def _check_services(job: JobExecution, servers: Sequence[RunServer]) -> None:
    connections = job.connections
    async with connections.check_lock:
        # One that does not answer is asked again in a while, or at once if there is no other.
        has_answer = any(each.is_checked for each in servers)
        asked = {
            each.url: each
            for each in servers
            if not (each.is_known if has_answer else each.is_checked)
        }
        if connections.is_checked and connections.silence is not None:
            raise connections.silence  # the jobs of a batch wait for it together
        if connections.is_checked and not asked:
            return
        try:
            found = await check_services(
                None if connections.is_checked else connections.library,
                {url: each.comfy for url, each in asked.items()},
                connections.blocks.comfyui,
                reporter=job.reporter,
            )
        except StorageTimedOut as fault:
            connections.silence, connections.checked_at = fault, time.monotonic()
            raise
        connections.silence = None
        for url, check in found.items():
            asked[url].note_check(check)
        connections.checked_at = time.monotonic()


async def _prepared(job: JobExecution, template: Template, server: RunServer) -> PreparedTemplate:
    kind = kind_of(job.request)
    async with server.lock:
        if kind in server.refused:
            raise server.refused[kind]
        if kind not in server.prepared:
            try:
                prepare = partial(
                    prepare_template,
                    server.comfy,
                    template,
                    job.request,
                    library=job.library,
                    default_model=job.blocks.comfyui.default_model,
                    node_class_policy=get_settings().node_class_policy,
                )
                server.prepared[kind] = await TASK.call(prepare)
            except InvalidRequest as fault:
                server.refused[kind] = fault
                raise
    return server.prepared[kind]


async def _costs_of(job: JobExecution, kind: RenderKind) -> Mapping[str, LearnedCost]:
    """What such renders have cost; the jobs of a batch read it together, every few seconds."""

    async def read() -> Mapping[str, LearnedCost]:
        async with job.database.autocommit() as session:
            return await RenderCostRepository(session).of(kind)

    known, now = job.connections.costs, time.monotonic()
    if kind not in known or now - known[kind][0] > _COSTS_SECONDS:
        known[kind] = now, await RECORD.call(read)
    return known[kind][1]


def _leave_out_small_servers(job: JobExecution, preflight: Preflight) -> None:
    """Leave out servers whose card is too small, if another one's is not."""
    need = preflight.need_mb
    fitting = {
        url: prepared
        for url, prepared in preflight.able.items()
        if (total := job.servers.vram_total_mb(url)) is None or total >= need
    }
    if fitting:
        preflight.able = fitting


def _why_none(preflight: Preflight) -> AnimeError:
    """Why no server can run it: the first one's reason, of several also how many there are."""
    first = next(iter(preflight.unable.values()))
    if len(preflight.unable) == 1 or not isinstance(first, PromptRejected):
        return first
    return PromptRejected(
        f"None of {len(preflight.unable)} servers can run this. {first.what}",
        first.todo,
        problems=first.problems,
    )
