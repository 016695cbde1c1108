"""What a parser may do with a forged file, for the process that bounds it."""

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from anime.assets.limited_process import LimitedFunction
from anime.errors import UnusableFile, UnusableReason


def double(text: str) -> str:
    print("a library that prints")  # noqa: T201
    return text * 2


def refuse() -> str:
    raise UnusableFile("a.png is cut.", "Make it again.", reason=UnusableReason.TRUNCATED)


def tell_environment() -> list[str]:
    return sorted(os.environ)


def crash() -> str:
    os.abort()


def take_all_memory() -> int:
    return len(bytearray(64 * 1024**3))


def double_each(texts: Sequence[str]) -> list[str]:
    """Twice the text of each; it crashes over one, and leaves another out."""
    if "crash" in texts:
        os.abort()
    return [text * 2 for text in texts if text != "none"]


def write(path: Path) -> str:
    path.write_text("mine now")
    return "done"


class _Call:
    """What unpickling it calls: whoever reads pickles of others runs their code."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (self._path.mkdir, ())


def _say(content: bytes) -> NoReturn:
    """Answer in place of the program, as code in a forged file would, and end."""
    with os.fdopen(os.dup(0), "wb", buffering=0) as answers:
        answers.write(len(content).to_bytes(8, "big") + content)
    os._exit(0)


def answer_with_code(path: Path) -> str:
    _say(pickle.dumps(({"result": _Call(path)}, None)))


def answer_another_type() -> str:
    _say(b'{"result": {"a": 1}}')


def raise_what_is_no_error() -> str:
    _say(b'{"refusal": {"kind": "Path", "what": "", "todo": ""}}')


def answer_without_end() -> str:
    _say(b"[" * 100_000)


PID = LimitedFunction(os.getpid, int)
DOUBLE = LimitedFunction(double, str)
DOUBLE_EACH = LimitedFunction(double_each, list[str])
REFUSE = LimitedFunction(refuse, str)
ENVIRONMENT = LimitedFunction(tell_environment, list[str])
CRASH = LimitedFunction(crash, str)
TAKE_ALL_MEMORY = LimitedFunction(take_all_memory, int)
WRITE = LimitedFunction(write, str)
ANSWER_WITH_CODE = LimitedFunction(answer_with_code, str)
NONSENSE = [
    LimitedFunction(each, str)
    for each in (answer_another_type, raise_what_is_no_error, answer_without_end)
]
