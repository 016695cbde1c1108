"""How much memory programs take, their children included."""

from pathlib import Path

import psutil

MB = 1_000_000
KNOWS_SHARES = Path("/proc/self/smaps_rollup").exists()


def family(pid: int) -> list[int]:
    """That process and all it has started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def resident_mb(pids: list[int]) -> float:
    """What these processes hold in memory, in MB; pages they share count once."""
    return sum(map(_resident_bytes, pids)) / MB


def _resident_bytes(pid: int) -> int:
    """The proportional set size, or the resident set where the system knows no better."""
    try:
        if KNOWS_SHARES:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return 0  # it ended while we counted
    except PermissionError:
        return int(psutil.Process(pid).memory_info().rss)
