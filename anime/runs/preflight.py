"""From a request to a plan that the server is able to run."""

import time
from dataclasses import dataclass

from anime.comfyui.workflow_templates import load_template
from anime.core.batches import kind_of
from anime.core.graphs import Graph
from anime.core.workflow_build import Template, build
from anime.runs.connections import Connections
from anime.runs.execution import JobExecution
from anime.schemas import GenerationRequest
from anime.settings import get_settings
from tasks.preflight import PreparedTemplate, fit
from tasks.services import check_services


@dataclass(frozen=True)
class Preflight:
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


async def prepare(job: JobExecution) -> Preflight:
    """The job's plan, once library and server are found fit for it.

    What holds for all jobs of a batch is asked once.

    Raises:
        StorageError, ComfyUIUnreachable: the result could not be kept, or not be made.
        InvalidRequest, InvalidWorkflow, PromptRejected: it cannot be rendered as it stands.
    """
    await _check_services(job)
    fitting = await _prepared_template(job.request, job.connections)
    return Preflight(
        template=fitting.template,
        request=job.request.model_copy(update={"inputs": job.request.inputs | fitting.uploaded}),
        seed=job.seed,
        model=fitting.model,
        need_mb=_first_set(
            job.request.required_vram_mb,
            fitting.template.vram_mb,
            job.studio.comfyui.default_vram_mb,
        ),
    )


async def _check_services(job: JobExecution) -> None:
    connections = job.connections
    async with connections.check_lock:
        if not connections.is_checked:
            connections.comfyui_version = await check_services(
                connections.library,
                connections.comfy,
                connections.studio.comfyui,
                reporter=job.reporter,
            )
            connections.checked_at = time.monotonic()


async def _prepared_template(
    request: GenerationRequest, connections: Connections
) -> PreparedTemplate:
    kind = kind_of(request)
    async with connections.fitting:
        if kind not in connections.prepared_templates:
            connections.prepared_templates[kind] = await fit(
                connections.comfy,
                load_template(request.workflow_name, get_settings().workflows_dir),
                request,
                library=connections.library.root,
                default_model=connections.studio.comfyui.default_model,
            )
    return connections.prepared_templates[kind]


def _first_set(*values: int | None) -> int:
    return next(value for value in values if value is not None)
