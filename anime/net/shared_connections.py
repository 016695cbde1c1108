"""Connections that stay open between the runs of one event loop.

A warm worker's thread runs one flow after another in one loop. What each of them would open and
close for itself is opened once there, and closed with the loop.
"""

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class _LoopConnections:
    stack: AsyncExitStack
    by_key: dict[Hashable, Any] = field(default_factory=dict)  # clients of any kind


_of_this_loop: ContextVar[_LoopConnections | None] = ContextVar("loop_connections", default=None)


@asynccontextmanager
async def sharing_connections() -> AsyncIterator[None]:
    """Let all that runs in copies of this context share connections until the block ends."""
    async with AsyncExitStack() as stack:
        token = _of_this_loop.set(_LoopConnections(stack))
        try:
            yield
        finally:
            _of_this_loop.reset(token)


async def shared_connection(
    key: Hashable, make: Callable[[], AbstractAsyncContextManager[T]], own: AsyncExitStack
) -> T:
    """What the loop shares under that key, made if it is the first; else one that `own` closes."""
    shared = _of_this_loop.get()
    if shared is None:
        return await own.enter_async_context(make())
    if key not in shared.by_key:
        shared.by_key[key] = await shared.stack.enter_async_context(make())
    return shared.by_key[key]  # type: ignore[no-any-return]  # whoever names the key knows its type
