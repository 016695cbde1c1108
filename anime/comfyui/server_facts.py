"""What this process has found out about each server, for as long as it lives.

Clients come and go with every run; what one of them found out serves the next. Nothing is lost
with it: it is found out again.
"""

import re
import time
from dataclasses import dataclass, field
from math import inf

from anime.comfyui.models import NodeInfo, SystemStats
from anime.core.vram import FreedMemory

JOBS_SINCE = (0, 33)  # the oldest version that is known to have /api/jobs
NODES_SECONDS = 600.0  # for how long what a server says of a node class counts


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
    # Each with when it was told, by time.monotonic().
    _stats: tuple[float, SystemStats] | None = None
    _nodes: dict[str, tuple[float, NodeInfo]] = field(default_factory=dict)

    def note_stats(self, stats: SystemStats) -> None:
        """Remember the server's memory, and expect what servers of its version have."""
        self._stats = time.monotonic(), stats
        self._note_version(stats.comfyui_version)

    def note_prompt(self) -> None:
        """A prompt is submitted: its models may be loaded from now on."""
        self.may_hold_models, self._stats = True, None

    def note_free(self) -> None:
        """The server is asked to free its memory."""
        self.may_hold_models, self._stats = False, None

    def stats(self, max_age_seconds: float) -> SystemStats | None:
        """What the server has said of itself; None if longer ago, or before its memory changed."""
        told_at, stats = self._stats or (-inf, None)
        return stats if time.monotonic() - told_at < max_age_seconds else None

    def _note_version(self, version: str) -> None:
        """Of the same version, what it had counts."""
        if version != self.version:
            self.version = version
            self.forget_nodes()
            numbers = re.match(r"v?(\d+)\.(\d+)", version)
            is_new = numbers and tuple(map(int, numbers.groups())) >= JOBS_SINCE
            self.has_jobs = True if is_new else None

    @property
    def remembers_nodes(self) -> bool:
        """Whether a node class may be taken from here, which may have changed meanwhile."""
        return bool(self._nodes)

    def note_node(self, info: NodeInfo) -> None:
        """Remember a node class as the server describes it now."""
        self._nodes[info.name] = time.monotonic(), info

    def node(self, name: str) -> NodeInfo | None:
        """The node class as the server has described it; None if that is long ago, or never."""
        read_at, info = self._nodes.get(name, (0.0, None))
        return info if time.monotonic() - read_at <= NODES_SECONDS else None

    def forget_nodes(self) -> None:
        """Have every node class asked for again: the server may have been restarted."""
        self._nodes.clear()


_by_url: dict[str, ServerFacts] = {}


def facts_about(url: str) -> ServerFacts:
    """What is known of the server; all clients of it share this."""
    return _by_url.setdefault(url, ServerFacts())
