"""What the fork server has imported: most of the work of a program's start."""

import pkgutil
import threading
from importlib import import_module

import prefect.cli.deploy
import prefect.cli.server
import prefect.cli.worker
import prefect.server.api.server
import prefect.workers.process  # noqa: F401

import anime
import blocks
import flows
import tasks

# `python -m` warns of a module that is there already.
PROGRAMS = {"anime.cli.app", "anime.stack.prefect_setup", "anime.stack.parent_watch"}

for package in (anime, blocks, flows, tasks):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name not in PROGRAMS and ".migrations" not in module.name:
            import_module(module.name)

assert threading.active_count() == 1, "what a thread holds is held for ever in a forked process"
