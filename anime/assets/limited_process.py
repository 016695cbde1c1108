"""Calls a function that reads what people have sent in a process of its own, with limits.

    python -m anime.assets.limited_process

A decoder that crashes, hangs or takes all memory over such a file ends that process and no other.
"""

import asyncio
import logging
import os
import pickle
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import BinaryIO, ParamSpec, TypeVar

from anime.errors import AnimeError

_log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

MAX_MEMORY_BYTES = 4 * 1024**3  # addresses; the largest picture that is decoded takes a quarter
MAX_OPEN_FILES = 256
MAX_SECONDS = 60  # of CPU, and on the clock
_COMMAND = (sys.executable, "-m", "anime.assets.limited_process")


def limit_this_process(further: Mapping[int, int] | None = None) -> None:
    """Bound the memory and open files of this process; `further`: more limits of `resource`."""
    limits = {
        resource.RLIMIT_AS: MAX_MEMORY_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        **(further or {}),
    }
    for which, limit in limits.items():
        _, most = resource.getrlimit(which)
        wanted = limit if most == resource.RLIM_INFINITY else min(limit, most)
        with suppress(ValueError, OSError):  # macOS knows some of them by name only
            resource.setrlimit(which, (wanted, wanted))


async def call_limited(
    died: AnimeError, function: Callable[P, R], *arguments: P.args, **named: P.kwargs
) -> R:
    """What the function returns, called in a process of its own; it and all values are pickled.

    Raises:
        AnimeError: what the function raises; or `died`, when the process ends before it does.
    """
    question = pickle.dumps((function, arguments, named))
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,  # a file there could not be written to
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(MAX_SECONDS):
            answer, said = await process.communicate(question)
    except TimeoutError:
        raise died from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()  # it has written nothing that could be half done
        await process.wait()
    if process.returncode != 0:
        _log.warning("A reader has ended with %s: %s", process.returncode, _last_line(said))
        raise died
    result, error = pickle.loads(answer)  # noqa: S301  our own program's
    if error is not None:
        raise _error_of(*error)
    return result  # type: ignore[no-any-return]  # the function's, as pickled


def _last_line(output: bytes) -> str:
    return output.decode(errors="replace").strip().rpartition("\n")[2]


def _answer(questions: BinaryIO, answers: BinaryIO) -> None:
    function, arguments, named = pickle.load(questions)  # noqa: S301  of our parent
    limit_this_process({resource.RLIMIT_CPU: MAX_SECONDS, resource.RLIMIT_FSIZE: 0})
    result = fault = None
    try:
        result = function(*arguments, **named)
    except AnimeError as error:
        fault = type(error), error.args, error.__dict__
    answers.write(pickle.dumps((result, fault), protocol=5))


def _error_of(
    kind: type[AnimeError], arguments: tuple[object, ...], state: dict[str, object]
) -> AnimeError:
    """The error as it was raised; its own initialiser may want more than it has kept."""
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints must not get between the answers
        _answer(sys.stdin.buffer, answers)
