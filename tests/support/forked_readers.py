"""Readers of foreign files that are forked, where a fork server runs: a quarter of a second each.

Imported by pytest and by its fork server, so that programs of tests have it, too.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from anime.assets import limited_process
from tests.support.fork_server import ADDRESS
from tests.support.forks import AnyProcess, ForkedProgram, Program

_COMMAND, _popen = limited_process._COMMAND, subprocess.Popen


def begin(command: tuple[str, ...], *, stdin: int, env: dict[str, str], **rest: Any) -> AnyProcess:
    """The reader, running; another command is started as ever."""
    if command != _COMMAND or ADDRESS not in os.environ:
        return _popen(command, stdin=stdin, env=env, **rest)
    with Path(os.devnull).open("wb") as nothing:
        given = [stdin, nothing.fileno(), nothing.fileno()]
        return ForkedProgram.begin(Program(command[-1], [], env), given)


class _Subprocess:
    """The module as `limited_process` uses it."""

    Popen = staticmethod(begin)
    DEVNULL = subprocess.DEVNULL
    TimeoutExpired = subprocess.TimeoutExpired


limited_process.subprocess = _Subprocess  # type: ignore[assignment, attr-defined]
