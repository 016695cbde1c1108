"""The log of prompts: what a server took, began and ended, kept although the server is killed."""

import json
import time
from pathlib import Path
from typing import Literal

PromptEvent = Literal["accepted", "started", "succeeded", "failed"]


class PromptLog:
    """A file of JSON lines with `at` (seconds since the epoch), `server`, `event`, `prompt_id`.

    Several servers may share it; each is named as its data folder is.
    """

    def __init__(self, path: Path | None, server: str) -> None:
        self._path = path
        self._server = server

    def add(self, event: PromptEvent, prompt_id: str) -> None:
        """Append the event; nothing without a file. One write, so that lines never mix."""
        if self._path is None:
            return
        line = {"at": time.time(), "server": self._server, "event": event, "prompt_id": prompt_id}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
