"""Which process a flow run is with, as written into the run's `infrastructure_pid`."""

import os
import socket
from dataclasses import dataclass
from typing import Self

import psutil

_KIND = "anime-warm"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One worker process. Its start tells it from a later process with the same id."""

    host: str
    pid: int
    started_ms: int

    @classmethod
    def me(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _started_ms(psutil.Process()))

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """The owner a run names; None for one that is with another kind of worker.

        >>> ProcessIdentity.parse("anime-warm/host-a/17/1700000000000")
        Owner(host='host-a', pid=17, started_ms=1700000000000)
        >>> ProcessIdentity.parse("4711") is None
        True
        """
        match (text or "").split("/"):
            case [kind, host, pid, started] if (
                kind == _KIND and pid.isdigit() and started.isdigit()
            ):
                return cls(host, int(pid), int(started))
        return None

    def __str__(self) -> str:
        return f"{_KIND}/{self.host}/{self.pid}/{self.started_ms}"

    def is_gone(self) -> bool:
        """Whether the process has ended. One of another host is taken to live."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return (
                process.status() == psutil.STATUS_ZOMBIE or _started_ms(process) != self.started_ms
            )
        except psutil.NoSuchProcess:
            return True


def _started_ms(process: psutil.Process) -> int:
    return round(process.create_time() * 1000)
