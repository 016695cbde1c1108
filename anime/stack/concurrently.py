"""Several things at once, all or nothing."""

import asyncio
from collections.abc import Coroutine


async def together(*work: Coroutine[object, object, object]) -> None:
    """Do all of it side by side; the first error cancels the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
