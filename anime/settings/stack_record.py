"""What `anime up` writes down for others: the addresses and pids of its parts.

The file is `$ANIME_HOME/run/stack.json`, readable by its owner only, there exactly as long
as the stack runs. `Settings` reads it, so that `anime generate` in another terminal finds
the embedded services without a variable being set.
"""

import os
from pathlib import Path

import psutil
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from anime.settings.process_lock import is_held


class PartRecord(BaseModel):
    """One running part: its process, its address and its log."""

    pid: int
    url: str | None = None
    log: Path | None = None


class StackRecord(BaseModel):
    """The running stack."""

    pid: int
    pid_started: float | None = Field(
        default=None, description="Written by earlier versions, which held no lock."
    )
    started_at: AwareDatetime
    parts: dict[str, PartRecord]
    settings: dict[str, str] = Field(
        description="Values that Settings takes when the environment names none."
    )

    def is_alive(self, home: Path) -> bool:
        """Whether the process that wrote the record still runs."""
        if self.pid_started is not None:
            return psutil.pid_exists(self.pid)
        return is_held(lock_path(home)) is True


def lock_path(home: Path) -> Path:
    """The lock that `anime up` holds at that home, and none of its parts."""
    return home / "run" / "stack.lock"


def record_path(home: Path) -> Path:
    """Where the record of the stack of that home lies."""
    return home / "run" / "stack.json"


def read_record(home: Path) -> StackRecord | None:
    """The record of the stack that runs at `home`; None when none runs there."""
    try:
        record = StackRecord.model_validate_json(record_path(home).read_bytes())
    except (OSError, ValidationError):
        return None
    return record if record.is_alive(home) else None


def write_record(home: Path, record: StackRecord) -> None:
    """Put the record in place, whole or not at all, for the owner's eyes only."""
    target = record_path(home)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(record.model_dump_json(indent=2))
    temporary.replace(target)


def remove_record(home: Path) -> None:
    """Take the record away; it is no error when there is none."""
    record_path(home).unlink(missing_ok=True)
