"""Calls functions that read foreign files in processes of their own, with limits.

    python -m anime.assets.limited_process

A decoder that crashes, hangs or takes all memory over a file ends that process and no other. Who
runs code of his own there by such a file can say what he likes of it, and no more: questions are
pickled, but answers are JSON, checked for the type that is expected. It ends with its socket, and
so with the program that asks.
"""

import asyncio
import atexit
import gc
import json
import logging
import os
import pickle
import resource
import socket
import struct
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cached_property
from typing import Generic, NoReturn, ParamSpec, TypeVar

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from anime import errors
from anime.errors import AnimeError, StorageUnavailable, UnusableFile, UnusableReason

_log = logging.getLogger(__name__)
P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")

MAX_MEMORY_BYTES = 4 * 1024**3  # addresses; the largest picture that is decoded takes a quarter
MAX_OPEN_FILES = 256
MAX_SECONDS = 60.0  # of CPU, and on the clock, for what somebody has sent
MAX_SECONDS_OF_OURS = 300.0  # for a film on a slow disk, or several files
MAX_ANSWER_BYTES = 256 * 1024**2
_QUESTIONS = 25  # in one call, where many are asked
_STOP_SECONDS = 5.0
_LENGTH = struct.Struct(">Q")
# -P: nothing is imported from the folder that we run in, where files of others may lie.
_COMMAND = (sys.executable, "-P", "-m", "anime.assets.limited_process")


class ReaderDied(Exception):
    """A process has crashed or got stuck over what it was asked, or has answered nonsense."""


class _Refusal(BaseModel):
    """An error of ours, as it is told: the name of its class, and what it says."""

    kind: str
    what: str
    todo: str
    reason: UnusableReason | None = None


class LimitedFunction(Generic[P, R]):
    """A function of a module, and the type of what it returns: for bytes, `Base64Bytes`."""

    def __init__(self, function: Callable[P, R], returns: type[R]) -> None:
        self.function = function
        self._returns = returns

    @cached_property
    def _answers(self) -> TypeAdapter[R]:
        return TypeAdapter(self._returns)  # where it is asked; the process needs none

    def answer_of(self, told: object) -> R:
        """What the function has returned or raised.

        Raises:
            AnimeError: what the function has raised.
            ReaderDied: it is no answer of this function.
        """
        match told:
            case {"result": result}:
                with _nonsense_told():
                    return self._answers.validate_python(result)
            case {"refusal": refusal}:
                with _nonsense_told():
                    error = _error_of(_Refusal.model_validate(refusal))
                raise error
            case {"unknown": str(what)}:
                raise StorageUnavailable(
                    f"Files cannot be read: their reader is of another release ({what[:200]}).",
                    "Restart this program: what it runs was replaced on the disk meanwhile.",
                )
        raise ReaderDied(str(told)[:500])


