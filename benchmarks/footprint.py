"""How much memory programs hold with their children, in MB of a million bytes; and their CPU."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from anime.settings.stack_record import StackRecord

MB = 1_000_000


def parts_mb(record: StackRecord, measure: Callable[[int], float]) -> dict[str, float]:
    """What each part of a stack holds, and what `anime up` itself holds."""
    parts = {name: family_sum(part.pid, measure) for name, part in record.parts.items()}
    return parts | {"anime up": measure(record.pid)}


def parts_cpu_seconds(record: StackRecord) -> dict[str, float]:
    """The processor time, user and system, that each part of a stack has taken so far."""
    return {name: family_sum(part.pid, cpu_seconds) for name, part in record.parts.items()}


def family_sum(pid: int, measure: Callable[[int], float]) -> float:
    """What the process and its descendants hold, or have taken."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children(recursive=True)
        return sum(map(measure, (pid, *(child.pid for child in children))))
    return 0.0


def cpu_seconds(pid: int) -> float:
    """The processor time of the process; 0 for one that has ended."""
    with suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def own_cpu_seconds() -> float:
    """The processor time of this process and of all that it has started, those that ended too."""
    total = 0.0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # its own, and of children that have ended
    return total


def resident_mb(pid: int) -> float:
    """The resident set; 0 for a process that has ended."""
    with suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).memory_info().rss) / MB
    return 0.0


def shared_mb(pid: int) -> float:
    """The proportional set, in which a page counts once however many processes share it.

    The resident set where that is not known: not on Linux, or another user's process.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return resident_mb(pid)
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / MB
