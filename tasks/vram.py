"""Whether a workflow can run on the server's GPU, now or soon."""

import asyncio
import ipaddress
import time
from urllib.parse import urlsplit

from prefect.logging import get_run_logger

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import Device
from anime.comfyui.nvml import GpuMemory, read_gpu
from anime.comfyui.server_facts import ServerFacts
from anime.core.job_status import Stage
from anime.core.vram import FreedMemory, VramReading, VramVerdict, assess, held_by_comfyui
from anime.errors import ComfyUIError, InsufficientVram
from anime.retry_policies import VRAM_CHECK
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter
from tasks.retries import SHORT_TASK_DELAYS
from tasks.steps import step

_MB = 1024 * 1024
_PREFLIGHT_SECONDS = 1.0  # what the server has told the preflight counts, if it was just now
_TOTAL_TOLERANCE = 0.05  # driver and server report slightly different totals of one card
_LOOKS_AFTER_FREE = 3  # dynamic memory comes back within 0.9 s, at a look each second
_NOISE_MB = 256  # what desktops and browsers take and give back all the time


# Twice is harmless: it reads, and asks the server to let go of models it can load again.
@step("check VRAM", SHORT_TASK_DELAYS)
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
    reason = await wait_for_vram(
        comfy, need_mb, wait_seconds=server.vram_wait_seconds, reporter=reporter
    )
    get_run_logger().info(reason)
    return reason


async def wait_for_vram(
    comfy: ComfyUIClient, need_mb: int, *, wait_seconds: float, reporter: Reporter
) -> str:
    """One line on why the workflow can run, once it can. Raises as `check_vram` does.

    What ComfyUI holds is no reason to wait. Where it cannot be told from what others hold, /free
    tells, once, while nothing runs there: it would act too late to be measured. A server that
    rendered all the while is not checked.
    """
    give_up_at = time.monotonic() + wait_seconds
    reported, freeing = "", _Freeing(comfy.facts)
    max_age_seconds = _PREFLIGHT_SECONDS
    while True:
        reading = await read_vram(comfy, max_age_seconds=max_age_seconds)
        max_age_seconds = 0.0
        freeing.note(reading)
        verdict = assess(need_mb, reading)
        if verdict.fits:
            return verdict.reason
        is_due = freeing.is_due(reading)
        is_busy = is_due and not verdict.never and bool((await comfy.queue()).running)
        if verdict.never or time.monotonic() >= give_up_at:
            if is_busy:
                return f"{verdict.reason} ComfyUI may hold what is missing: not checked."
            raise _insufficient(verdict)
        if is_due and not is_busy:
            freeing.begin(reading)
            await comfy.free()
        if verdict.reason != reported:
            reported = verdict.reason
            await reporter.enter(Stage.CHECKING_VRAM, reported)
        await asyncio.sleep(min(VRAM_CHECK.delay(), max(0.0, give_up_at - time.monotonic())))


class _Freeing:
    """Asks a server at most once to free its memory, and learns what that gave back."""

    def __init__(self, facts: ServerFacts) -> None:
        self._facts = facts
        self._free_before_mb: int | None = None
        self._looks = 0

    def is_due(self, reading: VramReading) -> bool:
        """Whether /free may tell something that the reading does not."""
        is_known = reading.is_exact or not self._facts.may_hold_models
        return self._free_before_mb is None and not is_known

    def begin(self, reading: VramReading) -> None:
        """Note what was free before."""
        self._free_before_mb = reading.free_mb

    def note(self, reading: VramReading) -> None:
        """Remember what has come back, in the first looks: later it may be others' memory."""
        if self._free_before_mb is None or self._looks >= _LOOKS_AFTER_FREE:
            return
        self._looks += 1
        given_back_mb = reading.free_mb - self._free_before_mb
        if given_back_mb > _NOISE_MB:
            self._facts.freed = FreedMemory(given_back_mb, reading.free_mb)


async def read_vram(comfy: ComfyUIClient, *, max_age_seconds: float = 0.0) -> VramReading:
    """The driver's figures if the GPU is in this machine, else the server's, at most so old.

    Of several devices the first counts: ComfyUI names the one that it renders on first.
    """
    stats = await comfy.system_stats(max_age_seconds=max_age_seconds)
    if not stats.devices:
        return VramReading(source="unknown", total_mb=0, free_mb=0, held_by_comfyui_mb=0)
    device = stats.devices[0]
    freed = comfy.facts.freed if comfy.facts.may_hold_models else None
    local = await _local_gpu(comfy.base_url, device)
    return _from_server(device, freed) if local is None else _from_driver(local, device, freed)


async def held_mb(comfy: ComfyUIClient) -> int | None:
    """What the server holds of its card, in MB; None where the driver cannot be asked.

    After a render that is about the most it held: neither model memory nor PyTorch's pool is
    given back before something else needs it.
    """
    if not _is_this_machine(urlsplit(comfy.base_url).hostname or ""):
        return None
    try:
        reading = await read_vram(comfy)
    except ComfyUIError:
        return None
    return reading.held_by_comfyui_mb if reading.is_exact else None


async def _local_gpu(base_url: str, device: Device) -> GpuMemory | None:
    address = urlsplit(base_url)
    if device.type != "cuda" or not _is_this_machine(address.hostname or ""):
        return None
    port = address.port or (443 if address.scheme == "https" else 80)
    gpu = await asyncio.to_thread(read_gpu, device.index or 0, port)
    if gpu is None or gpu.held_mb is not None:
        return gpu
    is_same = abs(gpu.total_mb * _MB - device.vram_total) <= _TOTAL_TOLERANCE * device.vram_total
    return gpu if is_same else None  # CUDA_VISIBLE_DEVICES may number the cards anew


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _from_server(device: Device, freed: FreedMemory | None) -> VramReading:
    """Source: ComfyUI's GET /system_stats; its vram_free counts torch's own free blocks."""
    free_mb = device.vram_free // _MB
    torch_mb = max(0, device.torch_vram_total - device.torch_vram_free) // _MB
    return VramReading(
        source="system_stats",
        device_type=device.type,
        total_mb=device.vram_total // _MB,
        free_mb=free_mb,
        held_by_comfyui_mb=held_by_comfyui(free_mb, torch_mb=torch_mb, freed=freed),
    )


def _from_driver(gpu: GpuMemory, device: Device, freed: FreedMemory | None) -> VramReading:
    return VramReading(
        source="nvml",
        device_type=device.type,
        total_mb=gpu.total_mb,
        free_mb=gpu.free_mb,
        held_by_comfyui_mb=held_by_comfyui(
            gpu.free_mb,
            torch_mb=device.torch_vram_total // _MB,
            process_mb=gpu.held_mb,
            freed=freed,
        ),
        is_exact=gpu.held_mb is not None,
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
