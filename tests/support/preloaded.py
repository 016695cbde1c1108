"""What the fork server has imported: most of the work of a worker's or a command's start."""

import pkgutil
from importlib import import_module

import prefect.cli.worker
import prefect.workers.process  # noqa: F401

import anime.cli
import anime.worker.notifications
import anime.worker.sweep_trigger
import anime.worker.warm_worker
import flows

for package in (anime.cli, flows):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name != "anime.cli.app":  # `python -m` warns of a module that is there already
            import_module(module.name)
