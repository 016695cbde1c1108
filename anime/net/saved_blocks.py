"""The types of which a block is saved in Prefect under our name, mostly none.

A worker reads them while it claims a run, so that the run need not wait for an answer.
"""

import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

BLOCK_NAME = "studio"
REMEMBERED_SECONDS = 10.0
CLOCK_TOLERANCE = timedelta(seconds=2)  # between the server's clock and ours

# Told once, as the answer gets old.
_told: ContextVar[list[frozenset[str]] | None] = ContextVar("saved_block_types", default=None)


async def read_saved_types(client: "PrefectClient") -> frozenset[str]:
    """The slugs of the types of which our block is saved: one request."""
    answer = await client.request(
        "POST",
        "/block_documents/filter",
        json={"block_documents": {"name": {"any_": [BLOCK_NAME]}}},
    )
    return frozenset(document["block_type"]["slug"] for document in answer.json())


class SavedBlockTypes:
    """The types as they were read last, for runs that had been made by then.

    Of many runs that wait, one reads them. Who saves a block and then makes a run gets the block.
    """

    def __init__(self) -> None:
        self._types: frozenset[str] = frozenset()
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._until = 0.0  # by time.monotonic()

    async def read(self, client: "PrefectClient", before: datetime | None) -> frozenset[str]:
        """The slugs for a run that was made at that time; see `read_saved_types`."""
        is_known = before is not None and before + CLOCK_TOLERANCE < self._read_at
        if not is_known or time.monotonic() > self._until:
            now, until = datetime.now(UTC), time.monotonic() + REMEMBERED_SECONDS
            self._types = await read_saved_types(client)
            self._read_at, self._until = now, until
        return self._types


def tell_saved_types(types: frozenset[str]) -> None:
    """Let the run in this context know them when it asks for the first time."""
    _told.set([types])


def told_saved_types() -> frozenset[str] | None:
    """What this run was told and has not asked for yet; None after that."""
    told = _told.get()
    return told.pop() if told else None
