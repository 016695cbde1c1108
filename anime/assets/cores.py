"""How much of the processor is ours."""

import os


def usable_cores() -> int:
    """The cores this process may use; all of them where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