class LimitedProcess:
    """One such process, started with a question if it does not run. It blocks: one thread asks."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def ask(
        self, called: LimitedFunction[P, R], seconds: float, *arguments: P.args, **named: P.kwargs
    ) -> R:
        """What the function returns, called there with these arguments.

        Raises:
            AnimeError: what the function raises.
            ReaderDied: the process has ended before, or took more than so many seconds.
        """
        question = pickle.dumps((called.function, arguments, named, seconds))
        give_up_at = time.monotonic() + seconds
        try:
            return called.answer_of(json.loads(self._exchange(question, give_up_at)))
        except AnimeError:
            raise
        except (OSError, EOFError, ValueError, RecursionError) as fault:
            code = self.stop()
            raise ReaderDied(f"{type(fault).__name__} ({code})") from fault
        except BaseException:
            self.stop()  # an answer that nobody waits for would be taken for the next
            raise

    def stop(self) -> int | None:
        """End the process; how it has ended. It has written nothing that could be half done."""
        process, self._process = self._process, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if process is None:
            return None
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # it waits for a disk that does not answer
            return process.wait(_STOP_SECONDS)
        return None

    def _exchange(self, question: bytes, give_up_at: float) -> bytes:
        connection = self._connection()
        connection.settimeout(_left(give_up_at))
        connection.sendall(_LENGTH.pack(len(question)) + question)
        (length,) = _LENGTH.unpack(_received(connection, _LENGTH.size, give_up_at))
        if length > MAX_ANSWER_BYTES:
            raise ValueError("the answer is too long")
        return _received(connection, length, give_up_at)

    def _connection(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # somebody has ended it, such as a system that needed memory
        if self._socket is None:
            # Here, as the process itself needs no settings: they would take it longer to start.
            from anime.settings.inherited import environment_without_secrets

            self._socket, theirs = socket.socketpair()
            with theirs:
                # Of a session of its own: Ctrl-C is for us. No file there could be written to.
                self._process = subprocess.Popen(
                    _COMMAND,
                    env=environment_without_secrets(),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        return self._socket


async def call_limited(
    died: AnimeError, called: LimitedFunction[P, R], *arguments: P.args, **named: P.kwargs
) -> R:
    """What the function returns, called in a process that ends with it.

    Raises:
        AnimeError: what the function raises; or `died`, when the process ends before it does.
    """
    process = LimitedProcess()
    try:
        return await asyncio.to_thread(
            lambda: process.ask(called, MAX_SECONDS, *arguments, **named)
        )
    except ReaderDied as fault:
        _log.warning("A reader has died: %s", fault)
        raise died from None
    finally:
        process.stop()


@contextmanager
def kept_process() -> Iterator[LimitedProcess]:
    """A process that runs already, or will from now on: each program keeps one for its next call.

    To start one takes a third of a second.
    """
    try:
        process = _kept.pop()
    except IndexError:
        process = LimitedProcess()
    try:
        yield process
    finally:
        if _kept:
            process.stop()
        else:
            _kept.append(process)


def ask_kept(
    died: AnimeError, called: LimitedFunction[P, R], *arguments: P.args, **named: P.kwargs
) -> R:
    """What the function returns, called in a process that is kept for the next call. It blocks.

    Raises:
        AnimeError: what the function raises; or `died`, when the process ends before it does.
    """
    try:
        with kept_process() as process:
            return process.ask(called, MAX_SECONDS_OF_OURS, *arguments, **named)
    except ReaderDied as fault:
        _log.warning("A reader has died: %s", fault)
        raise died from None


async def call_kept(
    died: AnimeError, called: LimitedFunction[P, R], *arguments: P.args, **named: P.kwargs
) -> R:
    """The same, in a thread."""
    return await asyncio.to_thread(lambda: ask_kept(died, called, *arguments, **named))


def ask_of_each(
    called: LimitedFunction[[Sequence[Q]], list[R]], questions: Sequence[Q]
) -> list[R | None]:
    """What the function answers to each, some in one call, in the process that is kept. It blocks.

    One over which the process ends has None for an answer, and spoils no other's.
    """
    found: list[R | None] = []
    with kept_process() as process:
        for at in range(0, len(questions), _QUESTIONS):
            some = questions[at : at + _QUESTIONS]
            try:
                answers = answers_to(process, called, some, MAX_SECONDS_OF_OURS)
            except ReaderDied:
                found.extend(_answer_alone(process, called, each) for each in some)
            else:
                found.extend(answers)
    return found


def _answer_alone(
    process: LimitedProcess, called: LimitedFunction[[Sequence[Q]], list[R]], question: Q
) -> R | None:
    try:
        return answers_to(process, called, [question], MAX_SECONDS)[0]
    except ReaderDied as fault:
        _log.warning("A reader has died: %s", fault)
        return None


def answers_to(
    process: LimitedProcess,
    called: LimitedFunction[[Sequence[Q]], list[R]],
    questions: Sequence[Q],
    seconds: float,
) -> list[R]:
    """What the function answers to each, in one call. It blocks.

    Raises:
        AnimeError: what the function raises.
        ReaderDied: as by `ask`; or it has answered another number of questions.
    """
    answers = process.ask(called, seconds, questions)
    if len(answers) != len(questions):
        raise ReaderDied("it has answered another number of questions")
    return answers


_kept: list[LimitedProcess] = []


def _stop_kept() -> None:
    while _kept:
        _kept.pop().stop()


def _forget_kept() -> None:
    """In a forked process: those of the parent answer to it alone."""
    for process in _kept:
        if process._socket is not None:  # noqa: SLF001  of this module
            process._socket.close()  # noqa: SLF001
    _kept.clear()


atexit.register(_stop_kept)
os.register_at_fork(after_in_child=_forget_kept)


@contextmanager
def _nonsense_told() -> Iterator[None]:
    try:
        yield
    except ValidationError as fault:
        raise ReaderDied("its answer is of another type") from fault


def _error_of(told: _Refusal) -> AnimeError:
    """The error as it was raised; its own initialiser may want more than it has kept."""
    kind = getattr(errors, told.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, AnimeError)):
        raise ReaderDied(f"there is no error {told.kind[:100]!r}")
    error = kind.__new__(kind)
    AnimeError.__init__(error, told.what, told.todo)
    if isinstance(error, UnusableFile):
        error.reason = told.reason or UnusableReason.UNDECODABLE
    return error


def _received(connection: socket.socket, size: int, give_up_at: float | None = None) -> bytes:
    """So many bytes, by then; without a time, whenever they come.

    Raises:
        EOFError: the other side has ended.
        TimeoutError: they have not come by then.
    """
    found = bytearray()
    while len(found) < size:
        connection.settimeout(_left(give_up_at) if give_up_at is not None else None)
        chunk = connection.recv(min(size - len(found), 1024 * 1024))
        if not chunk:
            raise EOFError
        found += chunk
    return bytes(found)


def _left(give_up_at: float) -> float:
    return max(give_up_at - time.monotonic(), 0.001)


def answer_all(connection: socket.socket) -> None:
    """In the process: answer every question until there are no more."""
    limit_this_process({resource.RLIMIT_FSIZE: 0})
    while True:
        try:
            (length,) = _LENGTH.unpack(_received(connection, _LENGTH.size))
            question = _received(connection, length)
        except (EOFError, ConnectionError):
            return
        told = json.dumps(_answer(question), default=_plain).encode()
        connection.sendall(_LENGTH.pack(len(told)) + told)


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


def _answer(question: bytes) -> dict[str, object]:
    try:
        asked = pickle.loads(question)  # noqa: S301  of our parent
    except (ImportError, AttributeError) as fault:  # it began before an upgrade, and this after
        return {"unknown": str(fault)}
    return _told(*asked)


def _told(
    function: Callable[..., object],
    arguments: tuple[object, ...],
    named: dict[str, object],
    seconds: float,
) -> dict[str, object]:
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 1, most))
    try:
        return {"result": function(*arguments, **named)}
    except AnimeError as error:
        refusal = _Refusal(
            kind=type(error).__name__,
            what=error.what,
            todo=error.todo,
            reason=getattr(error, "reason", None),
        )
        return {"refusal": refusal}
    except Exception as fault:  # noqa: BLE001  told to who has asked
        return {"fault": f"{type(fault).__name__}: {fault}"}


def _plain(value: object) -> JsonValue:
    """What JSON has for it: a dataclass is an object of its fields, bytes are in base64."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]  # or TypeError


def main() -> NoReturn:
    """Answer who has started this process, by the socket that is its standard input."""
    with socket.socket(fileno=os.dup(0)) as connection:
        gc.freeze()  # or its thousands of lasting objects would be looked at again and again
        answer_all(connection)
    sys.exit()


if __name__ == "__main__":
    main()
