"""What this process has found out about each server, for as long as it lives.

Clients come and go with every run; what one of them found out serves the next. Nothing is lost
with it: it is found out again.
"""

import re
from dataclasses import dataclass

from anime.core.vram import FreedMemory

JOBS_SINCE = (0, 33)  # the oldest version that is known to have /api/jobs


@dataclass
class ServerFacts:
    """What is known of one server.

    `has_jobs`: whether it has /api/jobs/{id} and its /cancel; None if that is unknown.
    `freed`: what /free gave back when it was last asked for. `may_hold_models`: a prompt was
    submitted since then, or /free was never asked for.
    """

    version: str = ""
    has_jobs: bool | None = None
    freed: FreedMemory | None = None
    may_hold_models: bool = True

    def note_version(self, version: str) -> None:
        """Expect what servers of that version have; of the same version, what it had counts."""
        if version != self.version:
            self.version = version
            numbers = re.match(r"v?(\d+)\.(\d+)", version)
            is_new = numbers and tuple(map(int, numbers.groups())) >= JOBS_SINCE
            self.has_jobs = True if is_new else None


_by_url: dict[str, ServerFacts] = {}


def facts_about(url: str) -> ServerFacts:
    """What is known of the server; all clients of it share this."""
    return _by_url.setdefault(url, ServerFacts())
