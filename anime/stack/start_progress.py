"""Whether a starting program makes progress: a slow start on a busy machine has not failed."""

import time
from contextlib import suppress
from pathlib import Path

import psutil

IDLE_SECONDS = 30.0  # within these, a busy machine gives each process some CPU time
MEASUREMENTS = 10  # within IDLE_SECONDS


class StartProgress:
    """CPU time of the program and its child processes, and bytes of its log, so far."""

    def __init__(self, pid: int, log: Path, timeout_seconds: float) -> None:
        """`timeout_seconds`: the start may take longer only while it makes progress."""
        self._started_at = self._advanced_at = self._measured_at = time.monotonic()
        self._pid, self._log = pid, log
        self._timeout_seconds = timeout_seconds
        self._idle_seconds = min(IDLE_SECONDS, timeout_seconds)
        self._measured = self._measure()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_at

    @property
    def is_late(self) -> bool:
        """Whether the start takes longer than its time-out."""
        return self.seconds > self._timeout_seconds

    def is_stuck(self) -> bool:
        """Whether it is late and makes no progress. To be called regularly, from the start."""
        now = time.monotonic()
        if now - self._measured_at >= self._idle_seconds / MEASUREMENTS:
            self._measured_at = now
            measured = self._measure()
            if measured != self._measured:
                self._measured, self._advanced_at = measured, now
        return self.is_late and now - self._advanced_at > self._idle_seconds

    def _measure(self) -> tuple[float, int]:
        """Seconds of CPU time, and bytes of log."""
        seconds = 0.0
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self._pid)
            for process in (leader, *leader.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    # Its own, and that of children that have ended.
                    seconds += sum(process.cpu_times()[:4])
        with suppress(FileNotFoundError):
            return seconds, self._log.stat().st_size
        return seconds, 0
