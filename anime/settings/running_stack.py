"""Where settings come from besides the environment."""

from pathlib import Path
from typing import Any

import platformdirs
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from anime.settings.stack_record import read_record


class RunningStackSource(PydanticBaseSettingsSource):
    """What the stack that runs at `home` wrote down: its database, Redis, ComfyUI, Prefect."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface; the whole record is read at once instead."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The record's values by field name; empty when no stack runs there."""
        home = self.current_state.get("home") or platformdirs.user_data_path("anime-production")
        record = read_record(Path(home).expanduser().absolute())
        return dict(record.settings) if record else {}
