"""What each process that lives tells others on this machine of its Vault: never a value.

Only the process itself knows until when its leases last. Its file is locked for as long as it
lives, however it ends.
"""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from socket import gethostname

from pydantic import BaseModel, ValidationError

from anime.net.vault.status import VaultStatus
from anime.settings.process_lock import acquire_lock, is_held

_PREFIX = "vault-status-"


class ProcessStatus(BaseModel):
    """How Vault is for one process."""

    process: str
    pid: int
    status: VaultStatus

    def describe(self) -> str:
        """A sentence or two for a person who knows that Vault is away, or not well."""
        told = self.status.describe() if self.status.fault else self.status.outlook
        return f"{self.process} (process {self.pid}): {told}"


class StatusFile:
    """The file of this process. What cannot be written is left out: no secret depends on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{_PREFIX}{gethostname()}-{os.getpid()}.json"
        self._writing = threading.Lock()
        self._held: int | None = None  # the descriptor that holds the lock
        self._is_removed = False
        for path in folder.glob(f"{_PREFIX}*"):
            # Twice, as it may have been replaced between the two steps of the first look.
            if is_held(path) is False and is_held(path) is False:
                with suppress(OSError):
                    path.unlink()

    def write(self, process: str, status: VaultStatus) -> None:
        """Replace what the file says, unless it is removed."""
        told = ProcessStatus(process=process, pid=os.getpid(), status=status)
        with self._writing, suppress(OSError):
            if self._is_removed:
                return
            before, self._held = self._held, self._replaced(told.model_dump_json().encode())
            if before is not None:
                os.close(before)

    def remove(self) -> None:
        """Remove it for good; twice is harmless."""
        with self._writing:
            self._is_removed = True
            if self._held is not None:
                self.path.unlink(missing_ok=True)
            self.release()

    def _replaced(self, content: bytes) -> int:
        """The descriptor that holds the lock of the new file, which has that content."""
        temporary = self.path.with_suffix(".new")
        descriptor = acquire_lock(temporary)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, content)
            temporary.replace(self.path)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def release(self) -> None:
        """Let go of the lock, as a forked process does, which is not the one that it is of."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)


def other_processes(folder: Path) -> list[ProcessStatus]:
    """What the other processes tell that live, by name."""
    own = StatusFile(folder).path  # which removes those of processes that have ended
    found = []
    for path in folder.glob(f"{_PREFIX}*.json"):
        with suppress(OSError, ValidationError):
            if path != own:
                found.append(ProcessStatus.model_validate_json(path.read_bytes()))
    return sorted(found, key=lambda each: (each.process, each.pid))


def name_of_command() -> str:
    """What a process is called that is neither API nor worker; the rest may be a prompt."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
