"""asyncio for commands, which need it only where no API answers them."""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(call: Coroutine[Any, Any, T]) -> T:
    """What the call returns, on an event loop of its own."""
    import asyncio  # takes longer to load than the API takes to answer

    return asyncio.run(call)
