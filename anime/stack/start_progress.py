"""Whether a program that starts gets on: a slow start on a busy machine is no failed one."""

import time
from contextlib import suppress
from pathlib import Path

import psutil

QUIET_SECONDS = 30.0  # a starved process is given the processor within these
LOOKS = 10  # in that time


class StartProgress:
    """What the program and those it has started have used and written so far."""

    def __init__(self, pid: int, log: Path, patience_seconds: float) -> None:
        """`patience_seconds`: how long it may take before it has to show that it works."""
        self.began_at = self._moved_at = self._looked_at = time.monotonic()
        self._pid, self._log = pid, log
        self._patience_seconds = patience_seconds
        self._quiet_seconds = min(QUIET_SECONDS, patience_seconds)
        self._seen = self._mark()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began_at

    @property
    def is_late(self) -> bool:
        """Whether it takes longer than it should."""
        return self.seconds > self._patience_seconds

    def is_stuck(self) -> bool:
        """Whether it is late and does nothing. To be asked again and again, from the start."""
        now = time.monotonic()
        if now - self._looked_at >= self._quiet_seconds / LOOKS:
            self._looked_at = now
            mark = self._mark()
            if mark != self._seen:
                self._seen, self._moved_at = mark, now
        return self.is_late and now - self._moved_at > self._quiet_seconds

    def _mark(self) -> tuple[float, int]:
        """Seconds of the processor, and bytes of log."""
        seconds = 0.0
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self._pid)
            for process in (leader, *leader.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    seconds += sum(process.cpu_times()[:4])  # its own, and of children that ended
        with suppress(FileNotFoundError):
            return seconds, self._log.stat().st_size
        return seconds, 0
