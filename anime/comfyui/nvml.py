"""Memory of a local NVIDIA GPU, from the driver's management library."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psutil
import pynvml

_log = logging.getLogger(__name__)
_MB = 1024 * 1024


@dataclass(frozen=True)
class GpuMemory:
    """Memory of one GPU, in MB. `held_mb`: what ComfyUI's process holds; None if that is unknown.

    `by_pid` is what each process holds, as far as the driver says.
    """

    name: str
    total_mb: int
    free_mb: int
    held_mb: int | None = None
    by_pid: Mapping[int, int] = field(default_factory=dict)


def read_gpu(index: int, port: int) -> GpuMemory | None:
    """The memory of the GPU of the ComfyUI that listens on that port of this machine.

    It is the one that the listening process has memory on. If no process can be told to be
    ComfyUI (it runs in a container, or as another user), it is the one with that index in the
    driver's order.

    None if this machine has no driver or no such GPU: that is no error, the server is asked
    instead. Source: NVML's nvmlDeviceGetMemoryInfo and nvmlDeviceGetComputeRunningProcesses.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as fault:
        _log.debug("No NVML on this machine: %s", fault)
        return None
    try:
        gpus = [_read(at) for at in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()
    pids = {pid for gpu in gpus for pid in gpu.by_pid if listens_on(pid, port)}
    by_index = gpus[index] if index < len(gpus) else None
    return gpu_of_process(gpus, index, pids) or by_index


def gpu_of_process(
    gpus: Sequence[GpuMemory], index: int, pids: Collection[int]
) -> GpuMemory | None:
    """The GPU on which these processes have memory, with what they hold; None if there is none.

    Of several it is the one with the index, else the first: ComfyUI renders on one.
    """
    mine = [at for at, gpu in enumerate(gpus) if not gpu.by_pid.keys().isdisjoint(pids)]
    if not mine:
        return None
    gpu = gpus[index if index in mine else mine[0]]
    return replace(gpu, held_mb=sum(gpu.by_pid.get(pid, 0) for pid in pids))


def _read(index: int) -> GpuMemory:
    """The memory of that GPU; no bytes of it if the driver cannot tell, as of one that is lost."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = str(pynvml.nvmlDeviceGetName(handle))
    except pynvml.NVMLError as fault:
        _log.debug("NVML does not know the memory of GPU %d: %s", index, fault)
        return GpuMemory("unreadable", 0, 0)
    return GpuMemory(
        name=name,
        total_mb=int(memory.total) // _MB,
        free_mb=int(memory.free) // _MB,
        by_pid=_held_by_process(handle),
    )


def _held_by_process(handle: object) -> dict[int, int]:
    """What each process holds of the GPU, in MB, as far as the driver says: Windows' does not."""
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError as fault:
        _log.debug("NVML names no processes: %s", fault)
        return {}
    return {each.pid: each.usedGpuMemory // _MB for each in processes if each.usedGpuMemory}


def listens_on(pid: int, port: int) -> bool:
    """Whether the process listens on that TCP port; false if it is gone, or not ours to look at."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(
        each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
        for each in connections
    )
