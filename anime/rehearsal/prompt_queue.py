"""The waiting prompts, the running one, and the history of those that have ended.

Order, counters and the JSON of GET /queue and GET /history are as in ComfyUI, with its oddities:
ids are not unique, `queue_pending` is a heap, history drops the oldest.
"""

import asyncio
import heapq
import json
from collections.abc import Callable, Collection, Iterable
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from anime.core.graphs import Graph
from anime.rehearsal.node_types import JsonObject

# number, prompt id, graph, extra data, output nodes to run: exactly what GET /queue shows.
QueueItem: TypeAlias = tuple[float, str, Graph, JsonObject, list[str]]

MAX_HISTORY_ENTRIES = 10_001  # entries of history; ComfyUI means 10,000 and keeps one more


class PromptQueue:
    """Prompts in the order in which they will run: lowest number first, then by id."""

    def __init__(self, on_change: Callable[[], None], waiting: Iterable[QueueItem] = ()) -> None:
        self.pending: list[QueueItem] = sorted(waiting, key=itemgetter(0, 1))
        self.running: QueueItem | None = None
        self.wake = asyncio.Event()
        self._on_change = on_change
        self._counter = max((int(item[0]) + 1 for item in self.pending), default=0)
        if self.pending:
            self.wake.set()

    @property
    def remaining(self) -> int:
        """The number of waiting and running prompts."""
        return len(self.pending) + (self.running is not None)

    def next_number(self, body: Collection[str] | JsonObject) -> float:
        """The number of a submission; the counter grows even if it is refused later.

        Raises:
            ValueError, TypeError: `number` is not a number.
        """
        if isinstance(body, dict) and "number" in body:
            return float(body["number"])
        number = self._counter
        self._counter += 1
        return -number if isinstance(body, dict) and body.get("front") else number

    def put(self, item: QueueItem) -> None:
        """Queue a prompt and send the new status."""
        heapq.heappush(self.pending, item)
        self._on_change()
        self.wake.set()

    def start_next(self) -> QueueItem | None:
        """The next prompt, which is the running one from now on; None when none waits.

        Raises:
            TypeError: two prompts share number and id, so that their graphs were compared.
        """
        if not self.pending:
            return None
        self.running = heapq.heappop(self.pending)
        self._on_change()
        return self.running

    def finish(self) -> None:
        """Clear the running prompt and send the new status."""
        self.running = None
        self._on_change()

    def delete(self, prompt_ids: Collection[str]) -> bool:
        """Remove one waiting prompt for each id; running and unknown ones are left alone.

        Returns whether any was removed.
        """
        before = len(self.pending)
        for prompt_id in prompt_ids:
            found = next((item for item in self.pending if item[1] == prompt_id), None)
            if found:
                self.pending.remove(found)
                heapq.heapify(self.pending)
                self._on_change()
        return len(self.pending) < before

    def clear(self) -> None:
        """Remove all waiting prompts."""
        self.pending.clear()
        self._on_change()


class KeptQueue:
    """The file in which a server that returns with its old queue keeps it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "queue.json"

    def write(self, queue: PromptQueue) -> None:
        """Keep the running prompt and the waiting ones."""
        running = [queue.running] if queue.running else []
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps([*running, *queue.pending]))
        temporary.replace(self._path)

    def read(self) -> list[QueueItem]:
        """What was kept."""
        items = json.loads(self._path.read_text()) if self._path.exists() else ()
        return [tuple(item) for item in items]


class History:
    """The ended prompts by id, oldest first; lost when the server stops."""

    def __init__(self) -> None:
        self._entries: dict[str, JsonObject] = {}

    def add(self, prompt_id: str, entry: JsonObject) -> None:
        """Add the entry of an ended prompt; one with the same id is replaced in its place."""
        self._entries[prompt_id] = entry
        if len(self._entries) > MAX_HISTORY_ENTRIES:
            del self._entries[next(iter(self._entries))]

    def entry(self, prompt_id: str) -> JsonObject:
        """The entry under its id, or an empty object."""
        return {key: self._entries[key] for key in (prompt_id,) if key in self._entries}

    def page(self, max_items: int | None, offset: int) -> JsonObject:
        """Entries from `offset`; without one (-1), the newest `max_items`."""
        if offset < 0:
            offset = 0 if max_items is None else max(0, len(self._entries) - max(0, max_items))
        last = None if max_items is None else offset + max(0, max_items)
        return {key: self._entries[key] for key in list(self._entries)[offset:last]}

    def delete(self, prompt_ids: Iterable[str]) -> None:
        """Remove these; unknown ones are no error."""
        for prompt_id in prompt_ids:
            self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()


def is_canonical_uuid(prompt_id: object) -> bool:
    """Whether it is the text of a UUID, in lower case and with hyphens."""
    try:
        return str(UUID(str(prompt_id))) == prompt_id
    except ValueError:
        return False
