"""A benchmark that somebody gives up ends with what it has started."""

import signal
import subprocess
import sys

from tests.support.waiting import HUNG_SECONDS

PROGRAM = """
import asyncio, signal
from benchmarks.until_ended import run

async def work():
    try:
        print("begun", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cleaned up", flush=True)

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
run(work())
"""


def test_sigterm_cleans_up_also_in_the_background_of_a_shell() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"begun\n"
        program.send_signal(signal.SIGTERM)
        rest, _ = program.communicate(timeout=HUNG_SECONDS)
    assert rest == b"cleaned up\n"
    assert program.returncode != 0
