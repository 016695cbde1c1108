"""The record that `anime up` writes for other commands, and the settings that come from it.

Where no stack runs, they come from the file of the installed services.
"""

import json
import os
from pathlib import Path
from typing import Any

import platformdirs
import psutil
from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from anime.settings.process_lock import is_held
from anime.settings.secret_references import resolve_without_vault
from anime.settings.services_file import read_services


class PartRecord(BaseModel):
    """One running part."""

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
        description="Values of settings that the environment does not set."
    )

    def is_alive(self, home: Path) -> bool:
        """Whether the process that wrote the record still runs."""
        if self.pid_started is not None:
            return psutil.pid_exists(self.pid)
        return is_held(lock_path(home)) is True


def lock_path(home: Path) -> Path:
    """The lock that `anime up` itself holds in that data folder; its parts do not."""
    return home / "run" / "stack.lock"


def record_path(home: Path) -> Path:
    """The record of the stack in that data folder."""
    return home / "run" / "stack.json"


def read_record(home: Path) -> StackRecord | None:
    """The record of the stack that runs in that data folder; None when none runs there."""
    try:
        record = StackRecord.model_validate_json(record_path(home).read_bytes())
    except (OSError, ValidationError):
        return None
    return record if record.is_alive(home) else None


def write_record(home: Path, record: StackRecord) -> None:
    """Write the record atomically, readable by its owner alone."""
    target = record_path(home)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(record.model_dump_json(indent=2))
    temporary.replace(target)


def remove_record(home: Path) -> None:
    """Remove the record, if there is one."""
    record_path(home).unlink(missing_ok=True)


class RunningStackSource(PydanticBaseSettingsSource):
    """Settings from the record of a running stack, its addresses; or else of the services."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface; the whole record is read at once instead."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values by field name; empty when no stack runs there and no services are."""
        home = self.current_state.get("home") or platformdirs.user_data_path("anime-production")
        folder = Path(resolve_without_vault("ANIME_HOME", str(home))).expanduser().absolute()
        if (record := read_record(folder)) is not None:
            found = dict[str, Any](record.settings)
        else:
            found = _with_vault(
                {_field(name): value for name, value in read_services(folder).items()}
            )
        return found | {"vault": json.loads(found["vault"])} if "vault" in found else found


def _with_vault(values: dict[str, Any]) -> dict[str, Any]:
    """The values with those of Vault in one, as the record has them."""
    names = [name for name in values if name.startswith("vault_")]
    vault = {name.removeprefix("vault_"): values.pop(name) for name in names}
    return values | ({"vault": json.dumps(vault)} if vault else {})


def _field(variable: str) -> str:
    """The field that the variable sets.

    >>> _field("ANIME_HOME"), _field("PREFECT_API_URL")
    ('home', 'prefect_api_url')
    """
    return variable.removeprefix("ANIME_").lower()
