"""From a request to a finished render: a plan, then one attempt after another."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from anime.core.graph_facts import workflow_hash
from anime.core.graphs import Graph
from anime.core.ids import prompt_id_of
from anime.core.paths import INPUTS_FOLDER, filename_prefix
from anime.core.png_metadata import TakeStamp, to_pnginfo
from anime.core.run_state import Absent
from anime.core.workflows import Template, build
from anime.errors import InvalidRequest, PromptLost
from anime.schemas import GenerationRequest
from anime.settings import get_settings
from anime.take import Take
from anime.templates import load_template
from flows.job_run import JobRun
from tasks.comfyui import (
    check_against_server,
    find_checkpoint,
    poll_completion,
    submit,
    upload_inputs,
)
from tasks.records import begin_attempt

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What all attempts at a job share."""

    template: Template
    request: GenerationRequest
    seed: int
    model: str | None
    need_mb: int

    def graph(self, prefix: str) -> Graph:
        """The graph to send, whose files get names that begin with `prefix`."""
        return build(
            self.template,
            self.request,
            seed=self.seed,
            filename_prefix=prefix,
            default_model=self.model,
        )


async def prepare(job: JobRun) -> Plan:
    """A plan that the server is able to run: input pictures uploaded, every name checked.

    Raises:
        InvalidRequest, InvalidWorkflow, PromptRejected: what was asked for cannot be rendered.
    """
    server = job.studio.comfyui
    template = load_template(job.request.workflow_name, get_settings().workflows_dir)
    uploaded = await upload_inputs(job.comfy, _pictures_of(job.request, job.library.root))
    plan = Plan(
        template=template,
        request=job.request.model_copy(update={"inputs": job.request.inputs | uploaded}),
        seed=job.seed,
        model=await find_checkpoint(job.comfy, template, job.request, server.default_model),
        need_mb=_first_set(job.request.required_vram_mb, template.vram_mb, server.default_vram_mb),
    )
    await check_against_server(job.comfy, plan.graph(filename_prefix(job.job_id, 1)))
    return plan


async def render(job: JobRun, plan: Plan) -> Take:
    """The take of the first attempt that the server does not lose.

    Raises:
        PromptLost: the server lost the prompt as often as it may.
        ComfyUIError: it failed; see `poll_completion`.
    """
    attempt = await _attempt_to_go_on_with(job)
    while True:
        try:
            return await _render_once(job, plan, attempt)
        except PromptLost as loss:
            if attempt >= job.studio.comfyui.max_attempts:
                raise
            attempt += 1
            _log.warning("%s Sending it again, as attempt %d.", loss.what, attempt)


async def _attempt_to_go_on_with(job: JobRun) -> int:
    """The attempt an earlier run began, or the next when the server has no trace of it."""
    lease = job.held
    if lease.prompt_id is None or not isinstance(await job.comfy.find(lease.prompt_id), Absent):
        return lease.attempt
    return min(lease.attempt + 1, job.studio.comfyui.max_attempts)


async def _render_once(job: JobRun, plan: Plan, attempt: int) -> Take:
    prompt_id = prompt_id_of(job.job_id, attempt)
    graph = plan.graph(filename_prefix(job.job_id, attempt))
    job.reporter.begin(attempt)
    await begin_attempt(
        job.database,
        job.held,
        attempt=attempt,
        prompt_id=prompt_id,
        comfyui_url=job.comfy.base_url,
    )
    submitted_at = datetime.now(UTC)
    stamp = to_pnginfo(_stamp(job, graph, attempt))
    await submit(job.comfy, graph, prompt_id=prompt_id, pnginfo=stamp, reporter=job.reporter)
    entry = await poll_completion(
        job.comfy, job.studio.comfyui, graph, prompt_id=prompt_id, reporter=job.reporter
    )
    return Take(
        job_id=job.job_id,
        request=plan.request,
        seed=plan.seed,
        attempt=attempt,
        prompt_id=prompt_id,
        graph=graph,
        entry=entry,
        comfyui_url=job.comfy.base_url,
        comfyui_version=(await job.comfy.system_stats()).comfyui_version,
        submitted_at=submitted_at,
    )


def _stamp(job: JobRun, graph: Graph, attempt: int) -> TakeStamp:
    """What the picture itself says of its origin."""
    return TakeStamp(
        job_id=job.job_id,
        project=job.request.project,
        character=job.request.character,
        shot=job.request.shot,
        prompt=job.request.prompt,
        negative_prompt=job.request.negative_prompt,
        seed=str(job.seed),
        workflow=job.request.workflow_name,
        workflow_sha256=workflow_hash(graph),
        attempt=attempt,
    )


def _pictures_of(request: GenerationRequest, library: Path) -> dict[str, Path]:
    """The inputs that name a picture handed in through the library."""
    folder = (library / INPUTS_FOLDER).resolve()
    pictures: dict[str, Path] = {}
    for name, value in request.inputs.items():
        if isinstance(value, str) and value.startswith(f"{INPUTS_FOLDER}/"):
            path = (library / value).resolve()
            if not path.is_relative_to(folder) or not path.is_file():
                raise InvalidRequest(
                    f"Input {name}: {value} is no picture in {folder}.",
                    "Hand it in again, as with `anime generate --image FILE`.",
                )
            pictures[name] = path
    return pictures


def _first_set(*values: int | None) -> int:
    return next(value for value in values if value is not None)
