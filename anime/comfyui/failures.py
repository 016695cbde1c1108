"""The error for a prompt that did not succeed."""

from anime.comfyui.models import ExecutionFailure, HistoryEntry
from anime.comfyui.rejections import name_of
from anime.core.graphs import Graph
from anime.errors import AnimeError, GpuFault, NodeFailed, OutOfVram, PromptInterrupted

# Types and words by which PyTorch, CUDA, ROCm, DirectML and ComfyUI say that memory ran out: that
# of the GPU, or the machine's.
MEMORY_SIGNS = (
    *("outofmemory", "out of memory", "memoryerror", "allocation on device"),
    *("_status_alloc_failed", "defaultcpuallocator", "not enough gpu video memory"),
)
# Words by which CUDA, ROCm and their libraries say that the process can use its GPU no more.
GPU_SIGNS = (
    "cuda error",
    "hip error",
    "cudnn_status_execution_failed",
    "cublas_status_execution_failed",
    "unspecified launch failure",
    "illegal memory access",
    "device-side assert",
    "gpu is lost",
)
# A node that was built for other cards fails like this on a healthy one.
_NO_FAULTS = ("no kernel image is available", "invalid device ordinal", "not supported")


def failure_of(entry: HistoryEntry, graph: Graph | None = None) -> AnimeError:
    """The error for a prompt that did not succeed; it names the node as the artist knows it.

    `graph` is the one that was sent; without it the one in the history is used.
    """
    if entry.is_interrupted:
        return PromptInterrupted(
            f"Somebody stopped prompt {entry.prompt_id} in ComfyUI.",
            "Generate it again if that was a mistake; `anime cancel` stops a job for good.",
        )
    failure = entry.failure or ExecutionFailure()
    node = _node_of(failure, graph or entry.graph)
    message = _first_line(failure)
    if _ran_out_of_memory(failure):
        return OutOfVram(
            f"{node} ran out of memory: {message}",
            "Make the picture or the batch smaller, or end other programs that take memory there.",
            node=node,
        )
    if _gpu_has_a_fault(failure):
        return GpuFault(
            f"The GPU had a fault while {node} ran: {message}",
            "Restart ComfyUI; read its log if it happens again.",
            node=node,
        )
    return NodeFailed(
        f"{node} failed: {message}",
        "Correct its inputs; ComfyUI's log has the traceback.",
        node=node,
    )


def blocked_node(failure: ExecutionFailure, graph: Graph) -> str:
    """The node that was not run in a prompt that went on, and why, a few words."""
    why = _first_line(failure).removeprefix("Execution Blocked: ")
    return f"{_node_of(failure, graph)}: it was blocked: {why}"


def _node_of(failure: ExecutionFailure, graph: Graph) -> str:
    if not failure.node_id:
        return "A node that ComfyUI does not name"
    return name_of(failure.node_id, graph, failure.node_type)


def _ran_out_of_memory(failure: ExecutionFailure) -> bool:
    return any(sign in _words_of(failure) for sign in MEMORY_SIGNS)


def _gpu_has_a_fault(failure: ExecutionFailure) -> bool:
    words = _words_of(failure)
    is_none = any(sign in words for sign in _NO_FAULTS)
    return not is_none and any(sign in words for sign in GPU_SIGNS)


def _words_of(failure: ExecutionFailure) -> str:
    return f"{failure.exception_type} {failure.message}".lower()


def _first_line(failure: ExecutionFailure) -> str:
    lines = failure.message.strip().splitlines()
    return lines[0].strip("* ") if lines else failure.exception_type or "it gave no reason."
