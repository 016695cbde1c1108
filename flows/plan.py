"""From a request to a plan that the server is able to run."""

import time
from dataclasses import dataclass

from anime.core.batches import kind_of
from anime.core.graphs import Graph
from anime.core.workflows import Template, build
from anime.schemas import GenerationRequest
from anime.settings import get_settings
from anime.templates import load_template
from flows.house import House
from flows.job_run import JobRun
from tasks.fitting import Fitting, fit
from tasks.services import check_services


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
    """The job's plan, once library and server are found fit for it.

    What holds for all jobs of a batch is asked once.

    Raises:
        StorageError, ComfyUIUnreachable: the result could not be kept, or not be made.
        InvalidRequest, InvalidWorkflow, PromptRejected: it cannot be rendered as it stands.
    """
    await _look_around(job)
    fitting = await _fitting_of(job.request, job.house)
    return Plan(
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


async def _look_around(job: JobRun) -> None:
    house = job.house
    async with house.looking:
        if not house.is_looked_at:
            house.comfyui_version = await check_services(
                house.library, house.comfy, house.studio.comfyui, reporter=job.reporter
            )
            house.looked_at = time.monotonic()


async def _fitting_of(request: GenerationRequest, house: House) -> Fitting:
    kind = kind_of(request)
    async with house.fitting:
        if kind not in house.fittings:
            house.fittings[kind] = await fit(
                house.comfy,
                load_template(request.workflow_name, get_settings().workflows_dir),
                request,
                library=house.library.root,
                default_model=house.studio.comfyui.default_model,
            )
    return house.fittings[kind]


def _first_set(*values: int | None) -> int:
    return next(value for value in values if value is not None)
