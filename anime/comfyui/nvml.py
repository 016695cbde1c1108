"""Memory of a local NVIDIA GPU, from the driver's management library."""

import logging
import warnings
from dataclasses import dataclass

with warnings.catch_warnings():
    # The package warns its users to move to nvidia-ml-py, which is what it wraps.
    warnings.simplefilter("ignore", FutureWarning)
    import pynvml

_log = logging.getLogger(__name__)
_MB = 1024 * 1024


@dataclass(frozen=True)
class GpuMemory:
    """Memory of one GPU, in MB."""

    name: str
    total_mb: int
    free_mb: int


def read_gpu(index: int) -> GpuMemory | None:
    """The memory of the GPU with that index in the driver's order.

    None if this machine has no driver or no such GPU: that is no error, the server is asked
    instead. Source: NVML's nvmlDeviceGetMemoryInfo.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as fault:
        _log.debug("No NVML on this machine: %s", fault)
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = pynvml.nvmlDeviceGetName(handle)
        return GpuMemory(str(name), int(memory.total) // _MB, int(memory.free) // _MB)
    except pynvml.NVMLError as fault:
        _log.debug("NVML does not know the memory of GPU %d: %s", index, fault)
        return None
    finally:
        pynvml.nvmlShutdown()
