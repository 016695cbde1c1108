"""Taking in what a server has rendered and no longer knows of."""

from datetime import UTC, datetime

from anime.assets.render_result import RenderResult
from anime.comfyui.models import HistoryEntry, OutputFile
from anime.core.expected_files import ExpectedFile, expected_files
from anime.core.ids import prompt_id_of
from anime.core.paths import filename_prefix
from anime.runs.execution import JobExecution
from anime.runs.preflight import Preflight
from anime.runs.server_pool import RunServer
from tasks.files import are_whole, is_there


async def result_from_files(
    job: JobExecution, preflight: Preflight, server: RunServer, attempt: int
) -> RenderResult | None:
    """The result of that attempt, from its files in the server's output folder.

    None unless all that its graph saves is there, each file complete, and nothing beyond it. The
    prompt is known to be neither in the queue nor running there.
    """
    if server.url not in preflight.able:
        return None
    prefix = filename_prefix(job.job_id, attempt)
    graph = preflight.graph(preflight.request, server.url, prefix)
    files, folder = expected_files(graph, prefix), job.connections.output_folder
    outputs = tuple(map(_output, files))
    if not outputs or not await are_whole(server.comfy, outputs, folder, prefix):
        return None
    if await is_there(server.comfy, _output(files[-1].following), folder, prefix):
        return None  # it saves more than was expected, and perhaps more than is there
    prompt_id = prompt_id_of(job.job_id, attempt)
    return RenderResult(
        job_id=job.job_id,
        request=preflight.request,
        seed=preflight.seed,
        attempt=attempt,
        prompt_id=prompt_id,
        graph=graph,
        entry=HistoryEntry(prompt_id=str(prompt_id), outputs=outputs, succeeded=True),
        comfyui_url=server.url,
        comfyui_version=server.version,
        device=server.device,
        submitted_at=datetime.now(UTC),
        output_node=preflight.template.output_node,
    )


def _output(file: ExpectedFile) -> OutputFile:
    return OutputFile(
        filename=file.filename,
        subfolder=file.subfolder,
        node_id=file.node_id,
        animated=file.is_animated,
    )
