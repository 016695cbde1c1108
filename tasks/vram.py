"""Whether a workflow can run on the server's GPU, now or soon."""

import asyncio
import ipaddress
import time
from urllib.parse import urlsplit

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import Device
from anime.comfyui.nvml import GpuMemory, read_gpu
from anime.core.job_status import Stage
from anime.core.vram import VramReading, VramVerdict, assess
from anime.errors import InsufficientVram
from anime.retry_policies import VRAM_CHECK
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter
from tasks.retries import SHORT_TASK_DELAYS, worth_retrying

_MB = 1024 * 1024
_TOTAL_TOLERANCE = 0.05  # driver and server report slightly different totals of one card


# Twice is harmless: it reads, and asks the server to let go of models it can load again.
@task(
    name="check VRAM",
    cache_policy=NO_CACHE,
    retries=len(SHORT_TASK_DELAYS),
    retry_delay_seconds=SHORT_TASK_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def check_vram(
    comfy: ComfyUIClient, server: ComfyUIServer, need_mb: int, *, reporter: Reporter
) -> str:
    """One line on why the workflow can run; it waits until enough memory is free.

    Args:
        comfy: The server that is to render.
        server: Its block says how long to wait.
        need_mb: What the workflow needs, in MB.
        reporter: Gets the stage and what the run waits for.

    Raises:
        InsufficientVram: the card is too small, or stayed full for too long.
        ComfyUIUnreachable: the server does not answer.
    """
    await reporter.enter(Stage.CHECKING_VRAM, f"Checking for {need_mb} MB of VRAM")
    give_up_at = time.monotonic() + server.vram_wait_seconds
    check = 0
    while True:
        verdict = assess(need_mb, await read_vram(comfy))
        if verdict.fits:
            get_run_logger().info(verdict.reason)
            return verdict.reason
        if verdict.never or time.monotonic() >= give_up_at:
            raise _insufficient(verdict)
        if check == 0:
            await comfy.free()  # it acts when the running prompt ends, so check again later
        await reporter.enter(Stage.CHECKING_VRAM, verdict.reason)
        await asyncio.sleep(min(VRAM_CHECK.delay(check), max(0.0, give_up_at - time.monotonic())))
        check += 1


async def read_vram(comfy: ComfyUIClient) -> VramReading:
    """The driver's figures if the GPU is in this machine, else the server's."""
    stats = await comfy.system_stats()
    if not stats.devices:
        return VramReading(source="unknown", total_mb=0, free_mb=0, held_by_comfyui_mb=0)
    device = stats.devices[0]
    local = await _local_gpu(comfy.base_url, device)
    return _from_server(device) if local is None else _from_driver(local, device)


async def _local_gpu(base_url: str, device: Device) -> GpuMemory | None:
    if device.type != "cuda" or not _is_this_machine(base_url):
        return None
    gpu = await asyncio.to_thread(read_gpu, device.index or 0)
    if (
        gpu is None
        or abs(gpu.total_mb * _MB - device.vram_total) > _TOTAL_TOLERANCE * device.vram_total
    ):
        return None  # CUDA_VISIBLE_DEVICES may number the cards anew: trust the server then
    return gpu


def _is_this_machine(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _from_server(device: Device) -> VramReading:
    """Source: ComfyUI's GET /system_stats; its vram_free counts torch's own free blocks."""
    return VramReading(
        source="system_stats",
        device_type=device.type,
        total_mb=device.vram_total // _MB,
        free_mb=device.vram_free // _MB,
        held_by_comfyui_mb=max(0, device.torch_vram_total - device.torch_vram_free) // _MB,
    )


def _from_driver(gpu: GpuMemory, device: Device) -> VramReading:
    return VramReading(
        source="nvml",
        device_type=device.type,
        total_mb=gpu.total_mb,
        free_mb=gpu.free_mb,
        held_by_comfyui_mb=device.torch_vram_total // _MB,
    )


def _insufficient(verdict: VramVerdict) -> InsufficientVram:
    if verdict.never:
        return InsufficientVram(
            verdict.reason,
            "Choose a smaller workflow, model or size, or give a smaller required_vram_mb.",
        )
    return InsufficientVram(
        verdict.reason,
        "Close other programs that use the GPU, or raise ANIME_VRAM_WAIT_SECONDS; try again.",
        can_fit_later=True,
    )
