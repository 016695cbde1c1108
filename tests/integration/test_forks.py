"""What is forked is as good as what is started: the same input, environment, output and end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from anime.settings import PROJECT_DIR
from tests.support.forks import ForkedProgram, PipedProgram, Program, fork_with_pipes, run_forked
from tests.support.waiting import HUNG_SECONDS

SAMPLE = "tests.support.forked_code"


async def forked(code: str, **environment: str) -> PipedProgram:
    return await fork_with_pipes(SAMPLE, [code], environment)


@asynccontextmanager
async def waiting() -> AsyncIterator[PipedProgram]:
    """A program that waits for its end, once it does."""
    program = await forked("print('here', flush=True); import time; time.sleep(3600)")
    assert await program.stdout.readline() == b"here\n"
    yield program
    program.kill()
    await program.wait()


async def test_it_finds_its_own_environment_folder_and_arguments_and_nothing_to_read() -> None:
    code = "import os, sys; print(dict(os.environ), os.getcwd(), sys.orig_argv, sys.stdin.read())"
    out, err = await (await forked(code, PLACE="here")).communicate()
    command = [sys.executable, "-P", "-m", SAMPLE, code]
    assert out.decode() == f"{ {'PLACE': 'here'} } {PROJECT_DIR} {command} \n"
    assert err == b""


async def test_it_has_settings_and_logging_that_nothing_has_touched(tmp_path: Path) -> None:
    code = (
        "import logging; from anime.settings import get_settings\n"
        "print(get_settings().home, logging.root.handlers)"
    )
    out, _ = await (await forked(code, ANIME_HOME=str(tmp_path))).communicate()
    assert out.decode() == f"{tmp_path} []\n"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("pass", 0, b""),
        ("import sys; sys.exit(3)", 3, b""),
        ("import sys; sys.exit('no tea')", 1, b"no tea\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, b""),
        ("import atexit, os; atexit.register(os.write, 2, b'bye')", 0, b"bye"),
    ],
)
async def test_it_ends_as_an_interpreter_does(code: str, status: int, said: bytes) -> None:
    program = await forked(code)
    assert await program.communicate() == (b"", said)
    assert program.returncode == status


async def test_an_error_is_a_traceback() -> None:
    program = await forked("1 / 0")
    _, err = await program.communicate()
    assert (program.returncode, err.splitlines()[-1]) == (1, b"ZeroDivisionError: division by zero")


async def test_ctrl_c_ends_it_by_its_signal() -> None:
    async with waiting() as program:
        program.send_signal(signal.SIGINT)
        assert await program.wait() == -signal.SIGINT


async def test_it_leads_a_group_of_its_own() -> None:
    async with waiting() as program:
        assert os.getpgid(program.pid) == program.pid


async def test_in_its_place_another_of_our_programs_needs_no_new_interpreter() -> None:
    code = (
        "import os, sys; sys.stdout.flush()\n"
        "code = 'import os; print(os.environ, os.getpid())'\n"
        f"again = [sys.executable, '-P', '-m', {SAMPLE!r}, code]\n"
        "os.execve(sys.executable, again, {'PLACE': 'there'})"
    )
    program = await forked(code)
    out, _ = await program.communicate()
    assert out.decode() == f"environ({ {'PLACE': 'there'} }) {program.pid}\n"


def test_it_ends_with_what_has_started_it(tmp_path: Path) -> None:
    starts = (
        "import os, time\nfrom tests.support.forks import Program, fork\n"
        f"program = fork(Program({SAMPLE!r}, ['import time; time.sleep(3600)'], {{}}))\n"
        "print(program.pid)"  # and ends
    )
    output, errors = tmp_path / "output", tmp_path / "errors"
    run_forked(Program(SAMPLE, [starts], dict(os.environ), output, errors), HUNG_SECONDS)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(output.read_text())).wait(HUNG_SECONDS)


async def test_what_is_handed_on_stays_open() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    end, handed_on = os.pipe()
    code = "import time; time.sleep(3600)"
    given = [nothing, nothing, nothing, handed_on]
    program = await asyncio.to_thread(ForkedProgram.begin, Program(SAMPLE, [code], {}), given)
    os.close(nothing)
    os.close(handed_on)
    os.set_blocking(end, False)
    with pytest.raises(BlockingIOError):  # somebody may still write
        os.read(end, 1)
    program.kill()
    await program.ended()
    assert os.read(end, 1) == b""
    os.close(end)
