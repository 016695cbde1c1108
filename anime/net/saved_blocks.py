"""The types of which a block is saved in Prefect under our name, mostly none.

A worker reads them while it claims a run, so that the run need not wait for an answer.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

BLOCK_NAME = "studio"

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


def tell_saved_types(types: frozenset[str]) -> None:
    """Let the run in this context know them when it asks for the first time."""
    _told.set([types])


def told_saved_types() -> frozenset[str] | None:
    """What this run was told and has not asked for yet; None after that."""
    told = _told.get()
    return told.pop() if told else None
