"""What is checked and prepared before GPU time is spent on a job."""

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
from tasks.preflight import PreparedTemplate, check_services, prepare_template


@dataclass(frozen=True)
class Preflight:
    """What the checks have found; all attempts at a job share it."""

    template: Template
    request: GenerationRequest
    seed: int
    model: str | None
    need_mb: int

    def graph(self, prefix: str) -> Graph:
        """The graph to submit; the names of its files begin with `prefix`."""
        return build(
            self.template,
            self.request,
            seed=self.seed,
            filename_prefix=prefix,
            default_model=self.model,
        )


async def run_preflight(job: JobExecution) -> Preflight:
    """The job's preflight, once library, server and graph have passed their checks.

    What holds for all jobs of a batch is checked once.

    Raises:
        StorageError, ComfyUIUnreachable: the library or the server is not there.
        InvalidRequest, InvalidWorkflow, PromptRejected: the request cannot be rendered.
    """
    await _check_services(job)
    prepared = await _prepared_template(job.request, job.connections)
    return Preflight(
        template=prepared.template,
        request=job.request.model_copy(update={"inputs": job.request.inputs | prepared.uploaded}),
        seed=job.seed,
        model=prepared.model,
        need_mb=_first_set(
            job.request.required_vram_mb,
            prepared.template.vram_mb,
            job.blocks.comfyui.default_vram_mb,
        ),
    )


async def _check_services(job: JobExecution) -> None:
    connections = job.connections
    async with connections.check_lock:
        if not connections.is_checked:
            connections.comfyui_version = await check_services(
                connections.library,
                connections.comfy,
                connections.blocks.comfyui,
                reporter=job.reporter,
            )
            connections.checked_at = time.monotonic()


async def _prepared_template(
    request: GenerationRequest, connections: Connections
) -> PreparedTemplate:
    kind = kind_of(request)
    settings = get_settings()
    async with connections.preparation_lock:
        if kind not in connections.prepared_templates:
            connections.prepared_templates[kind] = await prepare_template(
                connections.comfy,
                load_template(request.workflow_name, *settings.workflow_folders),
                request,
                library=connections.library.root,
                default_model=connections.blocks.comfyui.default_model,
                node_class_policy=settings.node_class_policy,
            )
    return connections.prepared_templates[kind]


def _first_set(*values: int | None) -> int:
    return next(value for value in values if value is not None)
