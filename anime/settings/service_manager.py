"""The service manager that has started this process: systemd, or none.

What it is told: https://www.freedesktop.org/software/systemd/man/sd_notify.html. What it hands
over: https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html
"""

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

FIRST_LISTEN_FD = 3
SIGNS_A_TIMEOUT = 3  # signs of life within the watchdog's time-out


@dataclass
class ServiceManager:
    """Tells the manager how this process is; without one, every method does nothing."""

    address: str | None = None
    watchdog_seconds: float | None = None
    _told_at: float = field(default=float("-inf"), init=False)
    _is_ready: bool = field(default=False, init=False)

    @classmethod
    def of_this_process(cls) -> Self:
        """The manager that the environment names."""
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        is_meant = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(
            address=os.environ.get("NOTIFY_SOCKET"),
            watchdog_seconds=int(microseconds) / 1e6 if is_meant and microseconds else None,
        )

    def tell_ready(self) -> None:
        """Say, once, that what this process is for can be used."""
        if not self._is_ready:
            self._is_ready = True
            self._tell("READY=1")

    def tell_alive(self) -> None:
        """Give a sign of life, if one is due; to be called by the loop that does the work."""
        if self.watchdog_seconds is None:
            return
        now = time.monotonic()
        if now - self._told_at >= self.watchdog_seconds / SIGNS_A_TIMEOUT:
            self._told_at = now
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if self.address is None:
            return
        # "@" stands for the zero byte with which an abstract address begins.
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(0)  # a manager that does not read must not hold us up
            manager.sendto(message.encode(), address)


def inherited_sockets(first: int = FIRST_LISTEN_FD) -> list[socket.socket]:
    """The listening sockets that the manager hands over, in the order of its unit; often none.

    They stay open while this process is replaced, so that no client is refused meanwhile.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):  # they are another process's
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    found = [socket.socket(fileno=number) for number in range(first, first + count)]
    for each in found:
        each.set_inheritable(False)
    return found
