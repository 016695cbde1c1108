"""`anime up` whose own programs are forked: a start costs a third of the CPU.

    python -m tests.support.forked_stack up

PostgreSQL and Valkey are started as ever. A forked part is no child of `anime up`, but ends with
it all the same, and the supervisor does not see the difference.
"""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import patch

from anime.cli.app import main
from anime.stack import process, supervisor
from anime.stack.logs import LogPipe
from anime.stack.parts import Part
from anime.stack.process import PartProcess
from tests.support.fork_server import OPTIONS
from tests.support.forks import ForkedProgram, PipedProgram, Program, start_fork_server
from tests.support.prepared_cluster import prepared_clusters

launch = process.launch


async def launch_forked(part: Part, inherited_fds: tuple[int, ...] = ()) -> PartProcess:
    """The process of the part, just started; forked if it is `python -P -m`."""
    python, *words = part.command
    if python != sys.executable or words[:2] != OPTIONS:
        return await launch(part, inherited_fds)
    program = Program(words[2], words[3:], _with_pages(part.environment), folder=part.folder)
    with closing(LogPipe(part.log)) as log, open(os.devnull, "rb") as nothing:  # noqa: PTH123, ASYNC230
        given = [nothing.fileno(), log.write_end, log.write_end, *inherited_fds]
        forked = await asyncio.to_thread(ForkedProgram.begin, program, given)
        return PartProcess(PipedProgram(forked), log)  # type: ignore[arg-type]  # used alike


def _with_pages(environment: Mapping[str, str]) -> dict[str, str]:
    """With Prefect's pages in one folder for all: to copy them takes a second of a processor."""
    pages = Path(start_fork_server()).with_name("pages")
    return {**environment, "PREFECT_UI_STATIC_DIRECTORY": str(pages)}


@contextmanager
def forked_parts() -> Iterator[None]:
    """Whatever part this process starts meanwhile is forked."""
    with (  # each calls it by a name of its own
        patch.object(process, "launch", launch_forked),
        patch.object(supervisor, "launch", launch_forked),
    ):
        yield


if __name__ == "__main__":
    with forked_parts(), prepared_clusters():
        main()
