"""What the fork server has imported: most of the work of a program's start."""

import pkgutil
from importlib import import_module

import anime
import blocks
import flows
import tasks
from tests.support.fork_server import assert_single_thread

# `python -m` warns of a module that is there already.
PROGRAMS = {
    *("anime.cli.app", "anime.stack.prefect_program", "anime.stack.prefect_setup"),
    "anime.stack.parent_watch",
}

OF_PREFECT = (
    *("prefect.cli.server", "prefect.cli.worker", "prefect.cli.deploy"),
    *("prefect.server.api.server", "prefect.workers.process"),
)
# Programs import these only once they run.
LATE = (
    *("prefect.cli._worker_utils", "prefect.cli.deploy._core", "prefect.client.collections"),
    *("prefect.deployments.runner", "prefect.utilities.visualization"),
    *("anyio._backends._asyncio", "encodings.idna"),
    *("uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.on", "uvicorn.loops.uvloop"),
)

for name in (*OF_PREFECT, *LATE):
    import_module(name)
for package in (anime, blocks, flows, tasks):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name not in PROGRAMS and ".migrations" not in module.name:
            import_module(module.name)

for name in ("tests.support.forked_readers", "tests.support.in_memory"):
    import_module(name)
assert_single_thread()
